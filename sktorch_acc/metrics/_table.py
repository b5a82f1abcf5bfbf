"""The per-class table: counts, accuracy, interval and most frequent wrong prediction of each class."""

from __future__ import annotations

from numbers import Real
from typing import Any

import pandas as pd

from sktorch_acc._rates import wilson_interval
from sktorch_acc.labels import as_labels, sorted_union
from sktorch_acc.metrics._counts import count, most_confused
from sktorch_acc.metrics._estimators import refuse_other_kinds
from sktorch_acc.metrics._targets import LabelPair, read_pair


def per_class_accuracy_table(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any = None,
    confidence: float = 0.95,
    sample_weight: Any = None,
) -> pd.DataFrame:
    """Tabulate how many samples of each class were predicted correctly.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels: strings, integers or booleans, also as a pandas or polars column.
    y_pred : array-like of shape (n_samples,)
        Predicted labels of the same samples.
    labels : array-like of shape (n_classes,), default=None
        The classes to report, in this order. None: the sorted union of the labels in `y_true` and
        `y_pred`. With a subset, the last row covers the samples whose true label is in it.
    confidence : float, default=0.95
        Confidence level of the interval, between 0 and 1, both excluded.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights, finite and not negative. They add two columns; the other columns do not change.

    Returns
    -------
    table : DataFrame of shape (n_classes + 1, 8), or (n_classes + 1, 10) with weights
        Index `label` (dtype object): the classes, then ``"overall"``, or ``"(overall)"`` if a class
        has that name. Columns:

        - `support`, `correct`, `wrong` (int64): samples of the class, and how many of them were
          predicted correctly and wrongly;
        - `predicted` (int64): samples predicted as the class, correctly or wrongly;
        - `accuracy` (float64): `correct / support`, NaN for a class without samples;
        - `low`, `high` (float64): Wilson score interval of `accuracy`, NaN for a class without samples;
        - `most_confused_with` (object): the most frequent wrong prediction for samples of the class,
          the first in label order on ties; None without wrong predictions and in the last row;
        - `weight`, `weighted_accuracy` (float64, only with `sample_weight`): the sum of the weights
          of the class's samples, and the share of it that was predicted correctly.

        The counts of the last row are the sums of the counts above.

    Raises
    ------
    ValueError
        If `confidence` is not in (0, 1), or as in :func:`per_class_accuracy_score`.

    See Also
    --------
    classification_report : The same values as text, under scikit-learn's report.
    sktorch_acc.plots.PerClassAccuracyDisplay : The same values as a plot.

    Notes
    -----
    Every accuracy is one int64 count divided by another in float64: the last row equals
    ``sklearn.metrics.accuracy_score`` to the last bit.

    References
    ----------
    E. B. Wilson (1927), "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22, 209-212.

    Examples
    --------
    >>> from sktorch_acc.metrics import per_class_accuracy_table
    >>> y_true = ["cat"] * 4 + ["dog"] * 2
    >>> y_pred = ["cat", "cat", "cat", "dog", "dog", "dog"]
    >>> table = per_class_accuracy_table(y_true, y_pred)
    >>> table[["support", "correct", "predicted", "accuracy", "most_confused_with"]]
             support  correct  predicted  accuracy most_confused_with
    label
    cat            4        3          3  0.750000                dog
    dog            2        2          3  1.000000               None
    overall        6        5          6  0.833333               None
    """
    check_confidence(confidence, "per_class_accuracy_table")
    return table_of_pair(read_pair(y_true, y_pred, labels, sample_weight), confidence)


def table_of_estimator(estimator: Any, X: Any, y: Any, *, labels: Any = None, confidence: float = 0.95) -> pd.DataFrame:
    """Predict once and build the table over the estimator's classes and any other label in `y`.

    A class of `y` that the estimator does not know has a row too, with accuracy 0.
    """
    refuse_other_kinds(estimator)
    if labels is None and getattr(estimator, "classes_", None) is not None:
        classes = as_labels(estimator.classes_, "classes_")
        labels = sorted_union({"classes_": classes, "y": as_labels(y, "y")})
    return per_class_accuracy_table(y, estimator.predict(X), labels=labels, confidence=confidence)


def table_of_pair(pair: LabelPair, confidence: float = 0.95) -> pd.DataFrame:
    """Build the table from encoded labels."""
    counts = count(pair).with_total()
    low, high = wilson_interval(counts.correct, counts.support, confidence)
    labels = pair.labels.tolist()
    index = pd.Index([*labels, _overall_name(labels)], dtype=object, name="label")
    columns: dict[str, Any] = {
        "support": counts.support,
        "correct": counts.correct,
        "wrong": counts.support - counts.correct,
        "predicted": counts.predicted,
        "accuracy": counts.accuracy,
        "low": low,
        "high": high,
        # dtype object whatever the labels are: a str column would turn None into NaN.
        "most_confused_with": pd.Series(_confused_labels(pair), dtype=object, index=index),
    }
    if pair.weight is not None:
        sums = count(pair, pair.weight).with_total()
        columns |= {"weight": sums.support, "weighted_accuracy": sums.accuracy}
    return pd.DataFrame(columns, index=index)


def _overall_name(labels: list[Any]) -> str:
    """Return a name for the last row that is not a class."""
    name = "overall"
    while name in labels:
        name = f"({name})"
    return name


def check_confidence(confidence: float, owner: str) -> None:
    """Refuse a confidence level outside (0, 1)."""
    if isinstance(confidence, bool) or not isinstance(confidence, Real) or not 0 < confidence < 1:
        raise ValueError(
            f"The 'confidence' parameter of {owner} must be a float in the range (0, 1). "
            f"Got {confidence!r} instead. Use 0.95 for a 95 % interval."
        )


def _confused_labels(pair: LabelPair) -> list[Any]:
    """Return labels instead of codes, None where no prediction was wrong, and None for the last row."""
    classes = [*pair.classes.tolist(), None]  # code -1 finds the None
    return [classes[code] for code in [*most_confused(pair).tolist(), -1]]
