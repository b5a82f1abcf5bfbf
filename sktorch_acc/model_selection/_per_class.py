"""Per-class cross-validation: counts pooled over the folds, and the accuracy of each fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktorch_acc._rates import wilson_interval
from sktorch_acc.checks.folds import check_mean_over_folds, check_missing_classes
from sktorch_acc.exceptions import warn
from sktorch_acc.findings import Finding
from sktorch_acc.labels import as_labels, joined, sorted_union
from sktorch_acc.metrics._counts import confusion_counts, count
from sktorch_acc.metrics._table import table_of_pair
from sktorch_acc.metrics._targets import LabelPair, read_pair
from sktorch_acc.model_selection._counting import CountingClassifier, count_rows, refuse_non_classifier
from sktorch_acc.model_selection._folds import run_folds

_FOUR_DIGITS = "{:.4f}".format


@dataclass(frozen=True, eq=False, repr=False)
class PerClassCrossValidation:
    """The result of :func:`cross_val_per_class_accuracy`.

    Parameters
    ----------
    table : DataFrame of shape (n_classes + 1, 11)
        The table of :func:`~sktorch_acc.metrics.per_class_accuracy_table`, over all test samples of all
        folds: `accuracy` is pooled, `correct / support`. Three more columns:

        - `mean_over_folds`, `std_over_folds` (float64): mean and standard deviation (divisor: number
          of folds) of the folds' accuracies, over the folds that have the class; NaN if none has;
        - `n_folds` (int64): how many folds have the class.
    folds : DataFrame of shape (n_folds, n_classes + 1)
        Accuracy of each class in each fold, index `fold` from 0 as in scikit-learn's
        ``split0_test_score``; NaN where the fold lacks the class. The last column is the fold's
        overall accuracy.
    confusion : DataFrame of shape (n_classes, n_classes), dtype int64
        Test samples of all folds: true label by predicted label.
    train : DataFrame or None
        Like `table`, over the training samples of all folds; None without `return_train_score`.
    findings : tuple of Finding
        Problems of the folds: codes ``"ACC-D8"``, also given as a warning, and ``"ACC-A13"``, also
        printed below the table.

    See Also
    --------
    sktorch_acc.plots.PerClassAccuracyDisplay.from_cross_validation : The table as a plot.
    """

    table: pd.DataFrame
    folds: pd.DataFrame
    confusion: pd.DataFrame
    train: pd.DataFrame | None = None
    findings: tuple[Finding, ...] = ()

    def __repr__(self) -> str:
        return "\n".join([self._title, self.table.to_string(float_format=_FOUR_DIGITS), *self._notes])

    def _repr_html_(self) -> str:
        table = self.table.to_html(float_format=_FOUR_DIGITS, border=0)
        notes = "".join(f"\n<p>{escape(note)}</p>" for note in self._notes)
        return f"<p>{self._title}</p>\n{table}{notes}"

    @property
    def _notes(self) -> list[str]:
        """Findings to print below the table."""
        return [f"[{f.code}] {f.message}" for f in self.findings if f.code == "ACC-A13"]

    @property
    def _title(self) -> str:
        return f"Per-class accuracy over the test samples of {len(self.folds)} folds"


def cross_val_per_class_accuracy(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    groups: Any = None,
    cv: Any = None,
    n_jobs: int | None = None,
    params: dict[str, Any] | None = None,
    return_train_score: bool = False,
) -> PerClassCrossValidation:
    """Cross-validate a classifier and report the accuracy of each class.

    Parameters
    ----------
    estimator : classifier
        Any scikit-learn classifier or pipeline; it is cloned for each fold.
    X : array-like of shape (n_samples, ...)
        The features.
    y : array-like of shape (n_samples,)
        The labels.
    groups : array-like of shape (n_samples,), default=None
        For group splitters, such as ``GroupKFold``; with metadata routing, pass them in `params`.
    cv : int, splitter, iterable of (train, test) or None, default=None
        As in ``sklearn.model_selection.cross_validate``; None: five stratified folds.
    n_jobs : int or None, default=None
        Number of folds to fit in parallel.
    params : dict, default=None
        Passed to ``fit``, arrays with one value per sample indexed by the fold; routed if metadata
        routing is enabled.
    return_train_score : bool, default=False
        Whether to predict and count the training samples of each fold too.

    Returns
    -------
    result : PerClassCrossValidation
        With `table`, `folds`, `confusion` and `train`.

    Raises
    ------
    ValueError
        If `y` does not hold class labels.
    TypeError
        If `estimator` is not a classifier.
    RuntimeError
        If it cannot be cloned (scikit-learn's error).
    Exception
        Any exception of ``fit`` or ``predict`` in a fold, with a note with the number of the fold (code ACC-G2).

    Warns
    -----
    AccuracyWarning
        Code ACC-D8: if the training part of a fold lacks a class, which the fold then cannot predict.

    See Also
    --------
    sktorch_acc.metrics.per_class_accuracy_scorers : The same accuracies for ``cross_validate`` and searches.

    Notes
    -----
    Each fold predicts its test samples once. If a sample is tested in several folds (repeated or
    shuffled splits), it is counted several times; the interval is computed for the number of distinct
    samples, so it does not become narrower.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktorch_acc.model_selection import cross_val_per_class_accuracy
    >>> X, y = load_iris(return_X_y=True)
    >>> result = cross_val_per_class_accuracy(LogisticRegression(max_iter=1000), X, y)
    >>> result.table[["support", "correct", "accuracy", "mean_over_folds"]].round(4)
             support  correct  accuracy  mean_over_folds
    label
    0             50       50    1.0000           1.0000
    1             50       47    0.9400           0.9400
    2             50       49    0.9800           0.9800
    overall      150      146    0.9733           0.9733
    """
    refuse_non_classifier(estimator)
    counting = CountingClassifier(estimator, n_parts=2 if return_train_score else 1)
    arguments = {"groups": groups, "cv": cv, "n_jobs": n_jobs, "params": params}
    fitted, folds = run_folds(counting, X, y, count_rows, return_train_score=return_train_score, **arguments)
    test, *train = zip(*(fold.counts_ for fold in fitted), strict=True)
    lacking = check_missing_classes([folds.absent(rows) for rows in folds.train])
    if lacking is not None:
        warn(lacking.text, lacking.code)
    findings = tuple(found for found in (lacking, check_mean_over_folds(folds.counts(test))) if found is not None)
    train_table = _pool(train[0], folds.labels, folds.train)[0] if train else None
    return PerClassCrossValidation(*_pool(test, folds.labels, folds.test), train_table, findings)


def _pool(
    counts: Sequence[pd.DataFrame], labels: npt.NDArray[Any], rows: Sequence[npt.NDArray[np.int64]]
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return table, folds and confusion from the counts of each fold and the samples it counted."""
    predicted = {f"the predictions of fold {i}": as_labels(part["pred"], "y_pred") for i, part in enumerate(counts)}
    classes = sorted_union({"y": labels, **predicted})
    pairs = [_pair(part, classes) for part in counts]
    pooled = _pair(_concatenated(counts), classes)
    table = table_of_pair(pooled)
    tested = labels[np.unique(np.concatenate(rows))]
    distinct = count(read_pair(tested, tested, classes)).with_total().support
    if not np.array_equal(distinct, table["support"]):
        low, high = wilson_interval(table["accuracy"].to_numpy() * distinct, distinct)
        table["low"], table["high"] = low, high
    folds = pd.DataFrame(
        np.vstack([count(pair).with_total().accuracy for pair in pairs]),
        index=pd.RangeIndex(len(pairs), name="fold"),
        columns=table.index,
    )
    seen = [column[~np.isnan(column)] for column in folds.to_numpy().T.copy()]
    table["mean_over_folds"] = [float(np.mean(values)) if len(values) else np.nan for values in seen]
    table["std_over_folds"] = [float(np.std(values)) if len(values) else np.nan for values in seen]
    table["n_folds"] = np.array([len(values) for values in seen], dtype=np.int64)
    true, pred = (pd.Index(table.index[:-1], name=name) for name in ("true", "predicted"))
    return table, folds, pd.DataFrame(confusion_counts(pooled), index=true, columns=pred)


def _concatenated(counts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the counts of all folds; their labels need not have one dtype."""
    return pd.DataFrame({name: joined([part[name].to_numpy() for part in counts]) for name in counts[0]})


def _pair(part: pd.DataFrame, classes: npt.NDArray[Any]) -> LabelPair:
    """Encode the samples that were counted, `n` of each pair of `true` and `pred`."""
    times = part["n"].tolist()
    return read_pair(part["true"].repeat(times), part["pred"].repeat(times), classes)
