"""Accuracy of each class, and of the worst class, as numbers."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sktorch_acc._rates import rates
from sktorch_acc.metrics._counts import count
from sktorch_acc.metrics._targets import LabelPair, read_pair


def per_class_accuracy_score(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any = None,
    kind: Literal["within", "one_vs_rest"] = "within",
    sample_weight: Any = None,
) -> npt.NDArray[np.float64]:
    """Compute the share of each class's samples that were predicted correctly.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels: strings, integers or booleans, also as a pandas or polars column.
    y_pred : array-like of shape (n_samples,)
        Predicted labels of the same samples.
    labels : array-like of shape (n_classes,), default=None
        The classes to report, in this order; they may be a subset, or absent from the data.
        None: the sorted union of the labels in `y_true` and `y_pred`.
    kind : {"within", "one_vs_rest"}, default="within"
        ``"within"``: of the samples of the class, the share predicted as that class. It is the
        recall of the class. ``"one_vs_rest"``: of all samples, the share for which "is it this
        class?" was answered correctly; samples of other classes that are not predicted as this
        class count as correct too, so the value of a rare class is close to 1 even if it is never
        predicted.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights, finite and not negative. None: every sample counts once.

    Returns
    -------
    accuracy : ndarray of shape (n_classes,), dtype float64
        In [0, 1], in the order of `labels`. With ``kind="within"``, NaN for a class without samples;
        with weights, NaN for a class whose weights sum to 0.

    Raises
    ------
    ValueError
        If the lengths differ, the input is empty, a label is missing, strings are mixed with numbers, the
        labels are continuous or have several columns, `labels` repeats a value or has no value
        that occurs in the data, or a weight is negative or not finite.

    See Also
    --------
    per_class_accuracy_table : The same accuracies with counts, interval and most frequent wrong prediction.
    sklearn.metrics.recall_score : The same values as ``kind="within"`` with ``average=None``, but 0
        for a class without samples.

    Notes
    -----
    Without weights the accuracy is one int64 count divided by another in float64, so it equals
    scikit-learn's to the last bit.

    Examples
    --------
    >>> from sktorch_acc.metrics import per_class_accuracy_score
    >>> y_true = ["cat", "cat", "cat", "dog"]
    >>> y_pred = ["cat", "cat", "dog", "dog"]
    >>> per_class_accuracy_score(y_true, y_pred).tolist()
    [0.6666666666666666, 1.0]
    >>> per_class_accuracy_score(y_true, y_pred, labels=["dog", "fox"]).tolist()
    [1.0, nan]
    >>> per_class_accuracy_score(y_true, y_pred, kind="one_vs_rest").tolist()
    [0.75, 0.75]
    """
    if kind not in ("within", "one_vs_rest"):
        raise ValueError(
            f"The 'kind' parameter of per_class_accuracy_score must be 'within' or 'one_vs_rest'. Got {kind!r} instead."
        )
    pair = read_pair(y_true, y_pred, labels, sample_weight)
    return count(pair, pair.weight).accuracy if kind == "within" else _one_vs_rest(pair)


def worst_class_accuracy_score(y_true: Any, y_pred: Any, *, labels: Any = None, sample_weight: Any = None) -> float:
    """Compute the smallest accuracy of any class.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels.
    y_pred : array-like of shape (n_samples,)
        Predicted labels of the same samples.
    labels : array-like of shape (n_classes,), default=None
        The classes to consider; None: all that occur.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights, finite and not negative.

    Returns
    -------
    accuracy : float
        The smallest within-class accuracy, in [0, 1]. Classes without samples are ignored; NaN if no
        class has any.

    Raises
    ------
    ValueError
        As in :func:`per_class_accuracy_score`.

    See Also
    --------
    worst_class_accuracy_scorer : The same value as a scorer.

    Examples
    --------
    >>> from sktorch_acc.metrics import worst_class_accuracy_score
    >>> worst_class_accuracy_score(["cat", "cat", "dog", "dog"], ["cat", "cat", "cat", "dog"])
    0.5
    """
    accuracy = per_class_accuracy_score(y_true, y_pred, labels=labels, sample_weight=sample_weight)
    return float(np.fmin.reduce(accuracy))  # of a number and NaN, fmin returns the number


def _one_vs_rest(pair: LabelPair) -> npt.NDArray[np.float64]:
    """Return the share of all samples on which truth and prediction agree about belonging to the class."""
    sums = count(pair, pair.weight)
    total = len(pair.true) if pair.weight is None else pair.weight.sum()
    share = rates(total - sums.support - sums.predicted + 2 * sums.correct, total)
    return np.clip(share, 0.0, 1.0)  # sums of weights are rounded
