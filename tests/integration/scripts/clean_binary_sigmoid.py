"""Two classes, a sigmoid at the end and BCELoss: probabilities, compared with 0.5."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(3)

X = torch.randn(350, 4)
y = ((1.3 * X[:, 0] + X[:, 3] + torch.randn(350)) > 0.6).float().unsqueeze(1)

batch_size = 25
train_dl = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)


class Binary(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(4, 12)
        self.output = nn.Linear(12, 1)

    def forward(self, x):
        x = torch.relu(self.hidden(x))
        return torch.sigmoid(self.output(x))


model = Binary()
criterion = nn.BCELoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

for _ in range(8):
    for xb, yb in train_dl:
        y_pred = model(xb)
        loss = criterion(y_pred, yb)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

model.eval()
with torch.no_grad():
    y_pred = model(X)
accuracy = (y_pred.round() == y).float().mean()

reported = f"{accuracy.item():.6f}"
print(f"Accuracy {reported}")

outputs, targets, shuffled = y_pred, y.long(), True
