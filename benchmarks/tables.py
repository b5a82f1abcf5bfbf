"""The tables and modules of the benchmarks, and the estimator of the library for them."""

from __future__ import annotations

import itertools
import statistics
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from benchmarks.measure import Settings, now
from sktorch_acc import TorchClassifier

__all__ = ["LARGE", "MEDIUM", "SMALL", "TALL", "Case", "Doubled", "Stamped", "estimator", "ours", "per_epoch"]


class Stamped(nn.Module):
    """Two hidden layers; stores the time when training mode begins.

    The library calls ``module.train()`` once per epoch, so that the differences are complete epochs, including work
    that the column ``seconds`` of ``history_`` does not contain.
    """

    stamps: ClassVar[list[float]] = []

    def __init__(self, n_features: int, hidden: int, n_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, n_classes)
        )

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.layers(X)

    def train(self, mode: bool = True) -> Stamped:
        if mode:
            Stamped.stamps.append(now())
        return super().train(mode)


class Doubled(Stamped):
    """The same in float64."""

    def __init__(self, n_features: int, hidden: int, n_classes: int) -> None:
        super().__init__(n_features, hidden, n_classes)
        self.double()


@dataclass(frozen=True)
class Case:
    """A table and the module for it."""

    name: str
    n_features: int
    hidden: int
    n_classes: int
    batch_size: int
    n_rows: int

    @property
    def title(self) -> str:
        shape = f"{self.n_features}-{self.hidden}-{self.hidden}-{self.n_classes}"
        return f"{self.name}: {shape}, batch {self.batch_size}, {self.n_rows:,} rows"

    def scaled(self, settings: Settings) -> Case:
        return replace(self, n_rows=settings.n_rows(self.n_rows))

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Return float32 features, and int64 labels that depend on them."""
        rng = np.random.default_rng(0)
        X = rng.standard_normal((self.n_rows, self.n_features), dtype=np.float32)
        scores = X @ rng.standard_normal((self.n_features, self.n_classes), dtype=np.float32)
        y = (scores + 2 * rng.standard_normal(scores.shape, dtype=np.float32)).argmax(axis=1)
        y[: self.n_classes] = np.arange(self.n_classes)  # every class has a sample
        return X, y

    def module(self) -> Stamped:
        return Stamped(self.n_features, self.hidden, self.n_classes)


SMALL = Case("small", 12, 32, 3, 32, 2_000)
MEDIUM = Case("medium", 30, 64, 3, 128, 20_000)
LARGE = Case("large", 50, 256, 3, 1024, 20_000)
TALL = Case("tall", 30, 64, 3, 1024, 200_000)


def estimator(case: Case, mode: str | None, n_epochs: int, **params: Any) -> TorchClassifier:
    """Return the estimator of the library, with one thread by default."""
    params = {"n_threads": 1, "random_state": 0, **params}
    return TorchClassifier(
        Stamped,
        module__hidden=case.hidden,
        batch_size=case.batch_size,
        max_epochs=n_epochs,
        train_accuracy=mode,
        **params,
    )


def per_epoch(stamps: list[float]) -> float:
    """Return the median seconds of an epoch, without the first two."""
    taken = [after - before for before, after in itertools.pairwise(stamps)]
    return statistics.median(taken[2:])


def ours(case: Case, X: Any, y: Any, mode: str | None, n_epochs: int = 12, **params: Any) -> float:
    """Return the seconds of an epoch of the library, from one call of ``train()`` to the next."""
    Stamped.stamps.clear()
    estimator(case, mode, n_epochs + 1, **params).fit(X, y)
    return per_epoch(Stamped.stamps[-(n_epochs + 1) :])  # the earlier ones are of the probe
