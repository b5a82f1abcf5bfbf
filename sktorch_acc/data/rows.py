"""The rows of a validated X: gathered for training steps, sliced for evaluation and prediction."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
import torch


class Rows(ABC):
    """Rows of X, and the dtype and device of the tensors that a module gets.

    Parameters
    ----------
    source : torch.Tensor or scipy.sparse CSR matrix of shape (n_rows, ...)
        The data; they are never changed.
    dtype : torch.dtype
        Dtype of the tensors that `gather` and `chunk` return.
    device : torch.device
        Device of these tensors.
    """

    def __init__(self, source: Any, dtype: torch.dtype, device: torch.device) -> None:
        self.source, self.dtype, self.device = source, dtype, device

    def __len__(self) -> int:
        n_rows: int = self.source.shape[0]
        return n_rows

    @property
    def elements_per_row(self) -> int:
        """Number of values in one row, at least 1."""
        elements: int = math.prod(self.source.shape[1:])
        return max(1, elements)

    @property
    @abstractmethod
    def index_device(self) -> torch.device:
        """Device on which `gather` expects its indices."""

    @abstractmethod
    def on(self, device: torch.device, dtype: torch.dtype) -> Rows:
        """Return the same rows for a module that computes in `dtype` on `device`; integers stay int64.

        Raises
        ------
        ValueError
            If a value becomes infinite in `dtype`.
        """

    @abstractmethod
    def resident(self) -> Rows:
        """Return the same rows, stored in `dtype` on `device`; sparse rows stay as they are."""

    @abstractmethod
    def gather(self, indices: torch.Tensor) -> torch.Tensor:
        """Return the rows at `indices` (int64) as a new tensor."""

    @abstractmethod
    def chunk(self, start: int, stop: int) -> torch.Tensor:
        """Return consecutive rows as a new contiguous tensor.

        It is always a copy: a module may write to its input, and only the same layout gives the same bits in `fit`
        and in `predict`.
        """

    @abstractmethod
    def take(self, indices: npt.NDArray[np.int64]) -> Rows:
        """Return the rows at `indices` as new `Rows`."""


class DenseRows(Rows):
    """Rows of a tensor."""

    @property
    def index_device(self) -> torch.device:
        device: torch.device = self.source.device
        return device

    def on(self, device: torch.device, dtype: torch.dtype) -> DenseRows:
        return DenseRows(self.source, _in_range(self, self.source, dtype), device)

    def resident(self) -> DenseRows:
        return DenseRows(self.source.to(self.device, self.dtype), self.dtype, self.device)

    def gather(self, indices: torch.Tensor) -> torch.Tensor:
        return self.source.index_select(0, indices).to(self.device, self.dtype)  # type: ignore[no-any-return]

    def chunk(self, start: int, stop: int) -> torch.Tensor:
        rows: torch.Tensor = self.source[start:stop]
        return rows.to(self.device, self.dtype, copy=True, memory_format=torch.contiguous_format)

    def take(self, indices: npt.NDArray[np.int64]) -> DenseRows:
        where = torch.from_numpy(indices).to(self.source.device)
        return DenseRows(self.source.index_select(0, where), self.dtype, self.device)


class SparseRows(Rows):
    """Rows of a CSR matrix, converted to dense tensors batch by batch."""

    @property
    def index_device(self) -> torch.device:
        return torch.device("cpu")

    def on(self, device: torch.device, dtype: torch.dtype) -> SparseRows:
        return SparseRows(self.source, _in_range(self, torch.from_numpy(self.source.data), dtype), device)

    def resident(self) -> SparseRows:
        return self

    def gather(self, indices: torch.Tensor) -> torch.Tensor:
        return self._dense(self.source[indices.numpy()])

    def chunk(self, start: int, stop: int) -> torch.Tensor:
        return self._dense(self.source[start:stop])

    def take(self, indices: npt.NDArray[np.int64]) -> SparseRows:
        return SparseRows(self.source[indices], self.dtype, self.device)

    def _dense(self, matrix: Any) -> torch.Tensor:
        # A copy: memory of torch begins at a multiple of 64 bytes, memory of numpy need not.
        return torch.from_numpy(matrix.toarray()).to(self.device, self.dtype, copy=True)


def _in_range(rows: Rows, values: torch.Tensor, dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of rows for a module that computes in `dtype`; raise an error for values that overflow."""
    if rows.dtype == torch.int64:
        return torch.int64
    limit = torch.finfo(dtype).max
    if not values.is_floating_point() or not values.numel() or torch.finfo(values.dtype).max <= limit:
        return dtype
    low, high = torch.aminmax(values)
    largest = max(-low.item(), high.item())
    if largest > limit:
        raise ValueError(
            f"X holds a value of magnitude {largest:.3g}, which is infinite in {str(dtype).removeprefix('torch.')}, "
            "the dtype in which the module computes. Scale X (StandardScaler in a pipeline) or give the module "
            "float64 parameters (module.double())."
        )
    return dtype


class _Readable:
    """A read-only array, declared writable: torch warns about read-only arrays, but nothing writes to them here."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        interface = dict(array.__array_interface__)
        interface["data"] = (interface["data"][0], False)
        self.__array_interface__ = interface
        self.base = array  # keeps the memory allocated


# dtypes that torch does not have or hardly supports, and the wider dtypes that are used instead
_WIDENED = {"float128": "float64", "uint16": "int32", "uint32": "int64", "uint64": "float64"}


def as_tensor(array: np.ndarray[Any, Any]) -> torch.Tensor:
    """Return a tensor that shares memory with `array` if torch supports its dtype, byte order and strides."""
    if array.dtype.name in _WIDENED:
        array = array.astype(_WIDENED[array.dtype.name])
    elif not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if min(array.strides, default=0) < 0:
        array = np.ascontiguousarray(array)
    if not array.flags.writeable and array.size:
        array = np.asarray(_Readable(array))
    return torch.from_numpy(array)


def as_rows(X: Any, dtype: torch.dtype) -> Rows:
    """Return the rows of a validated array, CSR matrix or tensor, unconverted; `Rows.on` converts them."""
    cpu = torch.device("cpu")
    if scipy.sparse.issparse(X):
        return SparseRows(X, dtype, cpu)
    return DenseRows(X if isinstance(X, torch.Tensor) else as_tensor(X), dtype, cpu)
