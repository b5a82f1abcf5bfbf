"""Any array-like of numbers in a plain dtype: without masks, dates, foreign byte orders and long doubles."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse

from sktorch_acc._text import listed

DATES = (np.datetime64, np.timedelta64, datetime.date, datetime.time, datetime.timedelta, pd.Period, pd.Interval)


def plain(X: Any) -> Any:
    """Return X with values that NumPy and torch read alike; an array for a list, frames and tensors as they are.

    Values that float64 does not hold become infinite.

    Raises
    ------
    ValueError
        If X is masked somewhere, or holds dates or durations.
    """
    if scipy.sparse.issparse(X):
        return _plain_sparse(X)
    if isinstance(X, (list, tuple)):
        X = _stacked(X) if _holds_masked(X) else np.asarray(X)
    if isinstance(X, np.ma.MaskedArray):
        _refuse_masked(X)
        X = X.data
    return _plain_values(X) if isinstance(X, np.ndarray) else X


def numbers(X: Any) -> npt.NDArray[Any]:
    """Return X as a plain array, objects that are numbers as float64 and missing values as NaN.

    Raises
    ------
    ValueError
        As in `plain`, or if an object is no number.
    """
    values = plain(np.asarray(plain(X)))
    if values.dtype != object:
        return np.asarray(values)
    try:
        return np.where(pd.isna(values), np.nan, values).astype(np.float64)
    except (TypeError, ValueError) as err:
        raise ValueError(f"X must hold numbers, but its dtype is object: {err}.") from err


def _holds_masked(values: Any) -> bool:
    """Whether nested lists hold a masked array."""
    kinds = set(map(type, values))
    if any(issubclass(kind, np.ma.MaskedArray) for kind in kinds):
        return True
    return not kinds.isdisjoint((list, tuple)) and any(
        _holds_masked(value) for value in values if isinstance(value, (list, tuple))
    )


def _stacked(values: Any) -> Any:
    return np.ma.stack([_stacked(value) if isinstance(value, (list, tuple)) else value for value in values])


def _plain_values(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    kind = values.dtype.kind
    types = {type(value) for value in values.flat} if kind == "O" else set()
    if kind in "mM" or any(issubclass(each, DATES) for each in types):
        raise ValueError(
            f"X holds dates or durations (dtype {values.dtype}), which are not numbers. Convert them before they reach "
            "the classifier, for example with (X - X.min()) / numpy.timedelta64(1, 'D')."
        )
    if type(pd.NA) in types:
        return np.where(pd.isna(values), np.nan, values)
    if kind == "f" and values.dtype.itemsize > 8:
        with np.errstate(over="ignore"):
            return values.astype(np.float64)
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def _plain_sparse(X: Any) -> Any:
    """Return the matrix itself if its dtype is one that torch has; scipy converts few of the others."""
    dtype = X.dtype
    if dtype.isnative and dtype.kind in "biufc" and not (dtype.kind == "f" and dtype.itemsize not in (4, 8)):
        return X
    X = X.tocsr()
    values = _plain_values(X.data)
    if values.dtype.kind == "O" or values.dtype == np.float16:
        values = values.astype(np.float32 if values.dtype == np.float16 else np.float64)
    return type(X)((values, X.indices, X.indptr), shape=X.shape)


def _refuse_masked(X: Any) -> None:
    masked = np.ma.getmaskarray(X)
    if not masked.any():
        return
    where = "" if X.ndim != 2 else f" in column {listed(np.flatnonzero(masked.any(axis=0)))}"
    raise ValueError(
        f"Input X is masked{where}: {int(masked.sum())} values are missing. Replace them (for example with "
        "X.filled(numpy.nan) and a SimpleImputer in a pipeline) or drop these rows."
    )
