"""Checks of X, of y and of their order (family D), and the statistics that they need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
from torch import nn

from sktorch_acc._rates import rates
from sktorch_acc._text import listed
from sktorch_acc.checks.layers import leaf_layers
from sktorch_acc.findings import Finding

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_LARGE_SPREAD = 50.0
_LARGE_RATIO = 100.0
_VALUES, _FEWEST, _MOST = 2**20, 16, 4096  # values, and samples, that the standard deviations are estimated from

# ------------------------------------------------------------------ D4: scales


def column_scales(X: Any, names: Sequence[str] | None = None) -> tuple[Floats, Sequence[str]]:
    """Estimate the standard deviation of every column from at most 4,096 samples, evenly spaced.

    Parameters
    ----------
    X : ndarray of shape (n_samples, ...) or CSR matrix
        Features.
    names : sequence of str or None
        Names of the columns of two-dimensional X; None: their numbers.

    Returns
    -------
    spreads : ndarray of shape (n_columns,), float64
        NaN for columns of one or two values, whose scale does no harm. All values count as one column
        if X has more than two dimensions.
    names : sequence of str
        Names of these columns, for messages.
    """
    n_samples = min(max(_VALUES // max(1, math.prod(X.shape[1:])), _FEWEST), _MOST)
    part: Any = X[:: max(1, -(-X.shape[0] // n_samples))]
    part = np.asarray(part.toarray() if scipy.sparse.issparse(X) else part, dtype=np.float64)
    if part.ndim != 2:
        part, names = part.reshape(-1, 1), ["all values"]
    low, high = part.min(axis=0), part.max(axis=0)
    spreads = np.where(((part == low) | (part == high)).all(axis=0), np.nan, part.std(axis=0))
    return spreads, [f"column {c}" for c in range(part.shape[1])] if names is None else names


def normalises_input(module: nn.Module) -> bool:
    """Whether the first layer of a module normalises, so that the scale of X does not matter."""
    kinds = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm, nn.Embedding)
    first = next(leaf_layers(module), None)
    return isinstance(first, kinds)


def check_scales(spreads: Floats, names: Sequence[str]) -> Finding | None:
    """Warn of a column whose scale dominates the others or saturates the first layer (D4).

    The comparison is with the 20th percentile: a single column that hardly varies is harmless.
    """
    known = np.flatnonzero(np.isfinite(spreads))
    if not len(known):
        return None
    spreads = spreads[known]
    typical = float(np.sort(spreads)[(len(spreads) - 1) // 5])
    largest = int(spreads.argmax())
    top = float(spreads[largest])
    if top <= _LARGE_SPREAD and top <= _LARGE_RATIO * typical:
        return None
    others = f"; a fifth of the columns have {typical:.3g} or less" if len(known) > 1 else ""
    return Finding(
        "ACC-D4",
        "warning",
        f"X is not scaled: {names[known[largest]]} has a standard deviation of {top:.4g}{others}.",
        "The largest columns then dominate the loss: put a StandardScaler before the module.",
    )


# ------------------------------------------------------------------ D1, D2, D3, D5, D8, D11, B3: labels and order


def check_target_shape(y: npt.NDArray[Any]) -> Finding | None:
    """Report targets of several columns: one-hot (B3) or soft (D11)."""
    if y.ndim < 2 or y.shape[1:] == (1,):
        return None
    if y.dtype.kind == "f" and not np.isin(y, (0, 1)).all():
        return Finding(
            "ACC-D11",
            "error",
            f"y has shape {y.shape} and holds soft targets: accuracy needs one label per sample.",
            "Train on the soft targets, and compute the accuracy with y.argmax(axis=1).",
        )
    return Finding(
        "ACC-B3",
        "error",
        f"y has shape {y.shape}: it is one-hot or multilabel, but accuracy needs one label per sample.",
        "Pass y.argmax(axis=1) for one-hot targets.",
    )


def check_label_range(y: npt.NDArray[Any], columns: int) -> Finding | None:
    """Report labels that are not class indices, one for each column of the module's output (D1)."""
    known, n_classes = np.unique(y), max(columns, 2)
    outside = (known < 0) | (known >= n_classes)
    whole = known == np.round(known)
    # Consecutive indices from 0 that are too many: the module has too few columns (C8).
    if whole.all() and (not outside.any() or np.array_equal(known, np.arange(len(known)))):
        return None
    return Finding(
        "ACC-D1",
        "error",
        f"y holds {listed(known[outside] if outside.any() else known[~whole])}, but class indices must be integers "
        f"from 0 to {n_classes - 1}, one per column of the module's output.",
        "Encode the labels: numpy.unique(y, return_inverse=True)[1].",
    )


def check_known_labels(labels: Sequence[Any], counts: Ints, unseen: str | None) -> Finding | None:
    """Report classes without training samples, and labels that were not seen in fit (D8)."""
    absent = [label for label, count in zip(labels, counts.tolist(), strict=True) if count == 0]
    if not absent and unseen is None:
        return None
    what = unseen or f"The estimator was fitted without samples of {listed(absent)}."
    return Finding(
        "ACC-D8",
        "warning",
        f"{what} It cannot predict such a class.",
        "Use StratifiedKFold, or train on samples of every class.",
    )


def check_aligned(X: Any, y: Any) -> Finding | None:
    """Report pandas X and y with the same index in another order (D2)."""
    left, right = getattr(X, "index", None), getattr(y, "index", None)
    if left is None or right is None or callable(left) or callable(right) or len(left) != len(right):
        return None
    different = int((np.asarray(left) != np.asarray(right)).sum())
    if not different or not left.is_unique or not left.sort_values().equals(right.sort_values()):
        return None
    return Finding(
        "ACC-D2",
        "warning",
        f"X and y have the same index in another order: {different} of {len(left)} rows differ, and rows are "
        "matched by position.",
        "Align them before fit: y = y.loc[X.index].",
    )


def check_grouped(y: Ints, shuffled: bool) -> Finding | None:
    """Warn of samples that are sorted by label and not shuffled (D3)."""
    n_samples = len(y)
    if shuffled or n_samples < 2:
        return None
    shares = np.bincount(y) / n_samples
    expected = 1 + n_samples * (1 - float((shares**2).sum()))
    runs = 1 + int((np.diff(y) != 0).sum())
    if runs >= expected / 2 or (shares > 0).sum() < 2 or n_samples < 20:
        return None
    return Finding(
        "ACC-D3",
        "warning",
        f"The samples are grouped by label ({runs} runs; {expected:.0f} are expected in random order) and the loader "
        "does not shuffle: most batches hold one class, and training on them unlearns the others.",
        "Use DataLoader(..., shuffle=True) for training.",
    )


def check_finite_rows(inputs: int, outputs: int, n_samples: int, weights: int, label: Any) -> Finding | None:
    """Report NaN or infinity in X, in the weights or in the output (D5), by the numbers of them."""
    if not inputs and not outputs and not weights:
        return None
    if inputs:
        where, advice = f"X holds NaN or infinity in {inputs} of {n_samples} samples", "Impute or drop them."
    elif weights:
        where = f"{weights} parameter(s) of the module hold NaN or infinity"
        advice = "Training diverged: start again with a lower lr, and scale X."
    else:
        where = f"The module returns NaN or infinity for {outputs} of {n_samples} samples"
        advice = "Look for a division by 0 or a logarithm of 0 inside the module."
    return Finding(
        "ACC-D5",
        "error",
        f"{where}: the argmax over NaN is 0, so such a sample is predicted as class {label!r}.",
        advice,
    )


# ------------------------------------------------------------------ D7: the majority


def check_majority(correct: Ints, support: Ints, labels: Sequence[Any]) -> Finding | None:
    """Warn of an accuracy that is the share of one frequent class (D7).

    All samples of that class are predicted correctly and no others; frequent means a share above the
    middle between 1 / n_classes and 1.
    """
    winner = int(correct.argmax())
    share = float(rates(support[winner], support.sum()))
    if not correct.sum() == correct[winner] == support[winner] or (support > 0).sum() < 2:
        return None
    if share < (1 + 1 / len(support)) / 2:
        return None
    never = [label for index, label in enumerate(labels) if support[index] and index != winner]
    return Finding(
        "ACC-D7",
        "warning",
        f"Only samples of {labels[winner]!r} are predicted correctly: the accuracy of {share:.2%} is the share of "
        f"that class, and the accuracy is 0 for {listed(never)}.",
        "Look at the accuracy of each class; class_weight='balanced' gives rare classes more weight in the loss.",
    )
