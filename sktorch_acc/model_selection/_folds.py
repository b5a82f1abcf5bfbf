"""The labels of the rows that each fold is fitted on and tested on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktorch_acc.checks.folds import FoldCounts
from sktorch_acc.labels import sorted_union

__all__ = ["Folds", "Labels"]

Labels = npt.NDArray[Any]
Rows = tuple[npt.NDArray[np.int64], ...]


@dataclass(frozen=True, eq=False)
class Folds:
    """The folds of a cross-validation.

    Parameters
    ----------
    labels : ndarray of shape (n_samples,)
        Of all rows, as `as_labels` has read them.
    train, test : sequence of int ndarray
        The rows of each fold.
    """

    labels: Labels
    train: Rows
    test: Rows

    @classmethod
    def of(cls, labels: Labels, indices: dict[str, Any]) -> Folds:
        """Return the folds of ``cross_validate(..., return_indices=True)``; a part may be a mask."""

        def rows(part: Any) -> Rows:
            return tuple(np.flatnonzero(one) if one.dtype == bool else one for one in part)

        return cls(labels, rows(indices["train"]), rows(indices["test"]))

    @cached_property
    def classes(self) -> Labels:
        """The sorted labels."""
        return sorted_union({"y": self.labels})

    def absent(self, rows: npt.NDArray[np.int64]) -> Labels:
        """Return the labels without any of these rows."""
        return self.classes[~np.isin(self.classes, self.labels[rows])]

    def n_train_classes(self, fold: int) -> int:
        """Count the labels that a fold was fitted on."""
        return len(self.classes) - len(self.absent(self.train[fold]))

    def counts(self, parts: Iterable[pd.DataFrame]) -> FoldCounts:
        """Count the right rows of each fold from the counts, `n`, of each pair of `true` and `pred`."""
        correct = [int(part["n"][part["true"] == part["pred"]].sum()) for part in parts]
        support = [len(rows) for rows in self.test]
        n_tested = len(np.unique(np.concatenate(self.test)))
        return FoldCounts(np.array(correct), np.array(support), len(self.labels), n_tested)
