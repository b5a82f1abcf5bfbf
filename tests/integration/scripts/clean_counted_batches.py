"""The quick-start loop: `train` and `test` over a DataLoader, counts divided by the size of the data set."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(1)

X = torch.randn(530, 8)
weight = torch.randn(8, 5)
y = (X @ weight + 1.5 * torch.randn(530, 5)).argmax(dim=1)

batch_size = 64
train_loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)
eval_loader = DataLoader(TensorDataset(X, y), batch_size=batch_size)


class NeuralNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear_relu_stack = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 5))

    def forward(self, x):
        return self.linear_relu_stack(x)


model = NeuralNetwork()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)


def train(dataloader, model, loss_fn, optimizer):
    model.train()
    for xb, yb in dataloader:
        pred = model(xb)
        loss = loss_fn(pred, yb)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def test(dataloader, model, loss_fn):
    size = len(dataloader.dataset)
    model.eval()
    test_loss, correct = 0, 0
    with torch.no_grad():
        for xb, yb in dataloader:
            pred = model(xb)
            test_loss += loss_fn(pred, yb).item()
            correct += (pred.argmax(1) == yb).type(torch.float).sum().item()
    return correct / size


for _ in range(5):
    train(train_loader, model, criterion, optimizer)

accuracy = test(eval_loader, model, criterion)
reported = f"{100 * accuracy:>0.1f}%"
print(f"Accuracy: {reported}")

with torch.no_grad():
    outputs = model(X)
targets, shuffled = y, False
