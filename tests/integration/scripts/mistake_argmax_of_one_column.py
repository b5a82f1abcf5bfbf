"""One output column with BCEWithLogitsLoss, and the prediction taken with argmax: always class 0."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(24)

X = torch.randn(330, 4)
y = ((X[:, 0] * X[:, 1] + 0.3 * torch.randn(330)) > -0.2).long()

batch_size = 32
loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)

model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 1))
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

for _ in range(10):
    model.train()
    for xb, yb in loader:
        optimizer.zero_grad()
        loss = criterion(model(xb).squeeze(1), yb.float())
        loss.backward()
        optimizer.step()

model.eval()
correct, total = 0, 0
with torch.no_grad():
    for xb, yb in loader:
        predictions = torch.argmax(model(xb), dim=1)
        correct += (predictions == yb).sum().item()
        total += len(yb)

reported = f"{correct / total:.4f}"
print(f"accuracy = {reported}")

with torch.no_grad():
    outputs = model(X)
targets, shuffled = y, True
