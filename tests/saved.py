"""Estimators to save, and ways to spoil the files, for the tests of `persistence`."""

import functools
import hashlib
import io
import json

import numpy as np
import torch
from torch import nn

from sktorch_acc import TorchClassifier, load_model, save_model
from sktorch_acc.storage.archive import read_entries, write_entries


class TwoLayers(nn.Module):
    """A user's module with an argument that is a class."""

    def __init__(self, n_features, n_classes, hidden=8, activation=nn.ReLU):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, hidden), activation(), nn.Linear(hidden, n_classes))

    def forward(self, X):
        return self.layers(X)


class Tied(nn.Module):
    """One weight under two names, a buffer outside the state dict, and one inside."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.first = nn.Linear(n_features, n_features, bias=False)
        self.second = nn.Linear(n_features, n_features, bias=False)
        self.second.weight = self.first.weight
        self.head = nn.Linear(n_features, n_classes)
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("scale", torch.ones(n_features), persistent=False)
        self.register_buffer("cache", None, persistent=False)

    def forward(self, X):
        if self.training:
            self.seen += 1
            self.scale = 0.9 * self.scale + 0.1 * X.detach().abs().mean(dim=0)
            self.cache = self.scale[:1].repeat(2)
        return self.head(self.second(self.first(X)) / self.scale)


class PairLoss(nn.Module):
    """A criterion of the user's own, with a parameter."""

    def __init__(self, temperature=1.0):
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(float(temperature)).log())

    def forward(self, output, target):
        return nn.functional.cross_entropy(output / self.log_temperature.exp(), target)


def two_layers(n_features, n_classes):
    """A factory with a name."""
    return TwoLayers(n_features, n_classes)


wide_layers = functools.partial(TwoLayers, hidden=16)


def table(n=40, n_features=4, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal((n, n_features)).astype(dtype)


def three_classes(n=40):
    return np.arange(n) % 3


def small(module=None, X=None, y=None, **params):
    """A fitted estimator, quickly."""
    params = {"max_epochs": 2, "random_state": 0, **params}
    X = table() if X is None else X
    return TorchClassifier(module, **params).fit(X, three_classes(X.shape[0]) if y is None else y)


def saved(clf, **options):
    """The bytes of a model file."""
    file = io.BytesIO()
    save_model(clf, file, **options)
    return file.getvalue()


def loaded(data, *args, **options):
    return load_model(io.BytesIO(data), *args, **options)


def parts(data):
    """The manifest as an object, and the weights."""
    manifest, weights = read_entries(io.BytesIO(data))
    return json.loads(manifest), weights


def joined(manifest, weights, *, rehash=True):
    """A file whose checksums fit, from a manifest (object or bytes) that was tampered with."""
    if rehash and isinstance(manifest, dict):
        manifest = {**manifest, "weights": {"size": len(weights), "sha256": hashlib.sha256(weights).hexdigest()}}
    if not isinstance(manifest, bytes):
        manifest = json.dumps(manifest).encode()
    file = io.BytesIO()
    write_entries(file, (manifest, weights))
    return file.getvalue()
