"""A classifier that counts its predictions, so that scikit-learn can run the folds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.utils import get_tags

from sktorch_acc.checks.folds import Stage, failed_fold
from sktorch_acc.labels import as_labels, in_one_dtype
from sktorch_acc.metrics._estimators import refuse_other_kinds


class CountingClassifier(BaseEstimator):
    """Replace a classifier in ``cross_validate`` and return counts.

    A scorer can only return numbers, and what it stores elsewhere is lost in a worker process. The
    estimator is returned (``return_estimator=True``), so it carries the counts.

    Parameters
    ----------
    estimator : classifier
        The classifier to fit. Its tags and its metadata requests are passed on.
    n_parts : int
        Number of parts of the data to score (test, then training samples); the fitted classifier is
        deleted after the last, so that the models of all folds are not kept.

    Attributes
    ----------
    fold : int
        Number of the fold: the number of clones made before this one.
    """

    fold = 0
    _n_clones = 0

    def __init__(self, estimator: Any, n_parts: int = 1) -> None:
        self.estimator = estimator
        self.n_parts = n_parts

    def __sklearn_clone__(self) -> CountingClassifier:
        # cross_validate clones once per fold, in order and before it starts workers: this is the only
        # way to know the number of the fold.
        copied: CountingClassifier = super().__sklearn_clone__()
        copied.fold = self._n_clones
        self._n_clones += 1
        return copied

    def fit(self, X: Any, y: Any, **params: Any) -> CountingClassifier:
        """Fit a clone of the classifier."""
        self.counts_: list[pd.DataFrame] = []
        with self._noted("fit"):
            fitted = clone(self.estimator)
            fitted.fit(X, y, **params)  # need not return self: scikit-learn does not use the result
        self.estimator_ = fitted
        return self

    def count(self, X: Any, y: Any) -> None:
        """Predict once and append the number of samples, `n`, of each pair of `true` and `pred`."""
        with self._noted("predict"):
            pred = as_labels(self.estimator_.predict(X), "y_pred")
            true, pred = in_one_dtype(as_labels(y, "y"), pred)
            rows = pd.DataFrame({"true": true, "pred": pred})
        self.counts_.append(rows.value_counts(sort=False).reset_index(name="n"))

    @contextmanager
    def _noted(self, stage: Stage) -> Iterator[None]:
        """Add a note with the number of the fold to an exception."""
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
    """Count one part of the data."""
    counting.count(X, y)
    if len(counting.counts_) == counting.n_parts:
        del counting.estimator_
    return 0.0  # cross_validate requires a number


def refuse_non_classifier(estimator: Any) -> None:
    """Refuse what cannot be cross-validated before the first fold is fitted."""
    name = type(estimator).__name__
    if isinstance(estimator, type):
        came = f"the class {estimator.__name__}: pass an instance, {estimator.__name__}()"
    elif hasattr(estimator, "forward") and not hasattr(estimator, "fit"):
        came = f"the module {name}: pass TorchClassifier around it"
    elif not all(hasattr(estimator, method) for method in ("fit", "predict", "get_params")):
        came = f"{name}, which lacks one of these methods"
    else:
        refuse_other_kinds(estimator)
        return
    raise TypeError(f"estimator must be a scikit-learn classifier, with fit, predict and get_params. Got {came}.")
