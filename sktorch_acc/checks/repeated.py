"""Checks of rows that occur more than once: the ceiling they set (D6), and leaks into a hold-out (D10)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from sktorch_acc._rates import rates
from sktorch_acc.findings import Finding

__all__ = ["RepeatedRows", "check_ceiling", "check_leak", "repeated_rows"]

Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]

_BINDING_CEILING = 0.95
_LEAK = 0.05
_AT_ONCE = 2**20  # values that are hashed at once
_MIXING = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class RepeatedRows:
    """Rows with identical features.

    Parameters
    ----------
    n_rows : int
        All rows.
    mixed_groups, mixed_rows : int
        Groups of identical rows that carry different labels, and the rows in them.
    best : int
        Rows that the best possible model gets right.
    copies : int
        Rows that repeat another one, label included.
    """

    n_rows: int
    mixed_groups: int
    mixed_rows: int
    best: int
    copies: int

    @property
    def ceiling(self) -> float:
        """Highest accuracy that any model can reach."""
        return float(rates(self.best, self.n_rows))


def repeated_rows(X: Any, y: Ints) -> RepeatedRows:
    """Group identical rows of X and count the labels in each group.

    Parameters
    ----------
    X : ndarray of shape (n_rows, ...) or CSR matrix
        Features.
    y : ndarray of shape (n_rows,), int64
        Class indices.
    """
    n_rows = X.shape[0]
    X = X.reshape(n_rows, -1) if isinstance(X, np.ndarray) and X.size else X
    groups = _groups(X) if n_rows and X.shape[-1] and X.ndim == 2 else np.zeros(n_rows, dtype=np.int64)
    sizes = np.bincount(groups)
    among = sizes[groups] > 1
    if not among.any():
        return RepeatedRows(n_rows, 0, 0, n_rows, 0)
    n_classes = int(y.max()) + 1
    cells, counts = np.unique(groups[among] * n_classes + y[among], return_counts=True)
    of_group = cells // n_classes
    starts = np.flatnonzero(np.append(True, of_group[1:] != of_group[:-1]))
    best, rows = np.maximum.reduceat(counts, starts), np.add.reduceat(counts, starts)
    mixed = best < rows
    alone = n_rows - int(among.sum())
    return RepeatedRows(
        n_rows, int(mixed.sum()), int(rows[mixed].sum()), alone + int(best.sum()), int((counts - 1).sum())
    )


def _groups(X: Any) -> Ints:
    """Return the group of each row, identical rows in one."""
    sparse = scipy.sparse.issparse(X)
    if sparse and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    keys = _sparse_keys(X) if sparse else _dense_keys(X)
    ordered = np.sort(keys)  # without their places four times as fast, and mostly enough
    if not (ordered[1:] == ordered[:-1]).any():
        return np.arange(len(keys))
    order = np.argsort(keys, kind="stable")
    same = ordered[1:] == ordered[:-1]
    first, second = X[order[:-1][same]], X[order[1:][same]]
    if (first != second).nnz if sparse else not (first == second).all():  # rows of one key that differ
        return _groups_by_value(X)
    groups = np.empty(len(keys), dtype=np.int64)
    groups[order] = np.append(0, np.cumsum(~same))
    return groups


def _groups_by_value(X: Any) -> Ints:
    """Return the group of each row, compared in full: slow, and next to never needed."""
    groups: dict[tuple[bytes, ...], int] = {}
    rows = _sparse_contents(X) if scipy.sparse.issparse(X) else ((row.tobytes(),) for row in X + X.dtype.type(0))
    return np.array([groups.setdefault(row, len(groups)) for row in rows])  # + 0: of -0.0 and 0.0 the bytes differ


def _sparse_contents(X: Any) -> Iterator[tuple[bytes, ...]]:
    for start, stop in itertools.pairwise(X.indptr):
        said = X.data[start:stop] != 0
        yield X.indices[start:stop][said].tobytes(), X.data[start:stop][said].tobytes()


def _dense_keys(X: npt.NDArray[Any]) -> Keys:
    """Hash each row to 64 bits by integer arithmetic: equal rows get equal keys wherever they stand."""
    keys = np.empty(len(X), dtype=np.uint64)
    step = max(1, _AT_ONCE // X.shape[1])
    for start in range(0, len(X), step):
        words = _words(X[start : start + step])
        keys[start : start + step] = _mixed(words) @ _odd_numbers(words.shape[1])
    return keys


def _words(X: npt.NDArray[Any]) -> Keys:
    """Return the bytes of each row as 64-bit words, padded with zeros; those of a -0.0 are those of 0.0."""
    rows = np.ascontiguousarray(X + X.dtype.type(0) if X.dtype.kind == "f" else X)
    n_bytes = rows.shape[1] * rows.itemsize
    if n_bytes % 8 == 0:
        return rows.view(np.uint64) if rows.dtype.kind == "f" else rows.copy().view(np.uint64)
    padded = np.zeros((len(rows), -(-n_bytes // 8) * 8), dtype=np.uint8)
    padded[:, :n_bytes] = rows.view(np.uint8)
    return padded.view(np.uint64)


def _sparse_keys(X: Any) -> Keys:
    """Hash each row of a canonical CSR matrix; a zero that is stored adds nothing."""
    values = X.data + X.data.dtype.type(0) if X.data.dtype.kind == "f" else X.data.astype(np.int64)
    bits = values.view(f"u{values.itemsize}").astype(np.uint64)
    sums = np.zeros(X.nnz + 1, dtype=np.uint64)
    np.cumsum(_mixed(bits) * _odd_numbers(X.shape[1])[X.indices], out=sums[1:])  # modulo 2**64
    keys: Keys = sums[X.indptr[1:]] - sums[X.indptr[:-1]]
    return keys


def _mixed(words: Keys) -> Keys:
    """Let each bit change all of the lower half, in place; 0 stays 0.

    The low bits of a float such as 1.0 are all 0, and products with odd numbers would leave them so.
    """
    words ^= words >> np.uint64(32)
    words *= _MIXING
    words ^= words >> np.uint64(32)
    return words


@functools.lru_cache(maxsize=4)
def _odd_numbers(n: int) -> Keys:
    return np.random.default_rng(0).integers(1, 2**63, n, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def check_ceiling(repeated: RepeatedRows) -> Finding | None:
    """Say which accuracy no model can exceed, because identical rows carry different labels (D6)."""
    if not repeated.mixed_groups:
        return None
    return Finding(
        "ACC-D6",
        "warning" if repeated.ceiling < _BINDING_CEILING else "info",
        f"No model can exceed {repeated.ceiling:.4f} on these rows: {repeated.mixed_groups} group(s) of identical rows "
        f"({repeated.mixed_rows} of {repeated.n_rows} rows) carry different labels.",
        "Look for a column that was lost, rounded or never measured, and for labels that disagree.",
    )


def check_leak(repeated: RepeatedRows, validation_fraction: float | None) -> Finding | None:
    """Warn of a random hold-out of rows of which many are copies of others (D10)."""
    if validation_fraction is None or repeated.copies < _LEAK * repeated.n_rows:
        return None
    return Finding(
        "ACC-D10",
        "warning",
        f"{repeated.copies} of {repeated.n_rows} rows repeat another row, label included, and "
        f"validation_fraction={validation_fraction:g} holds out rows at random: many validation rows also occur in "
        "training, and valid_acc is too good.",
        "Drop the copies, or split by what they have in common and pass X_val and y_val.",
    )
