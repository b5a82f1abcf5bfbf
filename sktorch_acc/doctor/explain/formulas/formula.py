"""What a formula is, the decorator that registers one, and the values that it gives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sktorch_acc.doctor.explain.problem import Floats, Problem

__all__ = ["COUNT", "OVER_BATCHES", "Formula", "Values", "batch_means", "certain", "float32_mean", "formula"]

# What a formula gives, each value with the probability that it is this one: 1 where it is certain, less where it
# depends on an order of the rows that nobody knows. Empty: the formula does not apply.
Values = list[tuple[float, float]]
Compute = Callable[[Problem], Values]

OVER_BATCHES = "\n# after the loop\naccuracy = acc / len(loader)"
COUNT = "correct += (pred == y).sum().item()\ntotal += len(y)\n# after the loop\naccuracy = correct / total"

registered: list[Formula] = []


@dataclass(frozen=True)
class Formula:
    """One way to compute a wrong accuracy.

    Parameters
    ----------
    code : str
        Catalogue code, such as ``"ACC-A1"``.
    name : str
        What the figure is, to follow "is": ``"the mean of the batch accuracies"``.
    reason : str
        One sentence: why that is not the accuracy.
    prior : float
        How common it is, relative to the others.
    wrong, fix : str
        The formula as loops write it, and the lines to write instead.
    compute : callable
        From a `Problem` to figures and their probabilities.
    """

    code: str
    name: str
    reason: str
    prior: float
    wrong: str
    fix: str
    compute: Compute


def formula(code: str, *, name: str, reason: str, prior: float, wrong: str, fix: str) -> Callable[[Compute], Compute]:
    """Register the decorated function as the computation of a `Formula`, and return it unchanged."""

    def register(compute: Compute) -> Compute:
        registered.append(Formula(code, name, reason, prior, wrong, fix, compute))
        return compute

    return register


def certain(*values: float | np.floating) -> Values:
    """Give values that do not depend on chance."""
    return [(float(value), 1.0) for value in values]


def float32_mean(parts: Floats) -> float:
    """Average as a running float32 tensor does: rounded after each addition."""
    return float(np.add.accumulate(parts.astype(np.float32))[-1]) / len(parts)


def batch_means(of_batches: Floats) -> tuple[float, float]:
    """Average over the batches, in float64 and in float32."""
    return float(of_batches.mean()), float32_mean(of_batches)
