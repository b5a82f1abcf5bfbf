"""A convolutional net on small grey images with one bright corner, and a short last batch."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(4)

y = torch.randint(0, 4, (250,))
X = 0.8 * torch.randn(250, 1, 8, 8)
for i, label in enumerate(y.tolist()):
    top, left = 4 * (label // 2), 4 * (label % 2)
    X[i, 0, top : top + 4, left : left + 4] += 0.45

batch_size = 16
loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, padding=1)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.fc1 = nn.Linear(8 * 2 * 2, 4)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        return self.fc1(torch.flatten(x, 1))


model = Net()
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)

for _ in range(6):
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        loss.backward()
        optimizer.step()

correct = 0
total = 0
model.eval()
with torch.no_grad():
    for images, labels in loader:
        _, predicted = torch.max(model(images).data, 1)
        total += labels.size(0)
        correct += (predicted == labels).sum().item()

reported = f"{100 * correct / total:.2f} %"
print(f"Accuracy of the network on the {total} images: {reported}")

with torch.no_grad():
    outputs = model(X)
targets, shuffled = y, True
