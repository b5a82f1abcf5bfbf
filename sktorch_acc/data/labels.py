"""Convert labels to class indices and back, and compute the weight of each sample in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils import compute_class_weight

from sktorch_acc._text import listed
from sktorch_acc.labels import in_one_dtype


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
        """Return the labels of a validated y, and its class indices (int64)."""
        classes, indices = np.unique(y, return_inverse=True)
        return cls(classes), indices.astype(np.int64, copy=False)

    def encode(self, y: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Return class indices (int64); -1 for a label that is not among the classes."""
        classes, given = in_one_dtype(_plain(self.classes), _plain(y))
        indices = pd.Index(classes).get_indexer(pd.Index(given))
        return np.asarray(indices, dtype=np.int64)

    def decode(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return the labels of class indices."""
        return self.classes[indices]

    def unseen(self, y: npt.NDArray[Any], indices: npt.NDArray[np.int64], remark: str = "") -> str | None:
        """Describe the labels of y that are not among the classes, and add a remark; None if all are known."""
        unknown = indices < 0
        if not unknown.any():
            return None
        labels = list(dict.fromkeys(y[unknown].tolist()))
        return (
            f"y contains {len(labels)} label(s) not seen in fit: {listed(labels)} "
            f"({int(unknown.sum())} of {len(y)} samples{remark}). Known labels: {listed(self.classes)}."
        )


def _plain(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return bools as integers: ``True`` equals 1, as in ``sklearn.metrics.accuracy_score``.

    float16, which pandas does not index, becomes float32.
    """
    if labels.dtype == np.float16:
        return labels.astype(np.float32)
    return labels.astype(np.int64) if labels.dtype.kind == "b" else labels


def row_weights(
    labels: Labels,
    indices: npt.NDArray[np.int64],
    sample_weight: npt.NDArray[np.float64] | None,
    class_weight: Any,
) -> npt.NDArray[np.float64] | None:
    """Return the weight of each sample in training: sample weight times class weight, float64 of shape (n_samples,).

    None if neither is given.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, or if all are 0.
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
    return weights


def class_factors(
    labels: Labels,
    indices: npt.NDArray[np.int64],
    sample_weight: npt.NDArray[np.float64] | None,
    class_weight: Any,
) -> npt.NDArray[np.float64]:
    """Return the weight of each class; with ``"balanced"`` 1 for a class without samples."""
    if isinstance(class_weight, Mapping):
        return _looked_up(labels, class_weight)
    factors = np.ones(len(labels.classes))
    # In `partial_fit` a class may have no samples, or samples of weight 0 only.
    if sample_weight is not None:
        counted = sample_weight > 0
        indices, sample_weight = indices[counted], sample_weight[counted]
    shown = np.unique(indices)
    factors[shown] = compute_class_weight(class_weight, classes=shown, y=indices, sample_weight=sample_weight)
    return factors


def _looked_up(labels: Labels, class_weight: Mapping[Any, Any]) -> npt.NDArray[np.float64]:
    """Return the weight of each class from a dict, by the label itself; 1 for a class that it does not name.

    Keys that are no label are accepted only if all classes have a weight: a fold may lack a class.
    scikit-learn's function looks up ``int(label)``, so that it takes the label ``"1"`` for the key 1.
    """
    known = list(labels.classes)  # scalars of NumPy, which are equal to those of Python and have their hash
    among = set(known)
    unknown = [key for key in class_weight if key not in among]
    missing = [label for label in known if label not in class_weight]
    if unknown and missing:
        raise ValueError(
            f"The classes {listed(missing)} are not in class_weight, and its keys {listed(unknown)} are no labels of y."
            f"{_same_text(unknown, missing)}"
        )
    return np.array([class_weight.get(label, 1.0) for label in known], dtype=np.float64)


def _same_text(keys: Sequence[Any], labels: Sequence[Any]) -> str:
    """Return advice for keys that only look like labels."""
    texts = {str(key) for key in keys}
    alike = [label for label in labels if str(label) in texts]
    return f" Give the keys the type of the labels: {listed(alike)}." if alike else ""


def relative_weights(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Scale weights so that they and their sum are in the range of float32: boosting produces weights of 1e-48.

    A mean depends on their ratios only. Weights below 1e-30 times the largest are set to 0: the loss of a batch of
    such samples would be 0 / 0.
    """
    largest = weights.max()
    if largest > 0 and not 1e-5 < largest < 1e25:
        weights, largest = weights / largest, 1.0
    return np.where(weights < 1e-30 * largest, 0.0, weights)
