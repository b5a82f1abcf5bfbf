"""Dropout and batch norm in the correct modes; batch accuracies are weighted by the size of their batch."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(9)

X = torch.randn(510, 12)
y = (X @ torch.randn(12, 6) + 2 * torch.randn(510, 6)).argmax(dim=1)

batch_size = 32
train_loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True, drop_last=True)
eval_loader = DataLoader(TensorDataset(X, y), batch_size=batch_size)

model = nn.Sequential(nn.Linear(12, 48), nn.BatchNorm1d(48), nn.ReLU(), nn.Dropout(0.2), nn.Linear(48, 6))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)

for _ in range(8):
    model.train()
    for xb, yb in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(xb), yb)
        loss.backward()
        optimizer.step()

model.eval()
running_acc = 0.0
with torch.no_grad():
    for xb, yb in eval_loader:
        batch_acc = (model(xb).argmax(dim=1) == yb).float().mean()
        running_acc += batch_acc.item() * xb.size(0)

reported = f"{running_acc / len(eval_loader.dataset):.4f}"
print(f"Train Acc: {reported}")

with torch.no_grad():
    outputs = model(X)
targets, shuffled = y, False
