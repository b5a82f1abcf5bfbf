"""Counts and means in half precision: A7 of the catalogue, and A1 if the last batch is short."""

from __future__ import annotations

import math
from statistics import fmean

from sktorch_acc.doctor.explain.formulas.formula import OVER_BATCHES, UNEVEN, Values, certain, formula
from sktorch_acc.doctor.explain.problem import Problem

HALF_BITS = (8, 11)  # bfloat16, float16
HALF_BATCH_ACCURACY = "acc += (pred == y).to(outputs.dtype).mean()  # bfloat16 or float16"
FEW_DIGITS = "bfloat16 keeps 2 to 3 digits, float16 3 to 4."


def round_to_bits(number: float, bits: int) -> float:
    """Round to `bits` significant bits, ties to even, as bfloat16 (8) and float16 (11) do."""
    mantissa, exponent = math.frexp(number)
    return math.ldexp(round(math.ldexp(mantissa, bits)), exponent - bits)


def _running_sum(parts: list[float], bits: int) -> float:
    """Add up with `bits` significant bits, with a rounding after each addition."""
    total = 0.0
    for part in parts:
        total = round_to_bits(total + round_to_bits(part, bits), bits)
    return total


def _half_means(problem: Problem) -> Values:
    """Average rounded accuracies, with the sum and the division in full and in half precision."""
    values: list[float] = []
    for bits in HALF_BITS:
        rounded = [round_to_bits(accuracy, bits) for accuracy in problem.batch_accuracies.tolist()]
        mean = _running_sum(rounded, bits) / len(rounded)
        values += [fmean(rounded), mean, round_to_bits(mean, bits)]
    return certain(*values)


@formula(
    "ACC-A1",
    name="the mean of the batch accuracies in half precision",
    reason=UNEVEN,
    prior=0.5,
    wrong=HALF_BATCH_ACCURACY + OVER_BATCHES,
)
def _half_mean_of_uneven_batches(problem: Problem) -> Values:
    return _half_means(problem) if problem.several_known_batches and problem.short_batch_size else []


@formula(
    "ACC-A7",
    name="a count kept in half precision",
    reason="bfloat16 cannot count above 256 in steps of one, float16 not above 2048.",
    prior=2.0,
    wrong="correct = torch.zeros((), dtype=torch.bfloat16)\ncorrect += (pred == y).sum()  # in every batch\n"
    "accuracy = correct / len(dataset)",
)
def _half_counter(problem: Problem) -> Values:
    if not problem.several_known_batches:
        return []
    values: list[float] = []
    for bits in HALF_BITS:
        value = _running_sum(problem.batch_correct.tolist(), bits) / problem.n_samples
        values += [value, round_to_bits(value, bits)]
    return certain(*values)


@formula(
    "ACC-A7",
    name="the accuracy computed in half precision",
    reason=FEW_DIGITS,
    prior=2.0,
    wrong="accuracy = (pred == y).bfloat16().mean()",
    fix="accuracy = (pred == y).sum().item() / len(y)",
)
def _half_mean(problem: Problem) -> Values:
    return certain(*(round_to_bits(problem.accuracy, bits) for bits in HALF_BITS))


@formula(
    "ACC-A7",
    name="the mean of the batch accuracies in half precision",
    reason=FEW_DIGITS,
    prior=1.4,
    wrong=HALF_BATCH_ACCURACY + OVER_BATCHES,
)
def _half_mean_of_even_batches(problem: Problem) -> Values:
    return _half_means(problem) if problem.several_known_batches and not problem.short_batch_size else []
