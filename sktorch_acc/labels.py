"""Labels and weights, checked once and without torch: for data, metrics and doctor.

A fit keeps the dtype of its labels (`check_labels`). Metrics compare the labels of two containers, so strings
become objects, and fractions and dates are refused (`as_labels`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from sktorch_acc._text import listed
from sktorch_acc.exceptions import InputError

_EXACT = 2**53  # up to here float64 holds every integer

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
    return np.sort(pd.unique(joined([values for values in named.values() if len(values)])))


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


def in_one_dtype(*arrays: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
    """Return arrays of labels in one dtype in which labels are equal exactly if they were equal before.

    The common dtype of NumPy is not such a dtype: of int64 and uint64, or of int64 and float64, it is float64, in which
    2**53 and 2**53 + 1 are the same. Labels that no integer dtype holds become objects.
    """
    dtypes = {values.dtype for values in arrays}
    if len(dtypes) == 1 or any(dtype.kind not in "biuf" for dtype in dtypes):
        return arrays
    common = np.result_type(*dtypes)
    large = any(values.dtype.kind in "iu" and not _within(values, -_EXACT, _EXACT) for values in arrays)
    if common.kind != "f" or (not large and any(dtype.kind == "f" for dtype in dtypes)):
        return tuple(values.astype(common, copy=False) for values in arrays)
    for dtype in (np.dtype(np.int64), np.dtype(np.uint64)):
        limits = np.iinfo(dtype)
        if all(_within(values, limits.min, limits.max) for values in arrays):
            return tuple(values.astype(dtype, copy=False) for values in arrays)
    return tuple(values.astype(object) for values in arrays)


def joined(arrays: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Return the labels of several arrays in one array, with the dtype of `in_one_dtype`."""
    return np.concatenate(in_one_dtype(*arrays))


def is_among(values: npt.NDArray[Any], labels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return which values are among the labels, bool of the shape of `values`; dtypes may differ."""
    values, labels = in_one_dtype(values, labels)
    return np.isin(values, labels)


def same_labels(left: npt.NDArray[Any], right: npt.NDArray[Any]) -> bool:
    """Whether two arrays hold the same labels in the same order; dtypes may differ."""
    left, right = in_one_dtype(left, right)
    return np.array_equal(left, right)


def _within(values: npt.NDArray[Any], low: int, high: int) -> bool:
    """Whether all values are whole numbers from `low` to `high`, compared as Python integers."""
    if not len(values) or values.dtype.kind == "b":
        return True
    if values.dtype.kind == "f" and not (np.isfinite(values) & (values == np.floor(values))).all():
        return False
    return low <= int(values.min()) and int(values.max()) <= high


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
        if values.dtype.kind in "cmM":
            raise TypeError("they are complex" if values.dtype.kind == "c" else "they are dates or durations")
        weights = values.astype(np.float64, copy=False)
    except (TypeError, ValueError) as err:
        raise ValueError(f"sample_weight must hold numbers. Got {type(sample_weight).__name__}: {err}.") from err
    masked = _masked(sample_weight)
    if masked.any():
        raise ValueError(
            f"sample_weight is masked in {int(masked.sum())} of {masked.size} samples (first at row "
            f"{int(masked.reshape(-1).argmax())}). Give samples that should not count the weight 0."
        )
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
    if values.dtype.kind == "V":
        raise ValueError(f"{name} must hold one label per sample. Got records of dtype {values.dtype}.")
    if values.dtype.kind == "f" and values.dtype.itemsize > 8:
        raise ValueError(f"{name} holds labels of dtype {values.dtype} that float64 cannot hold. Pass strings.")
    missing = pd.isna(values) if values.dtype.kind not in "biu" else np.zeros(1, dtype=bool)
    if isinstance(y, np.ma.MaskedArray):
        missing = missing | np.ma.getmaskarray(y).reshape(-1)
    if missing.any():
        raise ValueError(
            f"Input {name} contains NaN or None: {int(missing.sum())} of {len(values)} labels are missing, the first "
            f"at row {int(missing.argmax())}. Drop these rows or give them a label."
        )
    return _of_one_kind(values, name) if values.dtype.kind == "O" else values


def _as_array(values: Any) -> npt.NDArray[Any]:
    """Return an array of a dtype that pandas indexes; a tensor is recognised by its `detach`."""
    array: npt.NDArray[Any]
    if hasattr(values, "detach"):
        tensor = values.detach().cpu()
        try:
            array = tensor.numpy()
        except TypeError:  # NumPy has no bfloat16
            array = tensor.float().numpy()
    elif isinstance(values, (list, tuple)):
        array = _of_sequence(values)
    else:
        array = np.asarray(values)
    return with_plain_dtype(array)


def with_plain_dtype(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array of native byte order, with strings of variable width as objects and long doubles as float64.

    Only if no value changes: long doubles that float64 does not hold stay what they are.
    """
    if array.dtype.kind == "T":
        return array.astype(object)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if array.dtype == np.longdouble and array.dtype != np.float64:
        with np.errstate(over="ignore"):
            narrow = array.astype(np.float64)
        return narrow if np.array_equal(narrow, array, equal_nan=True) else array
    return array


def _masked(values: Any) -> npt.NDArray[np.bool_]:
    """Return which entries of a masked array are masked; one False for any other container."""
    return np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else np.zeros(1, dtype=bool)


def _of_sequence(values: list[Any] | tuple[Any, ...]) -> npt.NDArray[Any]:
    """Return an array, of objects where NumPy would turn numbers into strings (``[1, "a"]``)."""
    try:
        array = np.asarray(values)
    except ValueError:  # sequences of different lengths
        return np.asarray(values, dtype=object)
    if array.dtype.kind not in "Uf":
        return array
    objects = np.asarray(values, dtype=object)
    if array.dtype.kind == "f":
        return _of_numbers(objects)
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
        numbers = _of_numbers(values)
        if numbers.dtype.kind in "biuf":
            return numbers
    raise ValueError(
        f"{name} must hold labels of one kind: strings, integers or booleans. "
        f"Got {' and '.join(sorted(kind.__name__ for kind in kinds))}. "
        f"Convert them to one type, for example with numpy.array({name}, dtype=str)."
    )


def _of_numbers(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return objects that are numbers as an array of numbers; objects as they are if that would change an integer.

    NumPy turns 2**63 and 1 into floats, and many integers beyond 2**53 are no floats.
    """
    numbers = np.asarray(values.tolist())
    if numbers.dtype.kind == "f" and any(isinstance(v, Integral) and abs(int(v)) > _EXACT for v in values.flat):
        for dtype in (np.int64, np.uint64):
            with suppress(OverflowError, ValueError, TypeError):
                exact = np.array([int(value) for value in values.flat], dtype=dtype).reshape(values.shape)
                if (exact == values).all():
                    return exact
        return numbers if (numbers == values).all() else values
    return numbers


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
