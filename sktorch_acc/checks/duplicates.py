"""Checks of samples that occur more than once: the accuracy they allow (D6), and validation leaks (D10)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktorch_acc._rates import rates
from sktorch_acc.findings import Finding

__all__ = ["RepeatedRows", "check_ceiling", "check_leak", "repeated_rows"]

Ints = npt.NDArray[np.int64]

_BINDING_CEILING = 0.95
_LEAK = 0.05  # share of duplicates
_AT_ONCE = 2**20  # values copied at once


@dataclass(frozen=True)
class RepeatedRows:
    """Counts of the samples whose features are equal.

    Parameters
    ----------
    n_samples : int
        All samples.
    mixed_groups, mixed_samples : int
        Groups of samples with equal features but different labels, and the samples in them.
    best : int
        Most correct predictions that a model can make.
    copies : int
        Samples that repeat another one, label included.
    """

    n_samples: int
    mixed_groups: int
    mixed_samples: int
    best: int
    copies: int

    @property
    def ceiling(self) -> float:
        """Highest accuracy that a model can reach."""
        return float(rates(self.best, self.n_samples))


def repeated_rows(X: Any, y: Ints) -> RepeatedRows:
    """Group the samples that are equal in X, and count the labels in each group.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...) or CSR matrix
        Features.
    y : ndarray of shape (n_samples,), int64
        Class indices.
    """
    if not isinstance(X, np.ndarray):
        X = X.copy()
        X.sum_duplicates()
        X.eliminate_zeros()
    n_samples, n_labels = X.shape[0], int(y.max(initial=0)) + 1
    hashes = np.fromiter(map(hash, _contents(X)), np.int64, n_samples)
    # Samples that share a hash are compared in full; there are few of them in most data.
    shared = np.flatnonzero(pd.Series(hashes).duplicated(keep=False))
    groups, _ = pd.factorize(np.array([*_contents(X[shared])], dtype=object))
    cells, counts = np.unique(groups * n_labels + y[shared], return_counts=True)
    sizes = np.bincount(groups)
    best = np.zeros(len(sizes), dtype=np.int64)
    np.maximum.at(best, cells // n_labels, counts)
    mixed = best < sizes
    return RepeatedRows(
        n_samples,
        mixed_groups=int(mixed.sum()),
        mixed_samples=int(sizes[mixed].sum()),
        best=n_samples - len(shared) + int(best.sum()),
        copies=int((counts - 1).sum()),
    )


def _contents(X: Any) -> Iterator[bytes]:
    """Yield the bytes of each sample, which are equal where the values are."""
    if not isinstance(X, np.ndarray):
        for start, stop in itertools.pairwise(X.indptr.tolist()):
            yield X.indices[start:stop].tobytes() + X.data[start:stop].tobytes()
        return
    step = max(1, _AT_ONCE // max(1, math.prod(X.shape[1:])))
    for start in range(0, len(X), step):
        yield from map(np.ndarray.tobytes, X[start : start + step] + X.dtype.type(0))  # -0.0 becomes 0.0


def check_ceiling(repeated: RepeatedRows) -> Finding | None:
    """Report the highest accuracy possible if samples with equal features have different labels (D6)."""
    if not repeated.mixed_groups:
        return None
    return Finding(
        "ACC-D6",
        "warning" if repeated.ceiling < _BINDING_CEILING else "info",
        f"No model can exceed {repeated.ceiling:.4f} on these samples: {repeated.mixed_samples} of "
        f"{repeated.n_samples} are in {repeated.mixed_groups} group(s) with equal features but different labels.",
        "Look for a column that was lost, rounded or never measured, and for wrong labels.",
    )


def check_leak(repeated: RepeatedRows, validation_fraction: float | None) -> Finding | None:
    """Warn of a random validation split of data with many duplicates (D10)."""
    if validation_fraction is None or repeated.copies < _LEAK * repeated.n_samples:
        return None
    return Finding(
        "ACC-D10",
        "warning",
        f"{repeated.copies} of {repeated.n_samples} samples are duplicates, label included, and "
        f"validation_fraction={validation_fraction:g} splits at random: many validation samples are also in the "
        "training set, and valid_acc is too high.",
        "Drop the duplicates, or split by group and pass X_val and y_val.",
    )
