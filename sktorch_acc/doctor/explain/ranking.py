"""How probable each formula is, given the figure: match, weigh, share out.

A formula matches if one of its figures prints as the reported one. Its weight is its prior times the
probability of that figure. Against all stand "the loop is right" (if the accuracy itself prints so) and two
things that are not listed: another mistake, which can give any figure, and another pass over as many rows,
which gives k/n for a k near the right one. The fewer rows, the likelier that such a pass gives by accident
what a formula gives.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

from sktorch_acc.doctor.explain.formulas import FORMULAS, Formula
from sktorch_acc.doctor.explain.formulas.formula import float32_mean
from sktorch_acc.doctor.explain.problem import Problem
from sktorch_acc.doctor.explain.reported import FLOAT_NOISE, Figure

__all__ = ["Candidate", "Ranking", "rank"]

# Weights on the scale of the formulas' priors; benchmarks/explain_accuracy.py measures what they do.
TRUTH_PRIOR = 12.0
OTHER_PRIOR = 5.0 * len(FORMULAS)
# This share of the mistakes that are not listed counts rows and divides by all rows; any count is as likely.
COUNT_SHARE = 0.05
# Another pass: weights that moved, dropout, another draw of the rows. Its accuracy drifts by this much, as a fraction.
PASS_PRIOR = 34.0
DRIFT = 0.02
# No accident gives a figure above 1, so that the width of "54" or "54.3" counts for no more than that of "0.54".
WIDTH_ABOVE_ONE = 0.01
PERCENT_FACTOR = 0.5


@dataclass(frozen=True)
class Candidate:
    """A mistake that gives the reported figure.

    Parameters
    ----------
    code : str
        Catalogue code, such as ``"ACC-A1"``.
    name : str
        What the figure would be.
    reason : str
        Why that is not the accuracy.
    share : float
        Probability in [0, 1] that this is what happened; the shares of all candidates, of a right loop and
        of something that is not listed add up to 1.
    value : float
        The figure that the formula gives, as a fraction.
    formula : str
        The wrong formula as code.
    fix : str
        The code to write instead.
    scale : {1, 100}
        100 if the figure is in percent.
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
    """Candidates, likeliest first, and what is left for a right loop and for something else."""

    candidates: tuple[Candidate, ...]
    truth: float
    other: float
    truth_scale: int | None


@dataclass(frozen=True)
class _Match:
    formula: Formula
    value: float
    weight: float
    scale: int


def rank(problem: Problem, figure: Figure) -> Ranking:
    """Share the probability out between the formulas, a right loop and something else."""
    right = [problem.truth, *_float32_truths(problem)]
    truth_scale = next((s for s in figure.scales if any(_prints_as(v, figure, s) for v in right)), None)
    truth = 0.0 if truth_scale is None else TRUTH_PRIOR * _scale_factor(figure, truth_scale)
    matches = _likeliest_of_each_code(match for formula in FORMULAS for match in _matches(formula, problem, figure))
    scale = truth_scale or (matches[0].scale if matches else figure.likely_scale)
    other = OTHER_PRIOR * _chance_of_any(problem, figure, scale)
    if truth_scale is None:
        other += PASS_PRIOR * _chance_of_a_pass(problem, figure, scale)
    total = truth + other + sum(match.weight for match in matches)
    candidates = tuple(_candidate(match, total) for match in matches)
    return Ranking(candidates, truth / total, other / total, truth_scale)


def _float32_truths(problem: Problem) -> list[float]:
    """Right averages of batches in running float32: they stray from the accuracy by some 1e-6."""
    if not problem.several_known_batches:
        return []
    weighted = float32_mean(problem.batch_rates * problem.sizes) * problem.n_batches / problem.n_rows
    return [weighted] if problem.short_tail else [weighted, float32_mean(problem.batch_rates)]


def _scale_factor(figure: Figure, scale: int) -> float:
    """Return the prior of a scale: a figure without a sign is less often meant in percent."""
    return PERCENT_FACTOR if scale == 100 and not figure.percent else 1.0


def _prints_as(value: float, figure: Figure, scale: int) -> bool:
    return abs(value - figure.accuracy(scale)) <= figure.tolerance(scale)


def _is_count(problem: Problem, figure: Figure, scale: int) -> bool:
    """Whether a number of rows divided by all rows prints as this figure."""
    accuracy = figure.accuracy(scale)
    return accuracy <= 1 and _prints_as(round(accuracy * problem.n_rows) / problem.n_rows, figure, scale)


def _chance_of_any(problem: Problem, figure: Figure, scale: int) -> float:
    """Probability that a mistake that is not listed gives this figure: any is as likely as any other."""
    if figure.accuracy(scale) > 1:
        return min(figure.width(scale), WIDTH_ABOVE_ONE)
    counted = COUNT_SHARE / problem.n_rows if _is_count(problem, figure, scale) else 0.0
    return figure.width(scale) + counted


def _chance_of_a_pass(problem: Problem, figure: Figure, scale: int) -> float:
    """Probability that another pass over as many rows gives this figure: normal around the accuracy."""
    if not _is_count(problem, figure, scale):
        return 0.0
    # Both passes are draws of n rows, so that their difference has twice the binomial variance.
    spread = math.sqrt(2 * problem.truth * (1 - problem.truth) / problem.n_rows + DRIFT**2)
    density = NormalDist(problem.truth, spread).pdf(figure.accuracy(scale))
    return density * max(figure.width(scale), 1 / problem.n_rows)


def _matches(formula: Formula, problem: Problem, figure: Figure) -> Iterator[_Match]:
    """Give the match of one formula at each scale where it prints the figure."""
    # Where a formula gives the accuracy itself there is no mistake to see.
    noise = FLOAT_NOISE * problem.truth
    values = [(v, chance) for v, chance in formula.compute(problem) if abs(v - problem.truth) > noise and chance > 0]
    for scale in figure.scales:
        printed = [(chance, v) for v, chance in values if _prints_as(v, figure, scale)]
        if printed:
            chance = min(sum(chance for chance, _ in printed), 1.0)
            weight = formula.prior * _scale_factor(figure, scale) * chance
            yield _Match(formula, max(printed)[1], weight, scale)


def _likeliest_of_each_code(matches: Iterable[_Match]) -> list[_Match]:
    best: dict[str, _Match] = {}
    for match in sorted(matches, key=lambda match: -match.weight):
        best.setdefault(match.formula.code, match)
    return list(best.values())


def _candidate(match: _Match, total: float) -> Candidate:
    formula = match.formula
    return Candidate(
        code=formula.code,
        name=formula.name,
        reason=formula.reason,
        share=match.weight / total,
        value=match.value,
        formula=formula.wrong,
        fix=formula.fix,
        scale=match.scale,
    )
