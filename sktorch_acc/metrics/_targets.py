"""Check true and predicted labels against each other, and turn them into class codes.

The scores, tables and scorers count over these codes; no accuracy is computed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktorch_acc._text import listed
from sktorch_acc.labels import as_labels, joined, read_weights, refuse_mixed_kinds, wanted_labels


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
    """Check two arrays of labels against each other and encode them; refuse `labels` none of which occurs."""
    pair = encode_pair(y_true, y_pred, labels, sample_weight)
    if min(pair.true.min(), pair.pred.min()) >= pair.n_labels:
        raise ValueError(
            f"labels must name classes of the data, but none of {listed(pair.labels)} occurs in y_true "
            f"or y_pred. They hold {listed(pair.classes[pair.n_labels :])}."
        )
    return pair


def encode_pair(y_true: Any, y_pred: Any, labels: Any, sample_weight: Any) -> LabelPair:
    """Check two arrays of labels against each other and replace labels by codes: the requested labels come first."""
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
    # The requested labels are the first to occur, so `factorize` gives them the first codes; the rest is sorted.
    codes, unique = pd.factorize(joined(list(named.values())))
    n_wanted = len(named.get("labels", ()))
    order = np.concatenate([np.arange(n_wanted), n_wanted + np.argsort(unique[n_wanted:], kind="stable")])
    new_codes = np.argsort(order)[codes[n_wanted:]]
    return LabelPair(unique[order], n_wanted or len(unique), new_codes[: len(true)], new_codes[len(true) :], weight)
