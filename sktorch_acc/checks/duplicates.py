"""Checks of samples that occur more than once: the accuracy they allow (D6), and validation leaks (D10)."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from sktorch_acc._rates import rates
from sktorch_acc.findings import Finding

Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]

_BINDING_CEILING = 0.95
_LEAK = 0.05  # share of duplicates
_AT_ONCE = 2**20  # values that are hashed at once
_MIXING = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class RepeatedRows:
    """Counts of the samples whose features are equal.

    Parameters
    ----------
    n_samples : int
        All samples.
    mixed_groups, mixed_samples : int
        Groups of samples with equal features but different labels, and the samples in them.
    best : int
        Most correct predictions that a model can make.
    copies : int
        Samples that repeat another one, label included.
    """

    n_samples: int
    mixed_groups: int
    mixed_samples: int
    best: int
    copies: int

    @property
    def ceiling(self) -> float:
        """Highest accuracy that a model can reach."""
        return float(rates(self.best, self.n_samples))


def repeated_rows(X: Any, y: Ints) -> RepeatedRows:
    """Group the samples that are equal in X, and count the labels in each group.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...) or CSR matrix
        Features.
    y : ndarray of shape (n_samples,), int64
        Class indices.
    """
    n_samples, n_labels = X.shape[0], int(y.max(initial=0)) + 1
    if isinstance(X, np.ndarray):
        X = X.reshape(n_samples, math.prod(X.shape[1:]))
    groups = _groups(X) if X.shape[1] else np.zeros(n_samples, dtype=np.int64)
    sizes = np.bincount(groups)
    shared = np.flatnonzero(sizes[groups] > 1)
    if not len(shared):
        return RepeatedRows(n_samples, mixed_groups=0, mixed_samples=0, best=n_samples, copies=0)
    cells, counts = np.unique(groups[shared] * n_labels + y[shared], return_counts=True)
    best = np.minimum(sizes, 1)
    np.maximum.at(best, cells // n_labels, counts)
    mixed = best < sizes
    return RepeatedRows(
        n_samples,
        mixed_groups=int(mixed.sum()),
        mixed_samples=int(sizes[mixed].sum()),
        best=int(best.sum()),
        copies=int((counts - 1).sum()),
    )


def _groups(X: Any) -> Ints:
    """Return the group of each sample; equal samples are in one group."""
    sparse = scipy.sparse.issparse(X)
    if sparse and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    keys = _sparse_keys(X) if sparse else _dense_keys(X)
    ordered = np.sort(keys)  # without positions it is four times as fast, and mostly enough
    if not (ordered[1:] == ordered[:-1]).any():
        return np.arange(len(keys))
    order = np.argsort(keys, kind="stable")
    same = ordered[1:] == ordered[:-1]
    first, second = X[order[:-1][same]], X[order[1:][same]]
    if (first != second).nnz if sparse else (first != second).any():  # different samples with one key: never seen
        return np.unique(X.toarray() if sparse else X, axis=0, return_inverse=True)[1].reshape(-1)
    groups = np.empty(len(keys), dtype=np.int64)
    groups[order] = np.append(0, np.cumsum(~same))
    return groups


def _dense_keys(X: npt.NDArray[Any]) -> Keys:
    """Hash each sample to 64 bits with integer arithmetic: equal samples have equal keys."""
    keys = np.empty(len(X), dtype=np.uint64)
    step = max(1, _AT_ONCE // X.shape[1])
    for start in range(0, len(X), step):
        words = _words(X[start : start + step])
        keys[start : start + step] = _mixed(words) @ _odd_numbers(words.shape[1])
    return keys


def _words(X: npt.NDArray[Any]) -> Keys:
    """Return the bytes of each sample as 64-bit words, padded with zeros; -0.0 has the bytes of 0.0."""
    rows = np.ascontiguousarray(X + X.dtype.type(0) if X.dtype.kind == "f" else X)
    n_bytes = rows.shape[1] * rows.itemsize
    if n_bytes % 8 == 0:
        return rows.view(np.uint64) if rows.dtype.kind == "f" else rows.copy().view(np.uint64)
    padded = np.zeros((len(rows), -(-n_bytes // 8) * 8), dtype=np.uint8)
    padded[:, :n_bytes] = rows.view(np.uint8)
    return padded.view(np.uint64)


def _sparse_keys(X: Any) -> Keys:
    """Hash each sample of a canonical CSR matrix; a stored zero adds nothing."""
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
    """Report the highest accuracy possible if samples with equal features have different labels (D6)."""
    if not repeated.mixed_groups:
        return None
    return Finding(
        "ACC-D6",
        "warning" if repeated.ceiling < _BINDING_CEILING else "info",
        f"No model can exceed {repeated.ceiling:.4f} on these samples: {repeated.mixed_samples} of "
        f"{repeated.n_samples} are in {repeated.mixed_groups} group(s) with equal features but different labels.",
        "Look for a column that was lost, rounded or never measured, and for wrong labels.",
    )


def check_leak(repeated: RepeatedRows, validation_fraction: float | None) -> Finding | None:
    """Warn of a random validation split of data with many duplicates (D10)."""
    if validation_fraction is None or repeated.copies < _LEAK * repeated.n_samples:
        return None
    return Finding(
        "ACC-D10",
        "warning",
        f"{repeated.copies} of {repeated.n_samples} samples are duplicates, label included, and "
        f"validation_fraction={validation_fraction:g} splits at random: many validation samples are also in the "
        "training set, and valid_acc is too high.",
        "Drop the duplicates, or split by group and pass X_val and y_val.",
    )
