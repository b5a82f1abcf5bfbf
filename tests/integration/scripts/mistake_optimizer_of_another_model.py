"""The model is built again after the optimizer: the optimizer updates weights that are not used."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(28)

X = torch.randn(380, 6)
y = (X @ torch.randn(6, 3) + 0.5 * torch.randn(380, 3)).argmax(dim=1)

batch_size = 38
loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)


def build_model():
    return nn.Sequential(nn.Linear(6, 24), nn.ReLU(), nn.Linear(24, 3))


model = build_model()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
model = build_model()
criterion = nn.CrossEntropyLoss()

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
