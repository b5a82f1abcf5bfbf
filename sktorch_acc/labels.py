"""Labels and weights, checked once and without torch: for data, metrics and doctor.

A fit keeps the dtype of its labels (`check_labels`). Metrics compare the labels of two containers, so strings
become objects, and fractions and dates are refused (`as_labels`).
"""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from sktorch_acc._text import listed
from sktorch_acc.exceptions import InputError

# ------------------------------------------------------------------ labels


def check_labels(y: Any, estimator: Any) -> npt.NDArray[Any]:
    """Return y as a 1-d array of labels for `fit` or `score`, with its dtype."""
    if y is None:
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target y is None."
        )
    values = _read(y, "y", warn=True)
    if not _few_integers(values):
        assert_all_finite(values, input_name="y")
        check_classification_targets(values)
    return values


def as_labels(y: Any, name: str) -> npt.NDArray[Any]:
    """Return labels as a 1-d array of bool, integer, whole float or str objects; refuse anything else.

    A single column is flattened, as in scikit-learn's metrics.
    """
    values = _read(y, name)
    if values.dtype.kind in "UT":
        return values.astype(object)
    if values.dtype.kind not in "Obiuf":
        raise ValueError(
            f"{name} must hold class labels: strings, integers or booleans. Got dtype {values.dtype}. "
            "Convert it, for example with astype(str)."
        )
    if values.dtype.kind == "f":
        _refuse_fractions(values, name)
    return values


def unique_labels(labels: Any) -> npt.NDArray[Any]:
    """Return the sorted distinct values of `labels`; at least one, and not a bare string."""
    return sorted_union({"labels": _at_least_one(labels)})


def wanted_labels(labels: Any) -> npt.NDArray[Any]:
    """Check the `labels` argument of a score: as given, each class once."""
    values = _at_least_one(labels)
    unique, counts = np.unique(values, return_counts=True)
    if len(unique) < len(values):
        raise ValueError(f"labels must name each class once. Repeated: {listed(unique[counts > 1])}.")
    return values


def sorted_union(named: dict[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return the sorted distinct labels of several arrays that `as_labels` has read, by name."""
    refuse_mixed_kinds(named)
    return np.sort(pd.unique(np.concatenate([values for values in named.values() if len(values)])))


def refuse_mixed_kinds(named: dict[str, npt.NDArray[Any]]) -> None:
    """Refuse strings in one array and numbers in another: they are never equal."""
    strings = [name for name, values in named.items() if values.dtype.kind == "O" and len(values)]
    numbers = [name for name, values in named.items() if values.dtype.kind != "O" and len(values)]
    if strings and numbers:
        text, number = strings[0], numbers[0]
        raise ValueError(
            f"Labels must be of one kind, but {text} holds strings ({listed(pd.unique(named[text]), 3)}) and "
            f"{number} holds numbers ({listed(pd.unique(named[number]), 3)}). If the numbers are class "
            "indices, decode them with classes_[indices]."
        )


def _at_least_one(labels: Any) -> npt.NDArray[Any]:
    if isinstance(labels, str):
        raise ValueError(f"labels must be a sequence of labels. Got the string {labels!r}; pass [{labels!r}].")
    values = as_labels(labels, "labels")
    if len(values) == 0:
        raise ValueError("labels must name at least one class. Got an empty sequence.")
    return values


# ------------------------------------------------------------------ weights


def check_weights(sample_weight: Any, n_samples: int) -> npt.NDArray[np.float64] | None:
    """Return the weights of a fit, at least one of them positive; a number is a weight for all samples."""
    if sample_weight is None:
        return None
    weights = read_weights(
        np.full(n_samples, sample_weight) if isinstance(sample_weight, Real) else sample_weight, n_samples
    )
    if not weights.any():
        raise ValueError("sample_weight holds only zeros; at least one must be positive.")
    return weights


def read_weights(sample_weight: Any, n_samples: int) -> npt.NDArray[np.float64]:
    """Return weights as float64 of shape (n_samples,), finite and not negative."""
    try:
        values = _as_array(sample_weight)
        if values.dtype.kind == "c":
            raise TypeError("they are complex")
        weights = values.astype(np.float64, copy=False)
    except (TypeError, ValueError) as err:
        raise ValueError(f"sample_weight must hold numbers. Got {type(sample_weight).__name__}: {err}.") from err
    if weights.shape != (n_samples,):
        raise ValueError(
            f"sample_weight must have one weight per sample, shape ({n_samples},). Got shape {weights.shape}."
        )
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        raise ValueError(
            f"sample_weight must be finite and not negative. Got {listed(weights[bad])} "
            f"(first at row {int(bad.argmax())}). Give samples that should not count the weight 0."
        )
    return weights


# ------------------------------------------------------------------ containers


def _read(y: Any, name: str, *, warn: bool = False) -> npt.NDArray[Any]:
    """Return a 1-d array without missing labels, objects of one kind; `warn` for a column."""
    values = _as_array(y)
    if values.ndim != 1:
        _refuse_shape(values, type(y).__name__, name)
        values = column_or_1d(values, warn=warn, dtype=None)
    missing = np.ma.getmaskarray(y) if isinstance(y, np.ma.MaskedArray) else pd.isna(values)
    if missing.any():
        raise ValueError(
            f"Input {name} contains NaN or None: {int(missing.sum())} of {len(values)} labels are missing, the first "
            f"at row {int(missing.argmax())}. Drop these rows or give them a label."
        )
    return _of_one_kind(values, name) if values.dtype.kind == "O" else values


def _as_array(values: Any) -> npt.NDArray[Any]:
    """Return an array of native byte order; a tensor is recognised by its `detach`."""
    array: npt.NDArray[Any]
    if hasattr(values, "detach"):
        array = values.detach().cpu().numpy()
    elif isinstance(values, (list, tuple)):
        array = _of_sequence(values)
    else:
        array = np.asarray(values)
    # pandas.Index.get_indexer needs the native byte order.
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _of_sequence(values: list[Any] | tuple[Any, ...]) -> npt.NDArray[Any]:
    """Return an array, of objects where NumPy would turn numbers into strings (``[1, "a"]``)."""
    try:
        array = np.asarray(values)
    except ValueError:  # sequences of different lengths
        return np.asarray(values, dtype=object)
    if array.dtype.kind != "U":
        return array
    objects = np.asarray(values, dtype=object)
    return array if all(isinstance(value, str) for value in objects.flat) else objects


def _refuse_shape(values: npt.NDArray[Any], container: str, name: str) -> None:
    """Refuse all shapes but a single column."""
    if values.shape[1:] == (1,):
        return
    if values.ndim == 2:
        raise InputError(
            f"{name} has shape {values.shape}: it is one-hot, multilabel or scores, but {name} should be a 1d "
            f"array with one label per sample. Pass {name}.argmax(axis=1) for one-hot rows, or "
            f"classes_[{name}.argmax(axis=1)] for scores; multilabel targets are not supported.",
            "ACC-B3",
        )
    came = container if values.ndim == 0 else f"shape {values.shape}"
    raise ValueError(f"{name} should be a 1d array of labels. Got {came}; pass a list or an array.")


def _of_one_kind(values: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """Return an array of str objects or of numbers."""
    if pd.api.types.infer_dtype(values, skipna=False) == "string":
        return values
    kinds = {type(value) for value in values.tolist()}
    if all(issubclass(kind, (Real, np.bool_)) for kind in kinds):
        numbers = np.asarray(values.tolist())
        if numbers.dtype.kind in "biuf":  # objects if beyond 64 bits
            return numbers
    raise ValueError(
        f"{name} must hold labels of one kind: strings, integers or booleans. "
        f"Got {' and '.join(sorted(kind.__name__ for kind in kinds))}. "
        f"Convert them to one type, for example with numpy.array({name}, dtype=str)."
    )


def _refuse_fractions(values: npt.NDArray[Any], name: str) -> None:
    whole = np.isfinite(values) & (values == np.floor(values))
    if not whole.all():
        raise ValueError(
            f"{name} must hold class labels, but it is continuous: {listed(values[~whole])} "
            f"(dtype {values.dtype}). Pass labels, for example predict(X) rather than predict_proba(X)."
        )


def _few_integers(y: npt.NDArray[Any]) -> bool:
    """Whether y holds integers of so small a range that scikit-learn's checks, which sort it twice, would pass.

    For integers scikit-learn only checks that not more than half of them are distinct.
    """
    return y.dtype.kind in "iu" and len(y) > 0 and int(y.max()) - int(y.min()) < len(y) // 2
