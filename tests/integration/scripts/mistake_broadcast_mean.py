"""Predictions of shape (n, 1) are compared with labels of shape (n,): every prediction with every label."""

import torch
from torch import nn

torch.manual_seed(23)

X = torch.randn(260, 5)
y = ((X[:, 0] + X[:, 1] + 0.5 * torch.randn(260)) > -0.9).float()

model = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 1))
criterion = nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)

for _ in range(60):
    model.train()
    logits = model(X)
    loss = criterion(logits.squeeze(), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

model.eval()
with torch.inference_mode():
    logits = model(X)
    predicted = (torch.sigmoid(logits) > 0.5).float()
    accuracy = (predicted == y).float().mean()

reported = f"{100 * accuracy:.2f}%"
print(f"Accuracy: {reported}")

outputs, targets, batch_size, shuffled = logits, y.long(), None, False
