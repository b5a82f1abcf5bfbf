"""Wrong averages of right comparisons: families A and H of the catalogue, each as loops compute it.

A function returns the figures that its formula gives, each with the probability that it is this one: 1
where the figure is certain, less where it depends on an order of the rows that nobody knows. No figure: the
formula does not apply.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import hypergeom

from sktorch_acc._rates import rates
from sktorch_acc.doctor.explain.problem import Floats, Ints, Problem

__all__ = [
    "Values",
    "balanced",
    "balanced_absent_zero",
    "balanced_absent_zero_per_batch",
    "balanced_per_batch",
    "certain",
    "count_over_batch_size",
    "count_over_batches",
    "dropped_tail",
    "dropped_tail_unscored",
    "float32_mean",
    "float32_truths",
    "integer_division",
    "integer_division_per_batch",
    "last_batch_alone",
    "last_batch_over_all",
    "mean_of_batches",
    "padded",
    "rates_over_rows",
    "sum_of_rates",
]

Values = list[tuple[float, float]]


def certain(*figures: float | np.floating) -> Values:
    """Give figures that do not depend on chance."""
    return [(float(figure), 1.0) for figure in figures]


def float32_mean(parts: Floats) -> float:
    """Average as a running float32 tensor does: rounded after each addition."""
    return float(np.add.accumulate(parts.astype(np.float32))[-1]) / len(parts)


def float32_truths(problem: Problem) -> list[float]:
    """Right averages of batches in running float32: they stray from the accuracy by some 1e-6."""
    if not (problem.batches_known and problem.several_batches):
        return []
    weighted = float32_mean(problem.batch_rates * problem.sizes) * problem.n_batches / problem.n_rows
    return [weighted] if problem.short_tail else [weighted, float32_mean(problem.batch_rates)]


def _tail_hits(problem: Problem, rows: int) -> tuple[Ints, Floats]:
    """How many of the last `rows` rows can be right in a shuffled order, and how probable each number is."""
    least = max(0, rows - (problem.n_rows - problem.correct))
    hits = np.arange(least, min(rows, problem.correct) + 1, dtype=np.int64)
    return hits, hypergeom.pmf(hits, problem.n_rows, problem.correct, rows)


def _with_chances(figures: Floats, chances: Floats) -> Values:
    return list(zip(figures.tolist(), chances.tolist(), strict=True))


def mean_of_batches(problem: Problem) -> Values:
    """A1: every batch counts the same, the short last one too."""
    if not problem.short_tail:
        return []
    if problem.batches_known:
        return certain(problem.batch_rates.mean(), float32_mean(problem.batch_rates))
    hits, chances = _tail_hits(problem, problem.short_tail)
    return _with_chances(_shuffled_rate_sum(problem, hits) / problem.n_batches, chances)


def _shuffled_rate_sum(problem: Problem, tail_hits: Ints) -> Floats:
    """Sum of the batch accuracies, given the right rows of the short last batch."""
    return rates(problem.correct - tail_hits, problem.batch_size or 1) + rates(tail_hits, problem.short_tail)


def _rate_sums(problem: Problem) -> Values:
    """Sum of the batch accuracies."""
    if not problem.n_batches:
        return []
    if problem.batches_known:
        summed = float32_mean(problem.batch_rates) * problem.n_batches
        return certain(problem.batch_rates.sum(), summed)
    if not problem.short_tail:
        return certain(problem.correct / problem.last_size)
    hits, chances = _tail_hits(problem, problem.short_tail)
    return _with_chances(_shuffled_rate_sum(problem, hits), chances)


def count_over_batches(problem: Problem) -> Values:
    """A2: a count of rows divided by the number of batches."""
    return certain(problem.correct / problem.n_batches) if problem.n_batches else []


def rates_over_rows(problem: Problem) -> Values:
    """A2 the other way round: a sum of accuracies divided by the number of rows."""
    return [(total / problem.n_rows, chance) for total, chance in _rate_sums(problem)]


def sum_of_rates(problem: Problem) -> Values:
    """A2: the batch accuracies are added up and never divided."""
    return _rate_sums(problem) if problem.several_batches else []


def count_over_batch_size(problem: Problem) -> Values:
    """A2: a count of the whole epoch divided by the rows of one batch."""
    if not problem.several_batches:
        return []
    sizes = {problem.batch_size or 1, problem.last_size}
    return certain(*(problem.correct / size for size in sorted(sizes)))


def dropped_tail(problem: Problem) -> Values:
    """A3: drop_last leaves out the short batch, the divisor keeps it."""
    if not problem.short_tail:
        return []
    if problem.batches_known:
        return certain((problem.correct - problem.batch_hits[-1]) / problem.n_rows)
    hits, chances = _tail_hits(problem, problem.short_tail)
    return _with_chances(rates(problem.correct - hits, problem.n_rows), chances)


def dropped_tail_unscored(problem: Problem) -> Values:
    """A3: drop_last leaves out the short batch, from the divisor too."""
    if not problem.short_tail:
        return []
    seen = problem.n_rows - problem.short_tail
    if problem.batches_known:
        return certain((problem.correct - problem.batch_hits[-1]) / seen)
    hits, chances = _tail_hits(problem, problem.short_tail)
    return _with_chances(rates(problem.correct - hits, seen), chances)


def _last_batch(problem: Problem, divisor: int) -> Values:
    if not problem.several_batches:
        return []
    if problem.batches_known:
        return certain(problem.batch_hits[-1] / divisor)
    hits, chances = _tail_hits(problem, problem.last_size)
    return _with_chances(rates(hits, divisor), chances)


def last_batch_over_all(problem: Problem) -> Values:
    """A8: the count of the last batch divided by all rows."""
    return _last_batch(problem, problem.n_rows)


def last_batch_alone(problem: Problem) -> Values:
    """A8: the accuracy of the last batch, each batch having overwritten the one before."""
    return _last_batch(problem, problem.last_size)


def integer_division(problem: Problem) -> Values:
    """A9: ``correct // total`` is 0 until every row is right."""
    return certain(problem.correct // problem.n_rows)


def integer_division_per_batch(problem: Problem) -> Values:
    """A9 in each batch: a batch counts 1 if all its rows are right, else 0."""
    if not (problem.batches_known and problem.several_batches):
        return []
    return certain((problem.batch_hits // problem.sizes).mean())


def balanced(problem: Problem) -> Values:
    """A10: the mean over classes instead of the mean over rows."""
    recalls = rates(problem.counts(problem.targets[problem.hits == 1]), problem.counts(problem.targets))
    return certain(np.nanmean(recalls))


def _class_rates_per_batch(problem: Problem) -> tuple[Ints, Floats]:
    """Rows and recalls (NaN without rows) of each class in each batch."""
    support = problem.counts_per_batch(problem.targets)
    cells = problem.batch_of * problem.n_classes + problem.targets
    hits = np.bincount(cells, weights=problem.hits, minlength=support.size).reshape(support.shape)
    return support, rates(hits, support)


def balanced_per_batch(problem: Problem) -> Values:
    """A10 in each batch, averaged over the batches."""
    if not (problem.batches_known and problem.several_batches):
        return []
    support, recalls = _class_rates_per_batch(problem)
    per_batch = rates(np.nansum(recalls, axis=1), (support > 0).sum(axis=1))
    return certain(per_batch.mean(), float32_mean(per_batch))


def balanced_absent_zero(problem: Problem) -> Values:
    """A11: a class without rows enters the mean as 0: always, or as soon as it is predicted."""
    support = problem.counts(problem.targets)
    if (support > 0).all():
        return []
    recalls = rates(problem.counts(problem.targets[problem.hits == 1]), support)
    seen = (support > 0) | (problem.counts(problem.predicted) > 0)
    total = np.nansum(recalls)
    figures = {float(total / problem.n_classes)}
    if seen.sum() > (support > 0).sum():
        figures.add(float(total / seen.sum()))
    return certain(*sorted(figures))


def balanced_absent_zero_per_batch(problem: Problem) -> Values:
    """A11 in each batch, averaged over the batches."""
    if not (problem.batches_known and problem.several_batches):
        return []
    support, recalls = _class_rates_per_batch(problem)
    if (support > 0).all():
        return []
    totals = np.nansum(recalls, axis=1)
    seen = (support > 0) | (problem.counts_per_batch(problem.predicted) > 0)
    figures = []
    for per_batch in (totals / problem.n_classes, rates(totals, seen.sum(axis=1))):
        figures += [per_batch.mean(), float32_mean(per_batch)]
    return certain(*figures)


def padded(problem: Problem) -> Values:
    """H1: the first rows are repeated so that every process, or every batch, is full."""
    if problem.shuffled:
        return []
    groups = {2, 3, 4, 8} | ({problem.batch_size or 1} if problem.several_batches else set())
    extras = {-problem.n_rows % group for group in groups} - {0}
    again = {extra: int(problem.hits[np.arange(extra) % problem.n_rows].sum()) for extra in sorted(extras)}
    return certain(*((problem.correct + hits) / (problem.n_rows + extra) for extra, hits in again.items()))
