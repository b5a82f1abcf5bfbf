"""Data, a module, a correct loop, and `diagnose` on its parts."""

import torch
from torch import nn

from sktorch_acc import diagnose

_draws = torch.Generator().manual_seed(0)
X = torch.randn(240, 6, generator=_draws)
Y = (X[:, :3] + 0.3 * torch.randn(240, 3, generator=_draws)).argmax(dim=1)
TWO = (Y == 0).long()
CE, BCEL, NLL = nn.CrossEntropyLoss(), nn.BCEWithLogitsLoss(), nn.NLLLoss()


def mlp(columns=3, *last):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, columns), *last)


def trained(model, criterion=CE, X=X, y=Y, *, steps=60, lr=0.02, optimizer=None):
    """Train in a correct loop, on random batches of 32; return the parts for `diagnose`."""
    torch.manual_seed(0)
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    for _ in range(steps):
        rows = torch.randint(len(X), (32,))
        optimizer.zero_grad()
        output = model(X[rows])
        targets = y[rows].to(output.dtype).reshape(output.shape) if output.numel() == len(rows) else y[rows]
        criterion(output, targets).backward()
        optimizer.step()
    model.eval()
    return {"criterion": criterion, "optimizer": optimizer}


def of_module(model, X=X, y=Y, criterion=CE, **more):
    return diagnose(model, X, y, criterion=criterion, **more)


def of_trained(model=None, X=X, y=Y, criterion=CE, **settings):
    model = model or mlp()
    return of_module(model, X, y, **trained(model, criterion, X, y, **settings))


class Changed(nn.Module):
    """A linear layer, and a change to its output."""

    def __init__(self, change, columns=3):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Linear(6, columns)
        self.change = change

    def forward(self, x):
        return self.change(self.layers(x))
