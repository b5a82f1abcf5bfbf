"""Count samples per class: int64 counts, and float64 sums of weights beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sktorch_acc._rates import rates
from sktorch_acc.metrics._targets import LabelPair


@dataclass(frozen=True)
class ClassSums:
    """Samples of each wanted class (int64), or the sums of their weights (float64).

    Parameters
    ----------
    support, correct, predicted : ndarray of shape (n_labels,)
        Samples of the class, those predicted correctly, and samples predicted as the class.
    """

    support: npt.NDArray[Any]
    correct: npt.NDArray[Any]
    predicted: npt.NDArray[Any]

    @property
    def accuracy(self) -> npt.NDArray[np.float64]:
        """Within-class accuracy; NaN for a class without samples."""
        return rates(self.correct, self.support)

    def with_total(self) -> ClassSums:
        """Append the sum over the classes to each array."""
        return ClassSums(*(np.append(array, array.sum()) for array in (self.support, self.correct, self.predicted)))


def count(pair: LabelPair, weight: npt.NDArray[np.float64] | None = None) -> ClassSums:
    """Count samples, correct predictions and predictions of each wanted class, or sum their weights."""
    n, k = len(pair.classes), pair.n_labels
    hit = pair.true == pair.pred
    hit_weight = None if weight is None else weight[hit]
    return ClassSums(
        np.bincount(pair.true, weights=weight, minlength=n)[:k],
        np.bincount(pair.true[hit], weights=hit_weight, minlength=n)[:k],
        np.bincount(pair.pred, weights=weight, minlength=n)[:k],
    )


def most_confused(pair: LabelPair) -> npt.NDArray[np.int64]:
    """Return, per wanted class, the code of its most frequent wrong prediction; -1 without one.

    The first class in label order wins a tie. The cost grows with the number of wrong predictions,
    not with the square of the number of classes.
    """
    out: npt.NDArray[np.int64] = np.full(pair.n_labels, -1, dtype=np.int64)
    wrong = (pair.true != pair.pred) & (pair.true < pair.n_labels)
    n = len(pair.classes)
    cells, counts = np.unique(pair.true[wrong] * n + pair.pred[wrong], return_counts=True)
    # Largest count last, and of equal counts the first class last: the last write per class stays.
    order = np.lexsort((-cells, counts))
    true, pred = np.divmod(cells[order], n)
    out[true] = pred
    return out


def confusion_counts(pair: LabelPair) -> npt.NDArray[np.int64]:
    """Return the confusion matrix over all classes of the pair: true by predicted, int64."""
    n = len(pair.classes)
    return np.bincount(pair.true * n + pair.pred, minlength=n * n).reshape(n, n)
