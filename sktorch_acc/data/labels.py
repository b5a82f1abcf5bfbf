"""Labels to class indices and back, and the weight of each sample in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils import compute_class_weight

from sktorch_acc._text import listed

__all__ = ["Labels", "class_factors", "row_weights"]


@dataclass(frozen=True)
class Labels:
    """The labels of a fit; the position of a label is its class index.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted unique labels, in the dtype of y.
    """

    classes: npt.NDArray[Any]

    @classmethod
    def learn(cls, y: npt.NDArray[Any]) -> tuple[Labels, npt.NDArray[np.int64]]:
        """Return the labels of a checked y and its class indices (int64)."""
        classes, indices = np.unique(y, return_inverse=True)
        return cls(classes), indices.astype(np.int64, copy=False)

    def encode(self, y: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return class indices (int64); -1 for a label that is not among the classes."""
        indices = pd.Index(_plain(self.classes)).get_indexer(pd.Index(_plain(y)))
        return np.asarray(indices, dtype=np.int64)

    def decode(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return the labels of class indices."""
        return self.classes[indices]

    def unseen(self, y: npt.NDArray[Any], indices: npt.NDArray[np.int64], remark: str = "") -> str | None:
        """Describe the labels that `encode` did not know, with a remark on them; None if there are none."""
        unknown = indices < 0
        if not unknown.any():
            return None
        labels = list(dict.fromkeys(y[unknown].tolist()))
        return (
            f"y contains {len(labels)} label(s) not seen in fit: {listed(labels)} "
            f"({int(unknown.sum())} of {len(y)} rows{remark}). Known labels: {listed(self.classes)}."
        )


def _plain(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return bools as integers: ``True == 1``, as for ``sklearn.metrics.accuracy_score``."""
    return labels.astype(np.int64) if labels.dtype.kind == "b" else labels


def row_weights(
    labels: Labels,
    indices: npt.NDArray[np.int64],
    sample_weight: npt.NDArray[np.float64] | None,
    class_weight: Any,
) -> npt.NDArray[np.float64] | None:
    """Return the weight of each sample in training: sample weight times class weight.

    None if all samples have the same positive weight: then the fit is the same without weights, bit for bit.
    """
    weights = sample_weight
    if class_weight is not None:
        by_class = class_factors(labels, indices, sample_weight, class_weight)[indices]
        weights = by_class if weights is None else weights * by_class
    if weights is None:
        return None
    if not ((weights >= 0) & np.isfinite(weights)).all():
        raise ValueError(
            f"class_weight={class_weight!r} holds a negative weight, or one that is not finite; weights must be "
            "numbers >= 0."
        )
    if not weights.any():
        raise ValueError("class_weight times sample_weight is 0 for every sample; at least one must be positive.")
    if (weights == weights[0]).all():
        return None
    return _in_range(weights)


def class_factors(
    labels: Labels,
    indices: npt.NDArray[np.int64],
    sample_weight: npt.NDArray[np.float64] | None,
    class_weight: Any,
) -> npt.NDArray[np.float64]:
    """Return the weight of each class; 1 for a class without samples under ``"balanced"``."""
    factors = np.ones(len(labels.classes))
    shown = np.arange(len(labels.classes))
    if isinstance(class_weight, str):
        # A chunk of `partial_fit` may lack classes, and all samples of a class may have the weight 0.
        if sample_weight is not None:
            counted = sample_weight > 0
            indices, sample_weight = indices[counted], sample_weight[counted]
        shown = np.unique(indices)
    factors[shown] = compute_class_weight(
        class_weight, classes=labels.classes[shown], y=labels.decode(indices), sample_weight=sample_weight
    )
    return factors


def _in_range(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Scale weights so that they and their sum fit into float32: boosting produces weights of 1e-48.

    Only ratios matter. A weight of 1e-30 times the largest is set to 0: a batch of only such samples would
    have the loss 0 / 0.
    """
    largest = weights.max()
    if not 1e-5 < largest < 1e25:
        weights, largest = weights / largest, 1.0
    return np.where(weights < 1e-30 * largest, 0.0, weights)
