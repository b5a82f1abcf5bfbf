"""Read true and predicted labels once: check them, and turn them into class codes.

The scores, tables and scorers count over these codes; nothing here computes a figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktorch_acc._text import listed

__all__ = ["LabelPair", "as_labels", "read_pair", "read_weight", "sorted_union", "unique_labels"]

_NUMBERS = "biuf"
_PLAIN_OBJECTS = ("integer", "boolean", "floating", "mixed-integer-float")


@dataclass(frozen=True)
class LabelPair:
    """True and predicted labels of the same rows, as positions in `classes`.

    The first `n_labels` classes are the ones a figure is wanted for, in the wanted order; the
    rest, sorted, only occur in the data.
    """

    classes: npt.NDArray[Any]  # (n_classes,)
    n_labels: int
    true: npt.NDArray[np.int64]  # (n_samples,)
    pred: npt.NDArray[np.int64]  # (n_samples,)
    weight: npt.NDArray[np.float64] | None  # (n_samples,)

    @property
    def labels(self) -> npt.NDArray[Any]:
        """The classes that a figure is wanted for."""
        return self.classes[: self.n_labels]


def read_pair(y_true: Any, y_pred: Any, labels: Any = None, sample_weight: Any = None) -> LabelPair:
    """Check two arrays of labels against each other and encode them."""
    true, pred = as_labels(y_true, "y_true"), as_labels(y_pred, "y_pred")
    if len(true) != len(pred):
        raise ValueError(
            "y_true and y_pred must have one label per row, both for the same rows. "
            f"Got {len(true)} and {len(pred)} labels. Pass the predictions of exactly these rows."
        )
    if len(true) == 0:
        raise ValueError("y_true and y_pred are empty: at least one row is needed to measure an accuracy.")
    named = {"y_true": true, "y_pred": pred}
    if labels is not None:
        named = {"labels": wanted_labels(labels), **named}
    _refuse_mixed_kinds(named)
    weight = None if sample_weight is None else read_weight(sample_weight, len(true))
    return _encode(named.get("labels"), true, pred, weight)


def as_labels(y: Any, name: str) -> npt.NDArray[Any]:
    """Return labels as a 1-d array of bool, integer, float or str objects; refuse anything else.

    Missing labels and fractions are refused; a single column is flattened, as in scikit-learn.
    """
    values = _as_column(y, name)
    _refuse_missing(np.ma.getmaskarray(y).ravel() if isinstance(y, np.ma.MaskedArray) else pd.isna(values), name)
    if values.dtype.kind in "UT":
        return values.astype(object)
    if values.dtype.kind == "O":
        values = _plain(values, name)
    elif values.dtype.kind not in _NUMBERS:
        raise ValueError(
            f"{name} must hold class labels: strings, integers or booleans. Got dtype {values.dtype}. "
            "Convert it, for example with astype(str)."
        )
    if values.dtype.kind == "f" and not np.all(np.isfinite(values) & (values == np.floor(values))):
        fractions = values[~(np.isfinite(values) & (values == np.floor(values)))]
        raise ValueError(
            f"{name} must hold class labels, but it is continuous: {listed(fractions)} "
            f"(dtype {values.dtype}). Pass labels, for example predict(X) rather than predict_proba(X)."
        )
    return values


def unique_labels(labels: Any) -> npt.NDArray[Any]:
    """Return the sorted distinct values of `labels`; at least one, and not a bare string."""
    if isinstance(labels, str):
        raise ValueError(f"labels must be a sequence of labels. Got the string {labels!r}; pass [{labels!r}].")
    values = as_labels(labels, "labels")
    if len(values) == 0:
        raise ValueError("labels must name at least one class. Got an empty sequence.")
    return sorted_union({"labels": values})


def wanted_labels(labels: Any) -> npt.NDArray[Any]:
    """Check the `labels` argument of a score: as given, each class once."""
    unique_labels(labels)
    values = as_labels(labels, "labels")
    unique, counts = np.unique(values, return_counts=True)
    if len(unique) < len(values):
        raise ValueError(f"labels must name each class once. Repeated: {listed(unique[counts > 1])}.")
    return values


def read_weight(sample_weight: Any, n_samples: int) -> npt.NDArray[np.float64]:
    """Return weights as float64 of shape (n_samples,); negative and non-finite ones are refused."""
    try:
        weight = np.asarray(sample_weight, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise ValueError(f"sample_weight must hold numbers. Got {type(sample_weight).__name__}: {err}.") from err
    if weight.shape != (n_samples,):
        raise ValueError(f"sample_weight must have one weight per row, shape ({n_samples},). Got shape {weight.shape}.")
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        raise ValueError(
            f"sample_weight must be finite and not negative. Got {listed(weight[bad])} "
            f"(first at row {int(bad.argmax())}). Give rows that should not count the weight 0."
        )
    return weight


def sorted_union(named: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return the sorted distinct labels of several arrays that `as_labels` has read, by name."""
    _refuse_mixed_kinds(named)
    return np.sort(pd.unique(np.concatenate([values for values in named.values() if len(values)])))


def _as_column(y: Any, name: str) -> npt.NDArray[Any]:
    """One dimension, whatever container the labels came in."""
    # NumPy would turn the list [1, "a"] into two strings: as objects the mix stays visible.
    try:
        values = np.asarray(y, dtype=object if isinstance(y, list | tuple) else None)
    except ValueError as err:
        raise ValueError(f"{name} must be a 1-d array of labels. Got rows of different lengths.") from err
    if values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    if values.ndim == 2:
        raise ValueError(
            f"{name} must be a 1-d array of labels, one class per row. Got shape {values.shape}: "
            "one-hot, multilabel or scores. For one-hot rows or scores pass classes_[values.argmax(axis=1)]."
        )
    if values.ndim != 1:
        came = type(y).__name__ if values.ndim == 0 else f"shape {values.shape}"
        raise ValueError(f"{name} must be a 1-d array of labels. Got {came}; pass a list or an array.")
    return values


def _refuse_missing(missing: npt.NDArray[np.bool_], name: str) -> None:
    if missing.any():
        raise ValueError(
            f"{name} must have a label in every row. Got {int(missing.sum())} missing (NaN or None) of "
            f"{len(missing)}, the first at row {int(missing.argmax())}. Drop these rows or give them a label."
        )


def _plain(values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Turn an array of objects into strings or numbers, if it holds one kind."""
    kind = pd.api.types.infer_dtype(values, skipna=False)
    if kind in ("string", "empty"):
        return values
    if kind in _PLAIN_OBJECTS:
        numbers = np.array(values.tolist())
        if numbers.dtype.kind != "O":  # beyond 64 bits
            return numbers
    kinds = sorted({type(v).__name__ for v in values.tolist()})
    raise ValueError(
        f"{name} must hold labels of one kind: strings, integers or booleans. Got {' and '.join(kinds)}. "
        "Convert them to one type, for example with astype(str)."
    )


def _refuse_mixed_kinds(named: dict[str, npt.NDArray[Any]]) -> None:
    """Strings never equal numbers: a mix of both is a mistake, not a low accuracy."""
    strings = [name for name, values in named.items() if values.dtype.kind == "O" and len(values)]
    numbers = [name for name, values in named.items() if values.dtype.kind != "O" and len(values)]
    if strings and numbers:
        text, number = strings[0], numbers[0]
        raise ValueError(
            f"Labels must be of one kind, but {text} holds strings ({listed(pd.unique(named[text]), 3)}) and "
            f"{number} holds numbers ({listed(pd.unique(named[number]), 3)}). If the numbers are class "
            "indices, decode them with classes_[indices]."
        )


def _encode(
    labels: npt.NDArray[Any] | None,
    true: npt.NDArray[Any],
    pred: npt.NDArray[Any],
    weight: npt.NDArray[np.float64] | None,
) -> LabelPair:
    """Replace labels by codes: the wanted labels first, then the rest in sorted order."""
    n_wanted = 0 if labels is None else len(labels)
    joined = np.concatenate([true, pred] if labels is None else [labels, true, pred])
    codes, unique = pd.factorize(joined)
    order = np.concatenate([np.arange(n_wanted), n_wanted + np.argsort(unique[n_wanted:], kind="stable")])
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    codes = rank[codes[n_wanted:]]
    n_labels = len(unique) if labels is None else n_wanted
    return LabelPair(unique[order], n_labels, codes[: len(true)], codes[len(true) :], weight)
