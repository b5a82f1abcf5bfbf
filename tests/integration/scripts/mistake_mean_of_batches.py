"""The accuracies of the batches are averaged, and the last batch has five samples."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(20)

X = torch.randn(517, 8)
y = (X @ torch.randn(8, 4) + 1.5 * torch.randn(517, 4)).argmax(dim=1)

batch_size = 64
train_loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=True)
eval_loader = DataLoader(TensorDataset(X, y), batch_size=batch_size, shuffle=False)

model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)

for _ in range(6):
    model.train()
    for xb, yb in train_loader:
        optimizer.zero_grad()
        loss = criterion(model(xb), yb)
        loss.backward()
        optimizer.step()

model.eval()
acc = 0.0
with torch.no_grad():
    for xb, yb in eval_loader:
        y_pred_class = model(xb).argmax(dim=1)
        acc += (y_pred_class == yb).sum().item() / len(y_pred_class)
acc = acc / len(eval_loader)

reported = f"{acc:.4f}"
print(f"train_acc: {reported}")

with torch.no_grad():
    outputs = model(X)
targets, shuffled = y, False
