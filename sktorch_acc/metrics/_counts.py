"""Count what was right: int64 counts per class, and float64 sums of weights beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sktorch_acc.metrics._targets import LabelPair

__all__ = ["ClassCounts", "ClassWeights", "confusion_counts", "count", "most_confused", "weigh"]


@dataclass(frozen=True)
class ClassCounts:
    """Rows per wanted class, each array int64 of shape (n_labels,)."""

    support: npt.NDArray[np.int64]
    correct: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClassWeights:
    """Sums of weights per wanted class, each array float64 of shape (n_labels,)."""

    support: npt.NDArray[np.float64]
    correct: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.float64]


def count(pair: LabelPair) -> ClassCounts:
    """Count rows, correct rows and predictions of each wanted class."""
    return ClassCounts(*(sums.astype(np.int64) for sums in _sums(pair, None)))


def weigh(pair: LabelPair) -> ClassWeights:
    """Sum the weights of rows, correct rows and predictions of each wanted class."""
    return ClassWeights(*(sums.astype(np.float64) for sums in _sums(pair, pair.weight)))


def _sums(pair: LabelPair, weight: npt.NDArray[np.float64] | None) -> tuple[npt.NDArray[Any], ...]:
    n, k = len(pair.classes), pair.n_labels
    hit = pair.true == pair.pred
    hit_weight = None if weight is None else weight[hit]
    return (
        np.bincount(pair.true, weights=weight, minlength=n)[:k],
        np.bincount(pair.true[hit], weights=hit_weight, minlength=n)[:k],
        np.bincount(pair.pred, weights=weight, minlength=n)[:k],
    )


def most_confused(pair: LabelPair) -> npt.NDArray[np.int64]:
    """Return, per wanted class, the code of its most frequent wrong prediction; -1 without one.

    The first class in label order wins a tie. The cost grows with the number of wrong rows, not
    with the square of the number of classes.
    """
    out: npt.NDArray[np.int64] = np.full(pair.n_labels, -1, dtype=np.int64)
    wrong = (pair.true != pair.pred) & (pair.true < pair.n_labels)
    n = len(pair.classes)
    cells, counts = np.unique(pair.true[wrong] * n + pair.pred[wrong], return_counts=True)
    # Largest count last, and of equal counts the first class last: the last write per row stays.
    order = np.lexsort((-cells, counts))
    true, pred = np.divmod(cells[order], n)
    out[true] = pred
    return out


def confusion_counts(pair: LabelPair) -> npt.NDArray[np.int64]:
    """Return the confusion matrix over all classes of the pair: true by predicted, int64."""
    n = len(pair.classes)
    return np.bincount(pair.true * n + pair.pred, minlength=n * n).astype(np.int64).reshape(n, n)
