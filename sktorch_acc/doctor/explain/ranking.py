"""Compute how probable each formula is, given the printed accuracy.

A formula matches if one of its values prints as the reported text. Its weight is its prior times the probability of
that value. The alternatives are a correct loop, if the accuracy itself prints as this text, and two causes that are not
listed: another error, which can give any value, and another evaluation of as many samples, which gives k/n with a k
close to the number of correct predictions. The fewer samples there are, the more probable it is that another
evaluation gives the value of a formula by coincidence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from statistics import NormalDist

from sktorch_acc.doctor.explain.formulas import FORMULAS
from sktorch_acc.doctor.explain.formulas.formula import Formula
from sktorch_acc.doctor.explain.problem import Problem, float32_mean
from sktorch_acc.doctor.explain.reported import FLOAT_NOISE, PrintedAccuracy

# Weights on the scale of the priors of the formulas; benchmarks/explain_accuracy.py measures their effect.
TRUE_PRIOR = 12.0
OTHER_PRIOR = 5.0 * len(FORMULAS)
# This share of the errors that are not listed divides a count by the number of samples; any count is as probable.
COUNT_SHARE = 0.05
# Another evaluation: other weights, dropout, another sample. Its accuracy differs by about this much, as a fraction.
EVALUATION_PRIOR = 34.0
DRIFT = 0.02
# A coincidence never gives a value above 1, so the width of "54" or "54.3" counts no more than that of "0.54".
WIDTH_ABOVE_ONE = 0.01
PERCENT_FACTOR = 0.5


@dataclass(frozen=True)
class Candidate:
    """A formula that gives the printed accuracy.

    Parameters
    ----------
    code : str
        Catalogue code, such as ``"ACC-A1"``.
    name : str
        What the formula computes, such as ``"the mean of the batch accuracies"``.
    reason : str
        Why that is not the accuracy.
    share : float
        Probability in [0, 1] that the loop used this formula. The shares of all candidates, of a correct loop
        and of causes that are not listed add up to 1.
    value : float
        Value of the formula, as a fraction.
    formula : str
        The wrong formula as code.
    fix : str
        The code to write instead.
    scale : {1, 100}
        100 if the printed accuracy is in percent.
    """

    code: str
    name: str
    reason: str
    share: float
    value: float
    formula: str
    fix: str
    scale: int


@dataclass(frozen=True)
class Ranking:
    """The candidates, the most probable first, and the shares of a correct loop and of other causes."""

    candidates: tuple[Candidate, ...]
    true_share: float
    other_share: float
    true_scale: int | None


def rank(problem: Problem, printed: PrintedAccuracy) -> Ranking:
    """Divide the probability between the formulas, a correct loop and other causes."""
    accuracies = [problem.accuracy, *_float32_accuracies(problem)]
    true_scale = next((s for s in printed.scales if any(_prints_as(v, printed, s) for v in accuracies)), None)
    true = 0.0 if true_scale is None else TRUE_PRIOR * _scale_factor(printed, true_scale)
    matches = _best_of_each_code(match for formula in FORMULAS for match in _matches(formula, problem, printed))
    scale = true_scale or (matches[0].scale if matches else printed.likely_scale)
    other = OTHER_PRIOR * _probability_of_any(problem, printed, scale)
    if true_scale is None:
        other += EVALUATION_PRIOR * _probability_of_evaluation(problem, printed, scale)
    total = true + other + sum(match.share for match in matches)
    candidates = tuple(replace(match, share=match.share / total) for match in matches)
    return Ranking(candidates, true / total, other / total, true_scale)


def _float32_accuracies(problem: Problem) -> list[float]:
    """Correct averages of the batches in float32, which differ from the accuracy by about 1e-6."""
    if not problem.several_known_batches:
        return []
    weighted = float32_mean(problem.batch_accuracies * problem.batch_sizes) * problem.n_batches / problem.n_samples
    return [weighted] if problem.short_batch_size else [weighted, float32_mean(problem.batch_accuracies)]


def _scale_factor(printed: PrintedAccuracy, scale: int) -> float:
    """Return the prior of a scale: without a percent sign, a percentage is less probable."""
    return PERCENT_FACTOR if scale == 100 and not printed.percent else 1.0


def _prints_as(value: float, printed: PrintedAccuracy, scale: int) -> bool:
    return abs(value - printed.value / scale) <= printed.tolerance(scale)


def _is_count(problem: Problem, printed: PrintedAccuracy, scale: int) -> bool:
    """Whether some count divided by the number of samples prints as this text."""
    fraction = printed.value / scale
    return fraction <= 1 and _prints_as(round(fraction * problem.n_samples) / problem.n_samples, printed, scale)


def _probability_of_any(problem: Problem, printed: PrintedAccuracy, scale: int) -> float:
    """Probability that an error that is not listed prints this text, if all values are equally probable."""
    if printed.value / scale > 1:
        return min(printed.width(scale), WIDTH_ABOVE_ONE)
    counted = COUNT_SHARE / problem.n_samples if _is_count(problem, printed, scale) else 0.0
    return printed.width(scale) + counted


def _probability_of_evaluation(problem: Problem, printed: PrintedAccuracy, scale: int) -> float:
    """Probability that another evaluation of as many samples prints this text: normal around the accuracy."""
    if not _is_count(problem, printed, scale):
        return 0.0
    # Both evaluations draw n samples, so their difference has twice the binomial variance.
    spread = math.sqrt(2 * problem.accuracy * (1 - problem.accuracy) / problem.n_samples + DRIFT**2)
    density = NormalDist(problem.accuracy, spread).pdf(printed.value / scale)
    return density * max(printed.width(scale), 1 / problem.n_samples)


def _matches(formula: Formula, problem: Problem, printed: PrintedAccuracy) -> Iterator[Candidate]:
    """Give one formula at each scale at which it prints the text, with its weight as its share."""
    # A formula that gives the accuracy itself is no error here.
    noise = FLOAT_NOISE * problem.accuracy
    values = [(v, p) for v, p in formula.compute(problem) if abs(v - problem.accuracy) > noise and p > 0]
    for scale in printed.scales:
        matching = [(p, v) for v, p in values if _prints_as(v, printed, scale)]
        if matching:
            probability = min(sum(p for p, _ in matching), 1.0)
            yield Candidate(
                code=formula.code,
                name=formula.name,
                reason=formula.reason,
                share=formula.prior * _scale_factor(printed, scale) * probability,
                value=max(matching)[1],
                formula=formula.wrong,
                fix=formula.fix,
                scale=scale,
            )


def _best_of_each_code(matches: Iterable[Candidate]) -> list[Candidate]:
    best: dict[str, Candidate] = {}
    for match in sorted(matches, key=lambda match: -match.share):
        best.setdefault(match.code, match)
    return list(best.values())
