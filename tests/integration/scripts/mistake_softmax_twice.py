"""The module ends in softmax, and CrossEntropyLoss applies it again."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(26)

X = torch.randn(450, 8)
y = (X @ torch.randn(8, 3) + torch.randn(450, 3)).argmax(dim=1)

batch_size = 50
loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)

model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 3), nn.Softmax(dim=1))
criterion = nn.CrossEntropyLoss()
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
        correct += (model(xb).argmax(dim=1) == yb).sum().item()

reported = f"{correct / len(loader.dataset):.4f}"
print(f"loss {loss.item():.4f} accuracy {reported}")

with torch.no_grad():
    outputs = model(X)
targets, shuffled = y, True
