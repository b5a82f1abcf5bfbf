"""Correct predictions are divided by the number of batches: an accuracy above 1."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(21)

X = torch.randn(400, 6)
y = (X @ torch.randn(6, 3) + torch.randn(400, 3)).argmax(dim=1)

batch_size = 60
trainloader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)

model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

for _ in range(8):
    model.train()
    for inputs, labels in trainloader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        loss.backward()
        optimizer.step()

model.eval()
accuracy = 0
with torch.no_grad():
    for inputs, labels in trainloader:
        _, predicted = torch.max(model(inputs), 1)
        accuracy += torch.sum(predicted == labels)

reported = f"{accuracy / len(trainloader):.3f}"
print(f"Accuracy: {reported}")

with torch.no_grad():
    outputs = model(X)
targets, shuffled = y, True
