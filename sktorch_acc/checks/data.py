"""Checks of X, y and the order in which they come (family D), from facts that are gathered here too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
from torch import nn

from sktorch_acc._rates import rates
from sktorch_acc._text import listed
from sktorch_acc.findings import Finding

__all__ = [
    "ColumnScales",
    "check_aligned",
    "check_finite_rows",
    "check_grouped",
    "check_known_labels",
    "check_label_range",
    "check_majority",
    "check_scales",
    "check_target_shape",
    "column_scales",
    "normalises_input",
    "one_class_only",
]

Ints = npt.NDArray[np.int64]

_LARGE_SPREAD = 50.0
_LARGE_RATIO = 100.0
_SAMPLE = 2**20, 16, 4096  # values, fewest and most rows that the spreads are estimated from

# ------------------------------------------------------------------ D4: scales


@dataclass(frozen=True)
class ColumnScales:
    """Standard deviation of each column.

    Parameters
    ----------
    spreads : ndarray of shape (n_columns,), float64
        NaN for constant columns and columns of two values, whose scale does no harm. One column for X
        of more than two dimensions: all its values.
    names : sequence of str
        What to call the columns.
    """

    spreads: npt.NDArray[np.float64]
    names: Sequence[str]


def column_scales(X: Any, names: Sequence[str] | None = None) -> ColumnScales:
    """Estimate the spread of every column from at most 4,096 rows, evenly spaced.

    Parameters
    ----------
    X : ndarray of shape (n_rows, ...) or CSR matrix
        Features.
    names : sequence of str or None
        Names of the columns of two-dimensional X; None: their numbers.
    """
    values, fewest, most = _SAMPLE
    n_rows = min(max(values // max(1, math.prod(X.shape[1:])), fewest), most)
    step = max(1, -(-X.shape[0] // n_rows))
    sample: Any = X[::step]
    sample = np.asarray(sample.toarray() if scipy.sparse.issparse(X) else sample, dtype=np.float64)
    if sample.ndim != 2:
        sample, names = sample.reshape(-1, 1), ["all values"]
    low, high = sample.min(axis=0), sample.max(axis=0)
    spreads = np.where(((sample == low) | (sample == high)).all(axis=0), np.nan, sample.std(axis=0))
    return ColumnScales(spreads, [f"column {c}" for c in range(sample.shape[1])] if names is None else names)


def normalises_input(module: nn.Module) -> bool:
    """Whether the first layer of a module is a normalisation: the scale of X then does not matter."""
    kinds = (nn.modules.batchnorm._BatchNorm, nn.LayerNorm, nn.modules.instancenorm._InstanceNorm, nn.Embedding)
    first = next((layer for layer in module.modules() if not any(layer.children())), None)
    return isinstance(first, kinds)


def check_scales(scales: ColumnScales) -> Finding | None:
    """Warn of features whose scale drowns the others, or saturates the first layer (D4).

    Compared with the lower fifth, not with the smallest: one column that hardly varies is no mistake.
    """
    known = np.flatnonzero(np.isfinite(scales.spreads))
    if not len(known):
        return None
    spreads = scales.spreads[known]
    typical = float(np.sort(spreads)[(len(spreads) - 1) // 5])
    largest = int(spreads.argmax())
    top = float(spreads[largest])
    if top <= _LARGE_SPREAD and top <= _LARGE_RATIO * typical:
        return None
    others = f"; a fifth of the columns have {typical:.3g} or less" if len(known) > 1 else ""
    return Finding(
        "ACC-D4",
        "warning",
        f"X is not scaled: {scales.names[known[largest]]} has a standard deviation of {top:.4g}{others}.",
        "The loss then follows the largest columns alone: put a StandardScaler before the module.",
    )


# ------------------------------------------------------------------ D1, D2, D3, D5, D8, D11, B3: y and the order


def check_target_shape(y: npt.NDArray[Any]) -> Finding | None:
    """Name targets of several columns: one-hot (B3) or soft (D11)."""
    if y.ndim < 2 or y.shape[1:] == (1,):
        return None
    if y.dtype.kind == "f" and not np.isin(y, (0, 1)).all():
        return Finding(
            "ACC-D11",
            "error",
            f"y has shape {y.shape} and holds soft targets: a row has no one label, so accuracy is not defined.",
            "Train on the soft targets if you like, and score against y.argmax(axis=1).",
        )
    return Finding(
        "ACC-B3",
        "error",
        f"y has shape {y.shape}: it is one-hot or multilabel, but one label per row is compared with the predictions.",
        "Pass y.argmax(axis=1) for one-hot rows.",
    )


def check_label_range(y: npt.NDArray[Any], columns: int) -> Finding | None:
    """Name class indices that the module has no column for, though it has one per label (D1)."""
    known, n_classes = np.unique(y), max(columns, 2)
    bad = known[(known < 0) | (known >= n_classes)]
    whole = known == np.round(known)
    if not len(bad) and whole.all():
        return None
    if whole.all() and known[0] == 0 and len(known) == known[-1] + 1:
        return None  # consecutive from 0: the module has too few columns (C8)
    offenders = bad if len(bad) else known[~whole]
    return Finding(
        "ACC-D1",
        "error",
        f"y holds {listed(offenders)}, but class indices must be whole numbers from 0 to {n_classes - 1}, one "
        f"per column of the module's output.",
        "Number the labels 0, 1, ...: numpy.unique(y, return_inverse=True)[1].",
    )


def check_known_labels(labels: Sequence[Any], counts: Ints, unseen: str | None) -> Finding | None:
    """Name classes without training rows, and labels that were not seen in fit (D8)."""
    absent = [label for label, count in zip(labels, counts.tolist(), strict=True) if count == 0]
    if not absent and unseen is None:
        return None
    what = unseen or f"The estimator was fitted without a single row of {listed(absent)}."
    return Finding(
        "ACC-D8",
        "warning",
        f"{what} It can never predict such a class rightly.",
        "Use StratifiedKFold, or train on rows of every class.",
    )


def check_aligned(X: Any, y: Any) -> Finding | None:
    """Name pandas X and y with the same index in another order (D2)."""
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
    """Warn of rows grouped by label that are drawn in their order (D3)."""
    n_rows = len(y)
    if shuffled or n_rows < 2:
        return None
    shares = np.bincount(y) / n_rows
    expected = 1 + n_rows * (1 - float((shares**2).sum()))
    runs = 1 + int((np.diff(y) != 0).sum())
    if runs >= expected / 2 or (shares > 0).sum() < 2 or n_rows < 20:
        return None
    return Finding(
        "ACC-D3",
        "warning",
        f"The rows are grouped by label ({runs} runs; {expected:.0f} are expected in random order) and the loader "
        "does not shuffle: trained on so, most batches hold one class, and each makes the module forget the others.",
        "Use DataLoader(..., shuffle=True) for training.",
    )


def check_finite_rows(bad_inputs: int, bad_outputs: int, n_rows: int, bad_weights: int, label: Any) -> Finding | None:
    """Name NaN or infinity in X, in the weights or in the scores: such a row is counted as class 0 (D5)."""
    if not bad_inputs and not bad_outputs and not bad_weights:
        return None
    if bad_inputs:
        where, advice = f"X holds NaN or infinity in {bad_inputs} of {n_rows} rows", "Impute them or drop these rows."
    elif bad_weights:
        where = f"{bad_weights} parameter(s) of the module hold NaN or infinity"
        advice = "Training diverged: start again with a lower lr, and scale X."
    else:
        where = f"The module returns NaN or infinity for {bad_outputs} of {n_rows} rows"
        advice = "Look for a division by 0 or a logarithm of 0 inside the module."
    return Finding(
        "ACC-D5",
        "error",
        f"{where}: the argmax of a row of NaN is 0, so it is counted as class {label!r}.",
        advice,
    )


# ------------------------------------------------------------------ D7: the majority


def one_class_only(correct: Ints, support: Ints) -> int | None:
    """Return the class whose rows alone are right, all of them; None if there is no such class."""
    right = np.flatnonzero(correct)
    if len(right) != 1 or (support > 0).sum() < 2 or correct[right[0]] != support[right[0]]:
        return None
    return int(right[0])


def check_majority(correct: Ints, support: Ints, labels: Sequence[Any]) -> Finding | None:
    """Warn of an accuracy that is the share of one frequent class, and nothing else (D7).

    Frequent: its share is above the middle between 1 / n_classes and 1.
    """
    winner = one_class_only(correct, support)
    if winner is None:
        return None
    share = float(rates(support[winner], support.sum()))
    if share < (1 + 1 / len(support)) / 2:
        return None
    never = [label for index, label in enumerate(labels) if support[index] and index != winner]
    return Finding(
        "ACC-D7",
        "warning",
        f"Only rows of {labels[winner]!r} are right: the accuracy of {share:.2%} is just the share of that "
        f"class, and the accuracy is 0 for {listed(never)}.",
        "Look at the accuracy of each class; weights in the loss (class_weight='balanced') make the rare ones count.",
    )
