"""The feature schema: the validation of X in `fit`, and what is stored of X for `predict`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt
import scipy.sparse
import torch
from sklearn.utils.validation import validate_data

from sktorch_acc._text import listed
from sktorch_acc.data.plain import DATES, plain
from sktorch_acc.data.rows import Rows, as_rows

_SHOWN = 5  # columns named before "and 12 more"
_FLOATS = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
_INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)


@dataclass(frozen=True)
class FeatureSchema:
    """The shape and dtype of X in `fit`, and the checks of X in `predict`.

    Parameters
    ----------
    row_shape : tuple of int
        Shape of one sample: ``X.shape[1:]``.
    integers : bool
        Whether X was an integer tensor, which is passed to the module as int64 (embeddings, sequences).
    dtype : str
        Name of the floating dtype of X, or ``"float64"`` for integers and bools.
    """

    row_shape: tuple[int, ...]
    integers: bool
    dtype: str

    @classmethod
    def learn(cls, estimator: Any, X: Any) -> tuple[FeatureSchema, Any]:
        """Validate X in `fit`; return the schema and the validated array, CSR matrix or tensor."""
        checked = _validated(estimator, X, reset=True)
        integers = isinstance(checked, torch.Tensor) and checked.dtype in _INTEGERS
        return cls(tuple(checked.shape[1:]), integers, _floating_name(checked)), checked

    def check(self, estimator: Any, X: Any) -> Any:
        """Validate X in `predict` or a later `partial_fit`; return the validated array, CSR matrix or tensor.

        Raises
        ------
        ValueError
            If X has another shape or another kind of dtype than in `fit`, or is invalid for the same reasons as there.
        """
        if isinstance(X, (list, tuple)):
            X = plain(X)
        shape = tuple(getattr(X, "shape", ()))
        if len(self.row_shape) > 1 and shape[1:] != self.row_shape:
            raise ValueError(
                f"X has shape {shape}, but {type(estimator).__name__} was fitted on samples of shape "
                f"{self.row_shape}: give it an array of shape (n_samples, "
                f"{', '.join(map(str, self.row_shape))})."
            )
        checked = _validated(estimator, X, reset=False)
        if tuple(checked.shape[1:]) != self.row_shape:
            raise ValueError(
                f"X has samples of shape {tuple(checked.shape[1:])}, but {type(estimator).__name__} was "
                f"fitted on samples of shape {self.row_shape}."
            )
        if self.integers:
            _check_integers(checked)
        return checked

    def rows(self, checked: Any) -> Rows:
        """Return the rows of a validated X; `Rows.on` converts them for a module."""
        return as_rows(checked, torch.int64 if self.integers else getattr(torch, self.dtype))

    def to_state(self) -> dict[str, Any]:
        """Return the schema as a dict of JSON values."""
        return {**asdict(self), "row_shape": list(self.row_shape)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> FeatureSchema:
        """Return the schema that `to_state` converted."""
        return cls(tuple(state["row_shape"]), bool(state["integers"]), str(state["dtype"]))


def _is_sparse(X: Any) -> bool:
    return bool(scipy.sparse.issparse(X))


def _floating_name(checked: Any) -> str:
    """Return the name of the dtype in which the bundled module computes on this X."""
    name = str(checked.dtype).removeprefix("torch.")
    if name in ("float16", "bfloat16", "float32"):
        return "float32"
    return "float64"


def _validated(estimator: Any, X: Any, *, reset: bool) -> Any:
    """Validate X as scikit-learn does, with messages that name the columns; tensors stay tensors."""
    _refuse_loaders(X)
    if isinstance(X, torch.Tensor):
        return _validated_tensor(estimator, X, reset=reset)
    _refuse_text_columns(X)
    X = plain(X)
    if isinstance(X, np.ndarray) and X.dtype.kind in "UST":
        raise ValueError(_text_message("X", [], "Input X holds strings"))
    try:
        checked = _sklearn_validated(estimator, X, reset=reset)
    except ValueError as err:
        if "could not convert string to float" in str(err):
            raise ValueError(_text_message("X", [], f"Input X holds text ({err})")) from err
        raise
    if checked.dtype.kind not in "biuf":
        raise ValueError(f"X must hold numbers. Got values of dtype {checked.dtype}: convert them before fit.")
    _refuse_nonfinite(checked, getattr(X, "columns", None))
    return checked


def _sklearn_validated(estimator: Any, X: Any, *, reset: bool) -> Any:
    if type(X) is np.ndarray and X.ndim == 2 and X.size and X.dtype.kind in "biuf":
        # The checks of an array would find nothing, and take as long as a step.
        return validate_data(estimator, X, reset=reset, skip_check_array=True)
    return validate_data(
        estimator,
        X,
        reset=reset,
        dtype="numeric",
        accept_sparse="csr",
        allow_nd=True,
        ensure_all_finite=False,  # _refuse_nonfinite names the columns
    )


def _validated_tensor(estimator: Any, X: torch.Tensor, *, reset: bool) -> Any:
    """Validate a tensor as a numpy array, which shares its memory on the CPU."""
    if X.layout is not torch.strided:
        raise TypeError(f"X is a torch tensor of layout {X.layout}: pass X.to_dense() or a scipy.sparse array.")
    if X.is_floating_point() and X.dtype not in _FLOATS:
        raise TypeError(f"X is a torch tensor of dtype {X.dtype}, which is for storage only: pass X.float().")
    X = X.detach()
    on_cpu = X.cpu()
    view = on_cpu.float() if on_cpu.dtype in (torch.bfloat16, torch.float16) else on_cpu
    _sklearn_validated(estimator, view.numpy(), reset=reset)
    _refuse_nonfinite(view.numpy(), None)
    return X


def _refuse_loaders(X: Any) -> None:
    if isinstance(X, (torch.utils.data.Dataset, torch.utils.data.DataLoader)):
        raise TypeError(
            f"X is a {type(X).__name__}, but arrays are expected: scikit-learn must be able to index samples. Pass the "
            "features and the labels as two arrays or tensors, for example X, y = map(torch.stack, "
            "zip(*((x, torch.as_tensor(y)) for x, y in dataset)))."
        )


def _text_message(name: str, columns: Sequence[Any], start: str | None = None) -> str:
    which = start or f"{name} has {len(columns)} column(s) that are not numeric: {listed(columns)}"
    return (
        f"{which}. Encode text before it reaches the classifier, for example with "
        "make_column_transformer((OneHotEncoder(handle_unknown='ignore'), text_columns), "
        "remainder='passthrough') in a pipeline."
    )


def _refuse_text_columns(X: Any) -> None:
    """Raise an error that names the text, category and date columns of a pandas or polars frame."""
    if isinstance(X, np.ndarray):
        return
    names = list(getattr(X, "columns", ()))
    repeated = sorted(str(name) for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise ValueError(f"X has more than one column of the name(s) {listed(repeated)}. Give each its own name.")
    frame = nw.from_native(X, eager_only=True, pass_through=True)
    if not isinstance(frame, nw.DataFrame):
        return
    text = (nw.String, nw.Categorical, nw.Enum, nw.Datetime, nw.Date, nw.Time, nw.Duration, nw.Binary)
    bad = []
    for name, (column, dtype) in zip(names, frame.schema.items(), strict=True):
        holds_text = isinstance(dtype, nw.Object) and any(isinstance(value, (str, *DATES)) for value in frame[column])
        if isinstance(dtype, text) or holds_text:
            bad.append(name)
    if bad:
        raise ValueError(_text_message("X", bad))


def _refuse_nonfinite(X: Any, names: Any) -> None:
    """Raise an error for NaN and infinite values, which names the columns; for a finite X only a sum is computed."""
    values: npt.NDArray[Any] = X.data if _is_sparse(X) else X
    if values.dtype.kind != "f":
        return
    with np.errstate(all="ignore"):
        # A sum in the dtype of X takes half of the time; if it overflows, the values are examined below.
        if np.isfinite(values.sum(dtype=np.float32 if values.dtype == np.float16 else None)):
            return
    columns: dict[int, int] = {}
    has_nan = has_inf = False
    for column, bad_values in _nonfinite_by_column(X):
        columns[column] = len(bad_values)
        has_nan |= bool(np.isnan(bad_values).any())
        has_inf |= bool(np.isinf(bad_values).any())
    if not columns:
        return  # finite values whose sum overflows
    kinds = " and ".join(kind for kind, found in (("NaN", has_nan), ("infinity", has_inf)) if found)
    if X.ndim > 2:
        raise ValueError(f"Input X contains {kinds}: {columns[0]} values. Replace them or drop these samples.")
    labels = [f"{names[c] if names is not None else c!r} ({count} rows)" for c, count in columns.items()]
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    raise ValueError(
        f"Input X contains {kinds} in column {', '.join(labels[:_SHOWN])}{more}. Replace them (for example "
        "with SimpleImputer in a pipeline) or drop these rows."
    )


def _nonfinite_by_column(X: Any) -> list[tuple[int, npt.NDArray[Any]]]:
    """Return (column, its non-finite values); all values under column 0 for n-d X."""
    if _is_sparse(X):
        bad = ~np.isfinite(X.data)
        columns = X.indices[bad]
        return [(int(c), X.data[bad][columns == c]) for c in np.unique(columns)]
    if X.ndim > 2:
        bad_values = X[~np.isfinite(X)]
        return [(0, bad_values)] if len(bad_values) else []
    found = []
    for c in range(X.shape[1]):  # column by column: no second array of the size of X
        column = X[:, c]
        bad_values = column[~np.isfinite(column)]
        if len(bad_values):
            found.append((c, bad_values))
    return found


def _check_integers(checked: Any) -> None:
    values = checked.data if _is_sparse(checked) else checked
    name = str(values.dtype).removeprefix("torch.")
    if not name.startswith(("int", "uint")):
        raise ValueError(
            f"X has dtype {name}, but the classifier was fitted on integers (token or category indices). "
            "Pass integers again."
        )
