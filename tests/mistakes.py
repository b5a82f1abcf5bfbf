"""Mistakes in loops, loaders, outputs and data, each built for real, and their clean counterparts."""

import pandas as pd
import torch
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)

from sktorch_acc import TorchClassifier, diagnose
from tests.modules import DropNorm, Ensemble, LogProbabilities, OneLogit, OneProbability, Sequences

_draws = torch.Generator().manual_seed(0)
X = torch.randn(240, 6, generator=_draws)
Y = (X[:, :3] + 0.3 * torch.randn(240, 3, generator=_draws)).argmax(dim=1)
TWO = (Y == 0).long()
CE, BCEL, NLL = nn.CrossEntropyLoss(), nn.BCEWithLogitsLoss(), nn.NLLLoss()


def mlp(columns=3, *last):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, columns), *last)


def trained(model, criterion=CE, X=X, y=Y, *, steps=60, lr=0.02, optimizer=None):
    """A loop without a mistake of its own: batches of 32, shuffled; returns what diagnose is given."""
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


class Changed(nn.Module):
    """Layers, and a last line of forward that is wrong."""

    def __init__(self, change, columns=3):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Linear(6, columns)
        self.change = change

    def forward(self, x):
        return self.change(self.layers(x))


class LogOfLogits(nn.CrossEntropyLoss):
    """What a wrapper does that takes logits for probabilities."""

    def forward(self, output, target):
        return nn.functional.nll_loss(output.log(), target)


class InAList(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(6, 8), nn.ReLU()]
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(6, 8), nn.Linear(6, 3)

    def forward(self, x):
        self.body(x)
        return self.head(x)


# ------------------------------------------------------------------ a loop of one's own, and its loader


def loader(dataset=None, **settings):
    return DataLoader(dataset or TensorDataset(X, Y), **{"batch_size": 50, **settings})


def with_loader(made, model=None, y=Y, X=X):
    model = model or mlp()
    return of_module(model, X, y, **trained_with(model, X, y), loader=made)


def trained_with(model, X, y):
    return {"optimizer": trained(model, X=X, y=y)["optimizer"]}


SORTED = torch.argsort(Y)

LOADERS = {
    "drop_last": ("ACC-A3", lambda: with_loader(loader(drop_last=True, shuffle=True))),
    "a sampler of a part": ("ACC-A4", lambda: with_loader(loader(sampler=SubsetRandomSampler(range(200))))),
    "weighted resampling": ("ACC-A5", lambda: with_loader(loader(sampler=WeightedRandomSampler(torch.ones(240), 240)))),
    "a bootstrap": ("ACC-A5", lambda: with_loader(loader(sampler=RandomSampler(range(240), replacement=True)))),
    "a last batch of one row": (
        "ACC-B8",
        lambda: of_module(
            DropNorm(6, 3), X[:201], Y[:201], loader=loader(TensorDataset(X[:201], Y[:201]), shuffle=True)
        ),
    ),
    "sorted labels without shuffling": (
        "ACC-D3",
        lambda: with_loader(loader(TensorDataset(X[SORTED], Y[SORTED])), X=X[SORTED], y=Y[SORTED]),
    ),
    "a shuffled loader without labels": ("ACC-D9", lambda: with_loader(loader(TensorDataset(X), shuffle=True))),
}

CLEAN_LOADERS = {
    "shuffled": lambda: with_loader(loader(shuffle=True)),
    "drop_last without a tail": lambda: with_loader(loader(batch_size=48, drop_last=True, shuffle=True)),
    "in order": lambda: with_loader(loader()),
    "sorted, but shuffled": lambda: with_loader(
        loader(TensorDataset(X[SORTED], Y[SORTED]), shuffle=True), X=X[SORTED], y=Y[SORTED]
    ),
    "features alone, in order": lambda: with_loader(loader(TensorDataset(X))),
    "a part, divided by its own length": lambda: with_loader(
        loader(random_split(TensorDataset(X, Y), [200, 40])[0], shuffle=True)
    ),
    "a last batch of one row without batch norm": lambda: of_module(
        mlp(), X[:201], Y[:201], loader=loader(TensorDataset(X[:201], Y[:201]), shuffle=True)
    ),
    "a stream": lambda: with_loader(DataLoader(Stream())),
}


class Stream(IterableDataset):
    def __iter__(self):
        raise AssertionError("diagnose drew from the loader")


# ------------------------------------------------------------------ what the module returns


OUTPUTS = {
    "the wrong axis": ("ACC-B4", lambda: of_module(Changed(lambda z: z.T[:, :3]))),
    "class indices": ("ACC-B6", lambda: of_module(Changed(lambda z: z.argmax(dim=1)))),
    "max() without a dimension": ("ACC-B7", lambda: of_module(Changed(lambda z: z.max()))),
    "a squeeze that drops the batch": ("ACC-B8", lambda: of_module(Changed(lambda z: z.squeeze()))),
    "softmax before cross-entropy": ("ACC-C1", lambda: of_module(mlp(3, nn.Softmax(dim=1)))),
    "sigmoid before BCEWithLogits": ("ACC-C1", lambda: of_module(mlp(1, nn.Sigmoid()), y=TWO, criterion=BCEL)),
    "logits under NLLLoss": ("ACC-C2", lambda: of_module(mlp(), criterion=NLL)),
    "logits under BCELoss": ("ACC-C4", lambda: of_module(mlp(1), y=TWO, criterion=nn.BCELoss())),
    "one column under cross-entropy": ("ACC-C7", lambda: of_module(mlp(1), y=TWO)),
    "too few columns": ("ACC-C8", lambda: of_module(mlp(2))),
    "log of a softmax that underflows": (
        "ACC-C10",
        lambda: of_module(Changed(lambda z: (z * 1e4).softmax(dim=1).log()), criterion=NLL),
    ),
    "a logarithm of logits": ("ACC-C3", lambda: of_module(mlp(), criterion=LogOfLogits())),
    "softmax in an unfitted estimator": (
        "ACC-C1",
        lambda: diagnose(TorchClassifier(mlp(3, nn.Softmax(dim=1))), X, Y),
    ),
}

CLEAN_OUTPUTS = {
    "logits": lambda: of_module(mlp()),
    "without a criterion": lambda: of_module(mlp(), criterion=None),
    "one logit": lambda: of_module(OneLogit(6), y=TWO, criterion=BCEL),
    "one flat logit": lambda: of_module(OneLogit(6, flat=True), y=TWO.float(), criterion=BCEL),
    "one probability": lambda: of_module(OneProbability(6), y=TWO.float()[:, None], criterion=nn.BCELoss()),
    "log-probabilities": lambda: of_module(LogProbabilities(6, 3), criterion=NLL),
    "an ensemble": lambda: of_module(Ensemble(6, 3)),
    "more columns than labels in these rows": lambda: of_module(mlp(5)),
    "a criterion of one's own": lambda: of_module(mlp(), criterion=nn.MultiMarginLoss()),
    "a function as criterion": lambda: of_module(mlp(), criterion=nn.functional.cross_entropy),
    "tokens": lambda: of_module(Sequences(3), X=(X.abs() * 5).long().clamp(max=19)),
    "float64": lambda: of_module(mlp().double(), X=X.double()),
    "numpy": lambda: of_module(mlp(), X=X.numpy(), y=Y.numpy()),
    "pandas": lambda: of_module(mlp(), X=pd.DataFrame(X.numpy()), y=pd.Series(Y.numpy())),
}


# ------------------------------------------------------------------ rows and labels


def with_a_nan():
    rows = X.clone()
    rows[3, 2] = torch.nan
    return rows


def diverged():
    model = mlp()
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    return model


class Rare(nn.Module):
    """Divides by 0 for a few rows."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        return self.layer(x) / (x[:, :1] < 2).float() * 1.0 - 0 * torch.log((x[:, :1] < 2).float())


def of_trained(model=None, X=X, y=Y, criterion=CE, **settings):
    model = model or mlp()
    return of_module(model, X, y, **trained(model, criterion, X, y, **settings))


def unscaled(X=X):
    return X * torch.tensor([1.0, 1, 1, 1, 20_000, 1])


REPEATED = (X[:120] * 2).round() / 2
FRAME = pd.DataFrame(X.numpy(), columns=list("abcdef"))

DATA = {
    "labels from 1": ("ACC-D1", lambda: of_module(mlp(), y=Y + 1)),
    "-1 for unknown": ("ACC-D1", lambda: of_module(mlp(), y=torch.where(Y == 2, -1, Y))),
    "gaps": ("ACC-D1", lambda: of_module(mlp(), y=Y * 3)),
    "y in another order": (
        "ACC-D2",
        lambda: diagnose(TorchClassifier(), FRAME, pd.Series(Y.numpy()).sample(frac=1, random_state=0)),
    ),
    "income beside age": ("ACC-D4", lambda: of_trained(X=unscaled())),
    "income in an estimator": ("ACC-D4", lambda: diagnose(TorchClassifier(), unscaled(), Y)),
    "a missing value": ("ACC-D5", lambda: of_module(mlp(), X=with_a_nan())),
    "a missing value in an estimator": ("ACC-D5", lambda: diagnose(TorchClassifier(), with_a_nan(), Y)),
    "a missing value in a frame": (
        "ACC-D5",
        lambda: diagnose(TorchClassifier(), FRAME.mask(FRAME > 2.5), pd.Series(Y.numpy())),
    ),
    "NaN in the weights": ("ACC-D5", lambda: of_module(diverged())),
    "a logarithm of 0": ("ACC-D5", lambda: of_module(Rare())),
    "one row, two labels": (
        "ACC-D6",
        lambda: of_trained(X=torch.cat([X, X[:60]]), y=torch.cat([Y, (Y[:60] + 1) % 3])),
    ),
    "nothing but the majority": (
        "ACC-D7",
        lambda: of_trained(
            X=X, y=(torch.rand(240, generator=torch.Generator().manual_seed(1)) < 0.07).long(), model=mlp(2)
        ),
    ),
    "one-hot labels": ("ACC-B3", lambda: of_module(mlp(), y=nn.functional.one_hot(Y))),
    "one-hot labels in an estimator": ("ACC-B3", lambda: diagnose(TorchClassifier(), X, nn.functional.one_hot(Y))),
    "soft labels": ("ACC-D11", lambda: of_module(mlp(), y=torch.softmax(X[:, :3], dim=1))),
}

CLEAN_DATA = {
    "labels from 0": lambda: of_trained(),
    "the same index": lambda: diagnose(TorchClassifier(), FRAME, pd.Series(Y.numpy())),
    "other indices": lambda: diagnose(TorchClassifier(), FRAME, pd.Series(Y.numpy(), index=range(9, 249))),
    "scaled in a pipeline": lambda: diagnose(TorchClassifier(), StandardScaler().fit_transform(unscaled().numpy()), Y),
    "batch norm comes first": lambda: of_trained(nn.Sequential(nn.BatchNorm1d(6), mlp()), X=unscaled()),
    "two values of any size": lambda: of_trained(X=torch.cat([X[:, :5], 1000.0 * TWO[:, None]], dim=1)),
    "repeated rows with one label": lambda: of_trained(X=torch.cat([X, X[:60]]), y=torch.cat([Y, Y[:60]])),
    "rare, but learnt": lambda: of_trained(y=(X[:, 0] > 1.5).long(), model=mlp(2), steps=200),
}
