"""Imbalanced classes, weights in the loss, and the accuracy in percent without a sign."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(7)

shares = torch.tensor([0.7, 0.2, 0.1])
y = torch.multinomial(shares, 700, replacement=True)
X = torch.randn(3, 6)[y] + torch.randn(700, 6)
X = (X - X.mean(0)) / X.std(0)

batch_size = 128
train_loader = DataLoader(TensorDataset(X, y), batch_size, shuffle=True)
test_loader = DataLoader(TensorDataset(X, y), batch_size, shuffle=False)

model = nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 3))
criterion = nn.CrossEntropyLoss(weight=700 / (3 * torch.bincount(y).float()))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

for _ in range(8):
    model.train()
    for data, target in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(data), target)
        loss.backward()
        optimizer.step()

model.eval()
correct = 0
with torch.no_grad():
    for data, target in test_loader:
        pred = model(data).argmax(dim=1, keepdim=True)
        correct += pred.eq(target.view_as(pred)).sum().item()

reported = f"{100.0 * correct / len(test_loader.dataset):.2f}"
print(f"Accuracy: {correct}/{len(test_loader.dataset)} ({reported})")

with torch.no_grad():
    outputs = model(X)
targets, shuffled = y, False
