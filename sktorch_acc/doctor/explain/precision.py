"""Right formulas in too few bits: A7 of the catalogue (bfloat16 keeps 8 bits, float16 keeps 11)."""

from __future__ import annotations

import math

import numpy as np

from sktorch_acc.doctor.explain.averages import Values, certain
from sktorch_acc.doctor.explain.problem import Floats, Problem

__all__ = ["half_batches_even", "half_batches_short", "half_counter", "half_mean", "round_to_bits"]

HALF_BITS = (8, 11)


def round_to_bits(number: float, bits: int) -> float:
    """Round to `bits` significant bits, ties to even, as bfloat16 (8) and float16 (11) do."""
    mantissa, exponent = math.frexp(number)
    return math.ldexp(round(math.ldexp(mantissa, bits)), exponent - bits)


def _running_sum(parts: list[float], bits: int) -> float:
    """Add up in a counter of `bits` bits, which is rounded after each addition."""
    total = 0.0
    for part in parts:
        total = round_to_bits(total + round_to_bits(part, bits), bits)
    return total


def half_counter(problem: Problem) -> Values:
    """A7: the count of right rows is kept in half precision, and sticks."""
    if not (problem.batches_known and problem.several_batches):
        return []
    counts = problem.batch_hits.astype(np.float64).tolist()
    figures: list[float] = []
    for bits in HALF_BITS:
        count = _running_sum(counts, bits)
        figures += [count / problem.n_rows, round_to_bits(count / problem.n_rows, bits)]
    return certain(*figures)


def half_mean(problem: Problem) -> Values:
    """A7: one mean over all rows, rounded to half precision."""
    return certain(*(round_to_bits(problem.truth, bits) for bits in HALF_BITS))


def _half_batches(batch_rates: Floats) -> Values:
    figures: list[float] = []
    for bits in HALF_BITS:
        rounded = [round_to_bits(rate, bits) for rate in batch_rates.tolist()]
        total = _running_sum(rounded, bits)
        figures += [float(np.mean(rounded)), total / len(rounded), round_to_bits(total / len(rounded), bits)]
    return certain(*figures)


def half_batches_even(problem: Problem) -> Values:
    """A7: the accuracies of equally large batches, averaged in half precision."""
    if not (problem.batches_known and problem.several_batches) or problem.short_tail:
        return []
    return _half_batches(problem.batch_rates)


def half_batches_short(problem: Problem) -> Values:
    """A1 in half precision: the short last batch weighs more than the rounding."""
    if not (problem.batches_known and problem.short_tail):
        return []
    return _half_batches(problem.batch_rates)
