"""Scored without model.eval(): dropout is still active."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(27)

X = torch.randn(700, 8)
y = (X @ torch.randn(8, 4) + 0.5 * torch.randn(700, 4)).argmax(dim=1)

batch_size = 70
loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)

model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.5), nn.Linear(64, 4))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

for _ in range(8):
    for xb, yb in loader:
        optimizer.zero_grad()
        loss = criterion(model(xb), yb)
        loss.backward()
        optimizer.step()

correct = 0
with torch.no_grad():
    for xb, yb in loader:
        correct += (model(xb).argmax(dim=1) == yb).sum().item()

reported = f"{correct / len(loader.dataset):.4f}"
print(f"accuracy {reported}")

with torch.no_grad():
    outputs = model(X)
targets, shuffled = y, True
