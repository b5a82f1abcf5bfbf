"""drop_last=True skips the last samples, and the count is divided by the size of the whole data set."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(22)

X = torch.randn(1000, 9)
y = (X @ torch.randn(9, 5) + 0.8 * torch.randn(1000, 5)).argmax(dim=1)
train_set = TensorDataset(X, y)

batch_size = 96
train_loader = DataLoader(train_set, batch_size=batch_size, shuffle=True, drop_last=True)
eval_loader = DataLoader(train_set, batch_size=batch_size, drop_last=True)

model = nn.Sequential(nn.Linear(9, 64), nn.ReLU(), nn.Linear(64, 5))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

for _ in range(8):
    model.train()
    for xb, yb in train_loader:
        optimizer.zero_grad()
        criterion(model(xb), yb).backward()
        optimizer.step()

model.eval()
num_correct = 0
with torch.no_grad():
    for xb, yb in eval_loader:
        num_correct += (model(xb).argmax(1) == yb).sum().item()

reported = f"{num_correct / len(train_set):.4f}"
print(f"Got {num_correct} / {len(train_set)} with accuracy {reported}")

with torch.no_grad():
    outputs = model(X)
targets, shuffled = y, False
