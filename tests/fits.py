"""Settings, examples and fits made by hand, for the tests of the engine."""

import numpy as np
import torch
from torch import nn

from sktorch_acc import TorchClassifier
from sktorch_acc._global_state import isolated
from sktorch_acc.data import Examples, FeatureSchema, Labels
from sktorch_acc.data.rows import as_rows
from sktorch_acc.engine.observer import Observer
from sktorch_acc.engine.prepare import FitData, prepare

CPU = torch.device("cpu")


def table(n=20, n_features=3, dtype="float32"):
    """Rows that a linear layer can learn something from."""
    return np.random.default_rng(0).standard_normal((n, n_features)).astype(dtype)


def classes(n=20, n_classes=2):
    return np.arange(n) % n_classes


def settings(module=nn.Linear, **given):
    """The settings of an estimator; what is not given is the default."""
    return TorchClassifier(module, **given)._settings()


def examples(X=None, y=None, n_classes=2, weights=None):
    X = table() if X is None else X
    y = classes(len(X), n_classes) if y is None else np.asarray(y)
    rows = as_rows(X, torch.float32 if X.dtype == np.float32 else torch.float64)
    return Examples.of(rows, y, n_classes, None if weights is None else np.asarray(weights, dtype=np.float64))


def fit_data(given=None, validation=None):
    given = examples() if given is None else given
    shape = tuple(given.rows.source.shape[1:])
    schema = FeatureSchema(shape, integers=False, dtype=str(given.rows.dtype).removeprefix("torch."))
    return FitData(schema, Labels(np.arange(given.n_classes)), given, validation)


def prepared(module=nn.Linear, given=None, validation=None, *, observers=(), state=None, seed=0, **parameters):
    """A fit that is ready to be carried out."""
    with isolated(CPU):
        return prepare(
            settings(module, **parameters),
            fit_data(given, validation),
            seed=seed,
            state=state,
            observers=observers,
        )


class Heard(Observer):
    """Writes down the hooks that it hears, with its name."""

    def __init__(self, name="", log=None, stop_after=None):
        self.name, self.stop_after = name, stop_after
        self.log = [] if log is None else log

    def _write(self, hook):
        self.log.append((self.name, hook) if self.name else hook)

    def fit_begin(self, fit):
        self._write("fit_begin")

    def epoch_begin(self, fit, epoch):
        self._write(f"epoch_begin {epoch}")

    def epoch_recorded(self, fit, row):
        self._write(f"epoch_recorded {row.epoch}")

    def epoch_end(self, fit, row):
        self._write(f"epoch_end {row.epoch}")
        return row.epoch == self.stop_after

    def fit_end(self, fit):
        self._write("fit_end")
        return []

    def result(self, fit):
        self._write("result")

    def published(self, fit):
        self._write("published")
