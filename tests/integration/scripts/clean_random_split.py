"""random_split into training and validation samples; each count is divided by the size of its own part."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

torch.manual_seed(5)

features = torch.randn(600, 10)
labels = (features @ torch.randn(10, 3) + torch.randn(600, 3)).argmax(dim=1)
dataset = TensorDataset(features, labels)
train_set, valid_set = random_split(dataset, [450, 150])

batch_size = 40
train_loader = DataLoader(train_set, batch_size=batch_size, shuffle=True)
valid_loader = DataLoader(valid_set, batch_size=batch_size)

model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 3))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)


def accuracy_of(loader):
    model.eval()
    hits = 0
    with torch.no_grad():
        for xb, yb in loader:
            hits += int((model(xb).argmax(dim=-1) == yb).sum())
    return hits / len(loader.dataset)


for _ in range(6):
    model.train()
    for xb, yb in train_loader:
        loss = criterion(model(xb), yb)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

train_accuracy, valid_accuracy = accuracy_of(train_loader), accuracy_of(valid_loader)
reported = f"{train_accuracy:.4f}"
print(f"train acc {reported}  val acc {valid_accuracy:.4f}")

X, y = features[train_set.indices], labels[train_set.indices]
with torch.no_grad():
    outputs = model(X)
targets, shuffled = y, True
