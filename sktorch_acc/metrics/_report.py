"""scikit-learn's classification report, followed by the accuracy of each class with its interval."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import classification_report as sklearn_report

from sktorch_acc._text import listed, shorten
from sktorch_acc.metrics._table import check_confidence, table_of_pair
from sktorch_acc.metrics._targets import LabelPair, read_pair

_WIDTH = 100
_NAME_WIDTH = 28  # leaves room for the numbers within _WIDTH
_CONFUSED = "confused with"


def classification_report(
    y_true: Any,
    y_pred: Any,
    *,
    labels: Any = None,
    target_names: Any = None,
    sample_weight: Any = None,
    digits: int = 2,
    confidence: float = 0.95,
    zero_division: Any = np.nan,
) -> str:
    """Write scikit-learn's report, followed by the accuracy of each class with its interval.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        True labels.
    y_pred : array-like of shape (n_samples,)
        Predicted labels of the same samples.
    labels : array-like of shape (n_classes,), default=None
        The classes to report, in this order; None: all that occur. With a subset, scikit-learn
        shows no accuracy; a line with the code ACC-G5 says which classes are left out and how many
        samples they have.
    target_names : array-like of shape (n_classes,) of str, default=None
        Names to show instead of the labels, in the same order.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights, finite and not negative. scikit-learn's part is weighted; the part below counts
        samples and adds the weighted accuracy.
    digits : int, default=2
        Digits after the decimal point.
    confidence : float, default=0.95
        Confidence level of the Wilson interval, between 0 and 1, both excluded.
    zero_division : {0, 1, nan, "warn"}, default=nan
        What scikit-learn's part shows for a value that divides by zero. Its own default is 0 with a
        warning; here the default is NaN, because the value is undefined.

    Returns
    -------
    report : str
        At most 100 columns wide with up to four digits. Names longer than 28 characters are
        shortened with an ellipsis.

    Raises
    ------
    ValueError
        If `confidence` is not in (0, 1), `target_names` has another length than `labels`, or as in
        :func:`per_class_accuracy_score`.

    See Also
    --------
    per_class_accuracy_table : The values of the lower part as a DataFrame.
    sklearn.metrics.classification_report : The upper part.

    Examples
    --------
    >>> from sktorch_acc.metrics import classification_report
    >>> y_true = ["cat"] * 40 + ["dog"] * 20
    >>> y_pred = ["cat"] * 33 + ["dog"] * 26 + ["cat"]
    >>> print(classification_report(y_true, y_pred))
                  precision    recall  f1-score   support
    <BLANKLINE>
             cat       0.97      0.82      0.89        40
             dog       0.73      0.95      0.83        20
    <BLANKLINE>
        accuracy                           0.87        60
       macro avg       0.85      0.89      0.86        60
    weighted avg       0.89      0.87      0.87        60
    <BLANKLINE>
    Accuracy within each class (its recall), with a 95% interval
    <BLANKLINE>
                  accuracy   low  high  correct  support  predicted  confused with
             cat      0.82  0.68  0.91       33       40         34  dog
             dog      0.95  0.76  0.99       19       20         26  cat
         overall      0.87  0.76  0.93       52       60         60
    """
    check_confidence(confidence, "classification_report")
    pair = read_pair(y_true, y_pred, labels, sample_weight)
    names = _names(pair, target_names)
    upper = sklearn_report(
        pair.classes[pair.true],
        pair.classes[pair.pred],
        labels=pair.labels,
        target_names=names,
        sample_weight=pair.weight,
        digits=digits,
        zero_division=zero_division,
    )
    title = f"Accuracy within each class (its recall), with a {confidence * 100:g}% interval"
    lower = _accuracy_lines(table_of_pair(pair, confidence), names, digits)
    return "\n".join([upper, title, "", *lower, *_left_out(pair)])


def _names(pair: LabelPair, target_names: Any) -> list[str]:
    labels = pair.labels.tolist()
    names = labels if target_names is None else list(target_names)
    if len(names) != len(labels):
        raise ValueError(
            f"target_names must name the {len(labels)} classes {listed(labels)}, in this order. Got {len(names)} names."
        )
    return [shorten(name, _NAME_WIDTH) for name in names]


def _accuracy_lines(table: pd.DataFrame, names: list[str], digits: int) -> list[str]:
    """One line per row of the table; the first column as wide as in scikit-learn's part."""
    rates = ["accuracy", "low", "high", *(["weighted_accuracy"] if "weighted_accuracy" in table else [])]
    columns = [_right(["", *names, str(table.index[-1])], len("weighted avg"))]
    columns += [_right([name.partition("_")[0], *(f"{v:.{digits}f}" for v in table[name])]) for name in rates]
    columns += [_right([name, *(str(v) for v in table[name])]) for name in ("correct", "support", "predicted")]
    room = _WIDTH - sum(len(cells[0]) for cells in columns) - 2 * len(columns)
    if room >= len(_CONFUSED):
        columns.append(
            [_CONFUSED, *("" if label is None else shorten(label, room) for label in table["most_confused_with"])]
        )
    return ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]


def _right(cells: list[str], at_least: int = 0) -> list[str]:
    width = max(at_least, *(len(cell) for cell in cells))
    return [f"{cell:>{width}}" for cell in cells]


def _left_out(pair: LabelPair) -> list[str]:
    """Name the classes that a subset of labels leaves out: scikit-learn's report then has no accuracy row (G5)."""
    left_out, n_classes = pair.classes[pair.n_labels :].tolist(), len(pair.classes)
    if not left_out:
        return []
    rows = int((pair.true >= pair.n_labels).sum())
    whose = "the rows of these classes" if rows else "all rows: it is the accuracy"
    text = (
        f"[ACC-G5] Accuracy not shown: the report covers {pair.n_labels} of {n_classes} classes, and scikit-learn "
        f"shows 'micro avg' in its place; 'overall' is over {whose}. Left out, with {rows} of {len(pair.true)} rows: "
        f"{listed(left_out)}."
    )
    return ["", *textwrap.wrap(text, _WIDTH)]
