"""Run the folds of a cross-validation, and the labels that each fold is fitted on and tested on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.model_selection import cross_validate

from sktorch_acc.checks.folds import FoldCounts
from sktorch_acc.labels import as_labels

Rows = tuple[npt.NDArray[np.int64], ...]


@dataclass(frozen=True, eq=False)
class Folds:
    """The folds of a cross-validation.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,)
        Of all samples, as `as_labels` returns them.
    train, test : sequence of int ndarray
        The indices of each fold.
    """

    labels: npt.NDArray[Any]
    train: Rows
    test: Rows

    def absent(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return the sorted labels that none of these samples has."""
        return np.setdiff1d(self.labels, self.labels[rows])

    def counts(self, parts: Iterable[pd.DataFrame]) -> FoldCounts:
        """Count the correct predictions of each fold from the counts, `n`, of each pair of `true` and `pred`."""
        correct = [int(part["n"][part["true"] == part["pred"]].sum()) for part in parts]
        support = [len(rows) for rows in self.test]
        n_tested = len(np.unique(np.concatenate(self.test)))
        return FoldCounts(np.array(correct), np.array(support), len(self.labels), n_tested)


def run_folds(estimator: Any, X: Any, y: Any, scoring: Any, **arguments: Any) -> tuple[list[Any], Folds]:
    """Call ``cross_validate`` and return the fitted estimator of each fold, and the folds."""
    labels = as_labels(y, "y")
    results = cross_validate(
        estimator, X, y, scoring=scoring, return_estimator=True, return_indices=True, error_score="raise", **arguments
    )
    train, test = (tuple(map(_positions, results["indices"][part])) for part in ("train", "test"))
    return results["estimator"], Folds(labels, train, test)


def _positions(rows: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return the positions of samples, which a splitter may also give as a mask."""
    return np.flatnonzero(rows) if rows.dtype == bool else rows
