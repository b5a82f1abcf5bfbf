"""A page of the catalogue, and the code that several pages begin with."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COUNTS", "LOOP", "ONE_COLUMN", "TABLE", "AUDITED", "Page"]


@dataclass(frozen=True)
class Page:
    """One entry of the catalogue.

    Parameters
    ----------
    code : str
        Without the prefix, such as ``"A1"``.
    title : str
        The error in a few words.
    see, why, fix : str
        The symptom, its cause, and how to fix it.
    setup, wrong, right : str
        Python. `wrong` prints a wrong value and the code, `right` the correct value and no code.
    blocks : str
        Name of the two pieces of code.
    """

    code: str
    title: str
    see: str
    why: str
    fix: str
    setup: str
    wrong: str
    right: str
    blocks: str = "loops"


COUNTS = """\
import torch
from sktorch_acc import explain_accuracy

index = torch.arange(1000)
y = index % 3
predicted = torch.where((index % 9 == 0) | (index >= 980), (y + 1) % 3, y)  # 871 of 1000 are correct
z = 3.0 * torch.nn.functional.one_hot(predicted, 3) - 0.9  # the output of the module
batches = list(zip(z.split(64), y.split(64)))
"""

ONE_COLUMN = """\
import torch
from sktorch_acc import explain_accuracy

z = torch.linspace(-2, 3, 100).reshape(100, 1)  # one column of logits
y = (z[:, 0] > 0.2).long()
"""

LOOP = """\
import torch
from torch import nn
from sktorch_acc import diagnose

torch.manual_seed(0)
X = torch.randn(240, 4)
y = (X[:, :3] + 0.2 * torch.randn(240, 3)).argmax(dim=1)


def train(model, criterion, X, y, steps=100, optimizer=None):
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=0.02)
    model.train()
    for step in range(steps):
        batch = torch.arange(24) + 24 * (step % 10)
        optimizer.zero_grad()
        criterion(model(X[batch]), y[batch]).backward()
        optimizer.step()
    model.eval()
    return optimizer


def accuracy(model, X, y):
    with torch.no_grad():
        return f"{(model(X).argmax(dim=1) == y).sum().item() / len(y):.2f}"
"""

TABLE = """\
import numpy as np
import torch
from torch import nn
from sktorch_acc import TorchClassifier, diagnose

torch.manual_seed(0)
rng = np.random.default_rng(0)
X = rng.standard_normal((240, 4)).astype("float32")
y = np.array(["cat", "dog", "fox"])[(X[:, :3] + 0.2 * rng.standard_normal((240, 3))).argmax(axis=1)]
settings = {"lr": 0.02, "max_epochs": 15, "batch_size": 32, "random_state": 0, "diagnose": "off"}
"""

AUDITED = """\
import torch
from torch import nn
from sktorch_acc import AccuracyCounter, audit_loop

torch.manual_seed(0)
X = torch.randn(240, 4)
y = (X[:, :3] + 0.5 * torch.randn(240, 3)).argmax(dim=1)
batches = list(zip(X.split(16), y.split(16)))
criterion = nn.CrossEntropyLoss()


def new(*layers):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), *layers, nn.Linear(32, 3))
    return model, torch.optim.Adam(model.parameters(), lr=0.03)


def accuracy(model):
    model.eval()
    with torch.no_grad():
        return (model(X).argmax(dim=1) == y).sum().item() / len(y)
"""
