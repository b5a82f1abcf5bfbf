"""A classifier that counts its own rights and wrongs, so that scikit-learn can run the folds."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.utils import get_tags

from sktorch_acc.checks.folds import Stage, failed_fold
from sktorch_acc.labels import as_labels

__all__ = ["CountingClassifier", "count_rows", "refuse_non_classifier"]


class CountingClassifier(BaseEstimator):
    """Stand in for a classifier in ``cross_validate`` and bring back counts.

    A scorer may only return numbers, and what it stores elsewhere is lost in a worker process. The
    estimator itself comes back (``return_estimator=True``), so the counts travel on it.

    Parameters
    ----------
    estimator : classifier
        What is fitted. Its tags and its metadata requests are passed off as one's own.
    n_parts : int
        How many parts of the data are scored (test, then training rows); the fitted classifier is
        dropped after the last, so that the folds' models are not all kept.

    Attributes
    ----------
    fold : int
        Number of the fold: how many clones were made before this one.
    """

    fold = 0
    _n_clones = 0

    def __init__(self, estimator: Any, n_parts: int = 1) -> None:
        self.estimator = estimator
        self.n_parts = n_parts

    def __sklearn_clone__(self) -> CountingClassifier:
        # cross_validate clones once per fold, in their order and before it hands them to workers:
        # nothing else tells an estimator which fold it is.
        copied: CountingClassifier = super().__sklearn_clone__()
        copied.fold = self._n_clones
        self._n_clones += 1
        return copied

    def fit(self, X: Any, y: Any, **params: Any) -> CountingClassifier:
        """Fit a clone of the classifier."""
        self.counts_: list[pd.DataFrame] = []
        with self._noted("fit"):
            fitted = clone(self.estimator)
            fitted.fit(X, y, **params)  # may return nothing: scikit-learn does not ask
        self.estimator_ = fitted
        return self

    def count(self, X: Any, y: Any) -> pd.DataFrame:
        """Predict once and return the number of rows, `n`, of each pair of `true` and `pred`."""
        with self._noted("predict"):
            pred = as_labels(self.estimator_.predict(X), "y_pred")
            rows = pd.DataFrame({"true": as_labels(y, "y"), "pred": pred})
        return rows.value_counts(sort=False).reset_index(name="n")

    @contextmanager
    def _noted(self, stage: Stage) -> Iterator[None]:
        """Leave an exception as it is, and note on it which fold raised."""
        try:
            yield
        except Exception as error:
            error.add_note(str(failed_fold(self.fold, stage)))
            raise

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.estimator)

    def get_metadata_routing(self) -> Any:
        """Return the classifier's own requests."""
        return self.estimator.get_metadata_routing()


def count_rows(counting: CountingClassifier, X: Any, y: Any) -> float:
    """Append the counts of one part of the data."""
    counting.counts_.append(counting.count(X, y))
    if len(counting.counts_) == counting.n_parts:
        del counting.estimator_
    return 0.0  # cross_validate wants a number


def refuse_non_classifier(estimator: Any) -> None:
    """Refuse what cannot be cross-validated; without this the error would come from within a fold."""
    name = type(estimator).__name__
    if inspect.isclass(estimator):
        came = f"the class {estimator.__name__}: pass an instance, {estimator.__name__}()"
    elif hasattr(estimator, "forward") and not hasattr(estimator, "fit"):
        came = f"the module {name}: pass TorchClassifier around it"
    elif not all(hasattr(estimator, method) for method in ("fit", "predict", "get_params")):
        came = f"{name}, which lacks one of these methods"
    else:
        return
    raise TypeError(f"estimator must be a scikit-learn classifier, with fit, predict and get_params. Got {came}.")
