"""A classifier that counts its own rights and wrongs, so that scikit-learn can run the folds."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.utils import get_tags

from sktorch_acc.metrics._targets import as_labels

__all__ = ["CountingClassifier", "count_rows"]


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
    """

    def __init__(self, estimator: Any, n_parts: int = 1) -> None:
        self.estimator = estimator
        self.n_parts = n_parts

    def fit(self, X: Any, y: Any, **params: Any) -> CountingClassifier:
        """Fit a clone of the classifier."""
        self.estimator_ = clone(self.estimator).fit(X, y, **params)
        self.counts_: list[pd.DataFrame] = []
        return self

    def __sklearn_tags__(self) -> Any:
        return get_tags(self.estimator)

    def get_metadata_routing(self) -> Any:
        """Return the classifier's own requests."""
        return self.estimator.get_metadata_routing()


def count_rows(counting: CountingClassifier, X: Any, y: Any) -> float:
    """Predict once and append the number of rows of each pair of true and predicted label."""
    rows = pd.DataFrame({"true": as_labels(y, "y"), "pred": as_labels(counting.estimator_.predict(X), "y_pred")})
    counting.counts_.append(rows.value_counts(sort=False).reset_index(name="n"))
    if len(counting.counts_) == counting.n_parts:
        del counting.estimator_
    return 0.0  # cross_validate wants a number
