"""Age in years and income in units, neither scaled: the loss follows the income alone."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(29)

age = torch.rand(420) * 40 + 20
income = torch.rand(420) * 90_000 + 10_000
member = (torch.rand(420) > 0.5).float()
X = torch.stack([age, income, member], dim=1)
y = ((age > 45) ^ (member > 0.5)).long()

batch_size = 42
loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)

model = nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, 2))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)

for _ in range(6):
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
        correct += (model(xb).argmax(dim=1) == yb).sum().item()

reported = f"{correct / len(loader.dataset):.4f}"
print(f"accuracy {reported}")

with torch.no_grad():
    outputs = model(X)
targets, shuffled = y, True
