"""Check true and predicted labels against each other, and turn them into class codes.

The scores, tables and scorers count over these codes; no accuracy is computed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktorch_acc.labels import as_labels, read_weights, refuse_mixed_kinds, wanted_labels

__all__ = ["LabelPair", "read_pair"]


@dataclass(frozen=True)
class LabelPair:
    """True and predicted labels of the same samples, as positions in `classes`.

    The first `n_labels` classes are the ones to report, in the requested order; the rest, sorted,
    only occur in the data.
    """

    classes: npt.NDArray[Any]  # (n_classes,)
    n_labels: int
    true: npt.NDArray[np.int64]  # (n_samples,)
    pred: npt.NDArray[np.int64]  # (n_samples,)
    weight: npt.NDArray[np.float64] | None  # (n_samples,)

    @property
    def labels(self) -> npt.NDArray[Any]:
        """The classes to report."""
        return self.classes[: self.n_labels]


def read_pair(y_true: Any, y_pred: Any, labels: Any = None, sample_weight: Any = None) -> LabelPair:
    """Check two arrays of labels against each other and encode them."""
    true, pred = as_labels(y_true, "y_true"), as_labels(y_pred, "y_pred")
    if len(true) != len(pred):
        raise ValueError(
            "y_true and y_pred must have one label per sample, both for the same samples. "
            f"Got {len(true)} and {len(pred)} labels. Pass the predictions of exactly these samples."
        )
    if len(true) == 0:
        raise ValueError("y_true and y_pred are empty: at least one sample is needed to measure an accuracy.")
    named = {"y_true": true, "y_pred": pred}
    if labels is not None:
        named = {"labels": wanted_labels(labels), **named}
    refuse_mixed_kinds(named)
    weight = None if sample_weight is None else read_weights(sample_weight, len(true))
    return _encode(named.get("labels"), true, pred, weight)


def _encode(
    labels: npt.NDArray[Any] | None,
    true: npt.NDArray[Any],
    pred: npt.NDArray[Any],
    weight: npt.NDArray[np.float64] | None,
) -> LabelPair:
    """Replace labels by codes: the requested labels first, then the rest in sorted order."""
    n_wanted = 0 if labels is None else len(labels)
    joined = np.concatenate([true, pred] if labels is None else [labels, true, pred])
    codes, unique = pd.factorize(joined)
    order = np.concatenate([np.arange(n_wanted), n_wanted + np.argsort(unique[n_wanted:], kind="stable")])
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    codes = rank[codes[n_wanted:]]
    n_labels = len(unique) if labels is None else n_wanted
    return LabelPair(unique[order], n_labels, codes[: len(true)], codes[len(true) :], weight)
