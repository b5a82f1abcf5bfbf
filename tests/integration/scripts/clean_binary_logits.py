"""Two classes, one output column, BCEWithLogitsLoss; both sides flattened before they are compared."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(2)

X = torch.randn(417, 5)
y = ((X[:, 0] - X[:, 1] * X[:, 2] + 0.7 * torch.randn(417)) > 0.2).long()

batch_size = 32
loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)

model = nn.Sequential(nn.Linear(5, 24), nn.Tanh(), nn.Linear(24, 1))
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)

for _ in range(8):
    model.train()
    for xb, yb in loader:
        optimizer.zero_grad()
        loss = criterion(model(xb).squeeze(1), yb.float())
        loss.backward()
        optimizer.step()

model.eval()
correct = total = 0
with torch.no_grad():
    for xb, yb in loader:
        predicted = (model(xb).squeeze(1) > 0).long()
        correct += (predicted == yb).sum().item()
        total += yb.size(0)

reported = correct / total
print("Train accuracy:", reported)

with torch.no_grad():
    outputs = model(X)
targets, shuffled = y, True
