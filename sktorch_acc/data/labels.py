"""Labels to class indices and back, and the weight of each row."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from sklearn.utils import assert_all_finite, check_array, column_or_1d, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from sktorch_acc._text import listed

__all__ = ["Labels", "check_labels", "check_weights", "class_factors", "row_weights"]


@dataclass(frozen=True)
class Labels:
    """The labels of a fit; the position of a label is its class index.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted unique labels, in the dtype in which they came.
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
        """Describe the labels that `encode` did not know, with a remark on them; None if it knew all."""
        unknown = indices < 0
        if not unknown.any():
            return None
        labels = list(dict.fromkeys(y[unknown].tolist()))
        known = self.classes.tolist()
        return (
            f"y contains {len(labels)} label(s) not seen in fit: {listed(labels)} "
            f"({int(unknown.sum())} of {len(y)} rows{remark}). Known labels: {listed(known)}."
        )


def _plain(labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return bools as integers: ``True == 1``, as for ``sklearn.metrics.accuracy_score``."""
    return labels.astype(np.int64) if labels.dtype.kind == "b" else labels


def check_labels(y: Any, estimator: Any) -> npt.NDArray[Any]:
    """Return y as a one-dimensional array of labels, or say why it cannot be one."""
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    if isinstance(y, torch.Tensor):
        y = y.detach().cpu().numpy()
    _refuse_one_hot(y)
    if isinstance(y, (pd.Series, pd.Index, pd.api.extensions.ExtensionArray)):
        y = y.to_numpy()  # scikit-learn would make floats of nullable integers and bools
    if isinstance(y, np.ndarray) and not y.dtype.isnative:
        y = y.astype(y.dtype.newbyteorder("="))  # pandas looks labels up in this order alone
    if _few_integers(y):
        return y
    y = column_or_1d(y, warn=True, dtype=None)
    missing = pd.isna(y)
    if missing.any():
        raise ValueError(
            f"Input y contains NaN or None: {int(missing.sum())} of {len(y)} labels are missing, the first "
            f"at row {int(np.argmax(missing))}. Drop these rows or give them a label."
        )
    assert_all_finite(y, input_name="y")
    y = _one_type(y)
    check_classification_targets(y)
    return np.asarray(y)


def _few_integers(y: Any) -> TypeGuard[npt.NDArray[np.int64]]:
    """Whether y holds integers of a range so small that the checks below, which sort it twice, would all pass.

    Of integers scikit-learn only asks whether more than half of them differ (a regression problem, perhaps).
    """
    if type(y) is not np.ndarray or y.ndim != 1 or y.dtype.kind not in "iu" or not len(y):
        return False
    return int(y.max()) - int(y.min()) < len(y) // 2


def _one_type(y: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return objects that are all integers or all bools as such; refuse texts beside other values."""
    if y.dtype != object:
        return y
    types = {type(label) for label in y.tolist()}
    if any(issubclass(kind, str) for kind in types):
        if len(types) == 1 or all(issubclass(kind, str) for kind in types):
            return y
        names = sorted(kind.__name__ for kind in types)
        raise ValueError(
            f"y mixes labels of the types {', '.join(names)}: make them of one type, for example with y.astype(str)."
        )
    plain = np.asarray(y.tolist())
    return plain if plain.ndim == 1 and plain.dtype.kind in "biu" else y


def _refuse_one_hot(y: Any) -> None:
    shape = getattr(y, "shape", None) or np.shape(np.asarray(y, dtype=object))
    if len(shape) == 2 and shape[1] > 1:
        raise ValueError(
            f"[ACC-B3] y has shape {tuple(shape)}: it is one-hot or multilabel, but y should be a 1d array with one "
            "label per row. Pass y.argmax(axis=1) for one-hot rows; multilabel targets are not supported."
        )


def check_weights(sample_weight: Any, n_rows: int) -> npt.NDArray[np.float64] | None:
    """Return float64 weights of shape (n_rows,), not negative and not all 0; None for None."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, torch.Tensor):
        sample_weight = sample_weight.detach().cpu().numpy()
    if isinstance(sample_weight, Real):
        sample_weight = np.full(n_rows, sample_weight)
    weights = check_array(sample_weight, ensure_2d=False, allow_nd=True, dtype=np.float64, input_name="sample_weight")
    if weights.shape != (n_rows,):
        raise ValueError(f"sample_weight has shape {weights.shape}, but one weight per row is expected: ({n_rows},).")
    if (weights < 0).any():
        raise ValueError(f"sample_weight holds {int((weights < 0).sum())} negative values; weights must be >= 0.")
    if not weights.any():
        raise ValueError("sample_weight holds only zeros: no row is left to train on.")
    return np.asarray(weights, dtype=np.float64)


def row_weights(
    labels: Labels,
    indices: npt.NDArray[np.int64],
    sample_weight: npt.NDArray[np.float64] | None,
    class_weight: Any,
) -> npt.NDArray[np.float64] | None:
    """Return the weight of each row in training: sample weight times class weight.

    None where every row weighs the same positive amount: then weights change nothing, not by one bit.
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
        raise ValueError("class_weight times sample_weight is 0 for every row: no row is left to train on.")
    if (weights == weights[0]).all():
        return None
    return _in_range(weights)


def class_factors(
    labels: Labels,
    indices: npt.NDArray[np.int64],
    sample_weight: npt.NDArray[np.float64] | None,
    class_weight: Any,
) -> npt.NDArray[np.float64]:
    """Return the weight of each class; 1 for a class without rows under ``"balanced"``."""
    factors = np.ones(len(labels.classes))
    shown = np.arange(len(labels.classes))
    if isinstance(class_weight, str):
        # A chunk of `partial_fit` may lack classes, and all rows of one may weigh 0.
        if sample_weight is not None:
            counted = sample_weight > 0
            indices, sample_weight = indices[counted], sample_weight[counted]
        shown = np.unique(indices)
    factors[shown] = compute_class_weight(
        class_weight, classes=labels.classes[shown], y=labels.decode(indices), sample_weight=sample_weight
    )
    return factors


def _in_range(weights: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return weights that float32 can hold, and their sum: boosting makes some of 1e-48.

    Only ratios count, and next to 1 a weight of 1e-30 is absence; a batch of such rows alone would be 0 / 0.
    """
    largest = weights.max()
    if not 1e-5 < largest < 1e25:
        weights, largest = weights / largest, 1.0
    return np.where(weights < 1e-30 * largest, 0.0, weights)
