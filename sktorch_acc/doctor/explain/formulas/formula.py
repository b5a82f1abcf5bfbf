"""The decorator that registers a formula, and helpers to compute its values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sktorch_acc.doctor.explain.problem import Problem

# Values of a formula with their probabilities: below 1 if the value depends on an unknown order of the samples, in
# total at most 1 for each way to write the formula. Empty if the formula does not apply.
Values = list[tuple[float, float]]
Compute = Callable[[Problem], Values]

UNEVEN = "The short last batch has fewer samples, but the same weight as a full one."
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
        What the formula computes, such as ``"the mean of the batch accuracies"``. In messages it follows "is".
    reason : str
        One sentence that says why this is not the accuracy.
    prior : float
        How common the formula is, relative to the others.
    wrong, fix : str
        The code of the formula as loops write it, and the code to write instead.
    compute : callable
        Computes the values of the formula from a `Problem`.
    """

    code: str
    name: str
    reason: str
    prior: float
    wrong: str
    fix: str
    compute: Compute


def formula(
    code: str, *, name: str, reason: str, prior: float, wrong: str, fix: str = COUNT
) -> Callable[[Compute], Compute]:
    """Register the decorated function as the computation of a `Formula`, and return it unchanged.

    Without a `fix` of its own, a formula is fixed by counting the correct predictions and the samples.
    """

    def register(compute: Compute) -> Compute:
        registered.append(Formula(code, name, reason, prior, wrong, fix, compute))
        return compute

    return register


def certain(*values: float | np.floating) -> Values:
    """Return values that are certain, with a probability of 1."""
    return [(float(value), 1.0) for value in values]
