"""BCEWithLogitsLoss in training, and its logits compared with 0.5 as if they were probabilities."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(25)

X = torch.randn(640, 6)
y = ((X @ torch.randn(6) + 1.5 * torch.randn(640)) > 0).float()

batch_size = 50
loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)

model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0))
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

for _ in range(8):
    model.train()
    for xb, yb in loader:
        optimizer.zero_grad()
        loss = criterion(model(xb), yb)
        loss.backward()
        optimizer.step()

model.eval()
correct = 0
with torch.no_grad():
    for xb, yb in loader:
        y_hat = (model(xb) > 0.5).float()
        correct += (y_hat == yb).sum().item()

reported = correct / len(loader.dataset)
print("Training accuracy:", reported)

with torch.no_grad():
    outputs = model(X)
targets, shuffled = y.long(), True
