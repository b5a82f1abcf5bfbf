"""Common mistakes in loaders, outputs and data, and correct counterparts."""

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
from tests.mistakes.common import BCEL, NLL, TWO, Changed, X, Y, mlp, of_module, of_trained, trained
from tests.modules import DropNorm, Ensemble, LogProbabilities, OneLogit, OneProbability, Sequences


class LogOfLogits(nn.CrossEntropyLoss):
    """A wrapper that expects probabilities and gets logits."""

    def forward(self, output, target):
        return nn.functional.nll_loss(output.log(), target)


# ------------------------------------------------------------------ loaders


def loader(dataset=None, **settings):
    return DataLoader(dataset or TensorDataset(X, Y), **{"batch_size": 50, **settings})


def with_loader(made, model=None, y=Y, X=X):
    model = model or mlp()
    return of_module(model, X, y, **trained(model, X=X, y=y), loader=made)


SORTED = torch.argsort(Y)

LOADERS = {
    "drop_last": ("ACC-A3", lambda: with_loader(loader(drop_last=True, shuffle=True))),
    "a sampler of a part": ("ACC-A4", lambda: with_loader(loader(sampler=SubsetRandomSampler(range(200))))),
    "weighted resampling": ("ACC-A5", lambda: with_loader(loader(sampler=WeightedRandomSampler(torch.ones(240), 240)))),
    "a bootstrap": ("ACC-A5", lambda: with_loader(loader(sampler=RandomSampler(range(240), replacement=True)))),
    "a last batch of one sample": (
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
    "drop_last without a short last batch": lambda: with_loader(loader(batch_size=48, drop_last=True, shuffle=True)),
    "in order": lambda: with_loader(loader()),
    "sorted, but shuffled": lambda: with_loader(
        loader(TensorDataset(X[SORTED], Y[SORTED]), shuffle=True), X=X[SORTED], y=Y[SORTED]
    ),
    "features alone, in order": lambda: with_loader(loader(TensorDataset(X))),
    "a part, divided by its own length": lambda: with_loader(
        loader(random_split(TensorDataset(X, Y), [200, 40])[0], shuffle=True)
    ),
    "a last batch of one sample without batch norm": lambda: of_module(
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
    "softmax over the batch": ("ACC-B4", lambda: of_module(Changed(lambda z: z.softmax(dim=0)))),
    "batch norm without running statistics": (
        "ACC-B4",
        lambda: of_module(nn.Sequential(nn.BatchNorm1d(6, track_running_stats=False), nn.Linear(6, 3))),
    ),
    "the mean of the batch, in an unfitted estimator": (
        "ACC-B4",
        lambda: diagnose(TorchClassifier(Changed(lambda z: z - z.mean(dim=0))), X, Y),
    ),
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
    "more columns than labels in the data": lambda: of_module(mlp(5)),
    "a custom criterion": lambda: of_module(mlp(), criterion=nn.MultiMarginLoss()),
    "a function as criterion": lambda: of_module(mlp(), criterion=nn.functional.cross_entropy),
    "tokens": lambda: of_module(Sequences(3), X=(X.abs() * 5).long().clamp(max=19)),
    "float64": lambda: of_module(mlp().double(), X=X.double()),
    "numpy": lambda: of_module(mlp(), X=X.numpy(), y=Y.numpy()),
    "pandas": lambda: of_module(mlp(), X=pd.DataFrame(X.numpy()), y=pd.Series(Y.numpy())),
}


# ------------------------------------------------------------------ features and labels


def with_a_nan():
    gaps = X.clone()
    gaps[3, 2] = torch.nan
    return gaps


def diverged():
    model = mlp()
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    return model


class Rare(nn.Module):
    """Divides by 0 for a few samples."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        return self.layer(x) / (x[:, :1] < 2).float() * 1.0 - 0 * torch.log((x[:, :1] < 2).float())


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
    "equal samples, two labels": (
        "ACC-D6",
        lambda: of_trained(X=torch.cat([X, X[:60]]), y=torch.cat([Y, (Y[:60] + 1) % 3])),
    ),
    "only the majority is predicted": (
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
    "repeated samples with one label": lambda: of_trained(X=torch.cat([X, X[:60]]), y=torch.cat([Y, Y[:60]])),
    "rare, but learnt": lambda: of_trained(y=(X[:, 0] > 1.5).long(), model=mlp(2), steps=200),
}
