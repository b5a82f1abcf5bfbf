"""Wrong averages and divisors of right comparisons: A1, A2, A3, A8, A9 and H1 of the catalogue."""

from __future__ import annotations

import numpy as np
from scipy.stats import hypergeom

from sktorch_acc._rates import rates
from sktorch_acc.doctor.explain.formulas.formula import (
    COUNT,
    OVER_BATCHES,
    Values,
    batch_means,
    certain,
    float32_mean,
    formula,
)
from sktorch_acc.doctor.explain.problem import Floats, Ints, Problem

BATCH_RATE = "acc += (pred == y).float().mean().item()"
DROP_LAST = "loader = DataLoader(dataset, batch_size, drop_last=True)\n"


def _last_batch_hits(problem: Problem) -> tuple[Ints, Floats]:
    """How many rows of the last batch can be right, and how probable each number is."""
    if problem.batches_known:
        return problem.batch_hits[-1:], np.ones(1)
    rows = problem.last_size
    least = max(0, rows - (problem.n_rows - problem.correct))
    hits = np.arange(least, min(rows, problem.correct) + 1, dtype=np.int64)
    return hits, hypergeom.pmf(hits, problem.n_rows, problem.correct, rows)


def _with_chances(figures: Floats, chances: Floats) -> Values:
    return list(zip(figures.tolist(), chances.tolist(), strict=True))


def _shuffled_rate_sums(problem: Problem) -> tuple[Floats, Floats]:
    """Give the sums of the batch accuracies that are possible in a shuffled order, and their chances."""
    hits, chances = _last_batch_hits(problem)
    return rates(problem.correct - hits, problem.batch_size or 1) + rates(hits, problem.short_tail), chances


def _rate_sums(problem: Problem) -> Values:
    """Sum of the batch accuracies."""
    if not problem.n_batches:
        return []
    if problem.batches_known:
        return certain(problem.batch_rates.sum(), float32_mean(problem.batch_rates) * problem.n_batches)
    if not problem.short_tail:
        return certain(problem.correct / problem.last_size)
    return _with_chances(*_shuffled_rate_sums(problem))


def _without_last_batch(problem: Problem, divisor: int) -> Values:
    if not problem.short_tail:
        return []
    hits, chances = _last_batch_hits(problem)
    return _with_chances((problem.correct - hits) / divisor, chances)


def _last_batch(problem: Problem, divisor: int) -> Values:
    if not problem.several_batches:
        return []
    hits, chances = _last_batch_hits(problem)
    return _with_chances(hits / divisor, chances)


@formula(
    "ACC-A1",
    name="the mean of the batch accuracies",
    reason="The short last batch has fewer rows and counts as much as a full one.",
    prior=10.0,
    wrong=BATCH_RATE + OVER_BATCHES,
    fix=COUNT,
)
def _mean_of_batches(problem: Problem) -> Values:
    if not problem.short_tail:
        return []
    if problem.batches_known:
        return certain(*batch_means(problem.batch_rates))
    sums, chances = _shuffled_rate_sums(problem)
    return _with_chances(sums / problem.n_batches, chances)


@formula(
    "ACC-A2",
    name="the number of right rows divided by the number of batches",
    reason="A count of rows needs the number of rows as its divisor.",
    prior=8.0,
    wrong="correct += (pred == y).sum().item()\n# after the loop\naccuracy = correct / len(loader)",
    fix=COUNT,
)
def _count_over_batches(problem: Problem) -> Values:
    return certain(problem.correct / problem.n_batches) if problem.n_batches else []


@formula(
    "ACC-A2",
    name="the sum of the batch accuracies divided by the number of rows",
    reason="The batch accuracies are already divided by the rows of their batch.",
    prior=5.0,
    wrong=BATCH_RATE + "\n# after the loop\naccuracy = acc / len(dataset)",
    fix=COUNT,
)
def _rates_over_rows(problem: Problem) -> Values:
    return [(total / problem.n_rows, chance) for total, chance in _rate_sums(problem)]


@formula(
    "ACC-A2",
    name="the sum of the batch accuracies",
    reason="It is never divided.",
    prior=3.0,
    wrong=BATCH_RATE + "\n# after the loop\naccuracy = acc",
    fix=COUNT,
)
def _sum_of_rates(problem: Problem) -> Values:
    return _rate_sums(problem) if problem.several_batches else []


@formula(
    "ACC-A2",
    name="the number of right rows divided by the rows of one batch",
    reason="The count is of the whole epoch, the divisor of one batch.",
    prior=3.0,
    wrong="correct += (pred == y).sum().item()\n# after the loop\naccuracy = correct / len(y)",
    fix=COUNT,
)
def _count_over_batch_size(problem: Problem) -> Values:
    if not problem.several_batches:
        return []
    sizes = {problem.batch_size or 1, problem.last_size}
    return certain(*(problem.correct / size for size in sorted(sizes)))


@formula(
    "ACC-A3",
    name="the right rows of the full batches divided by all rows",
    reason="drop_last=True never scores the short last batch, and the divisor counts its rows.",
    prior=3.5,
    wrong=DROP_LAST + "accuracy = correct / len(dataset)",
    fix=COUNT,
)
def _full_batches_over_all(problem: Problem) -> Values:
    return _without_last_batch(problem, problem.n_rows)


@formula(
    "ACC-A3",
    name="the accuracy on the full batches",
    reason="drop_last=True never scores the short last batch.",
    prior=1.5,
    wrong=DROP_LAST + "accuracy = correct / (len(loader) * batch_size)",
    fix="loader = DataLoader(dataset, batch_size)  # no drop_last for scoring\n" + COUNT,
)
def _full_batches(problem: Problem) -> Values:
    return _without_last_batch(problem, problem.n_rows - problem.short_tail)


@formula(
    "ACC-A8",
    name="the right rows of the last batch divided by all rows",
    reason="Only the last batch was counted.",
    prior=4.0,
    wrong="correct = (pred == y).sum().item()  # in every batch\n# after the loop\naccuracy = correct / len(dataset)",
    fix=COUNT,
)
def _last_batch_over_all(problem: Problem) -> Values:
    return _last_batch(problem, problem.n_rows)


@formula(
    "ACC-A8",
    name="the accuracy of the last batch",
    reason="Each batch overwrites the figure of the one before.",
    prior=2.5,
    wrong="accuracy = (pred == y).float().mean().item()  # in every batch",
    fix=COUNT,
)
def _last_batch_alone(problem: Problem) -> Values:
    return _last_batch(problem, problem.last_size)


@formula(
    "ACC-A9",
    name="an integer division",
    reason="Integer division gives 0 until every row is right.",
    prior=2.0,
    wrong="accuracy = correct // total",
    fix="accuracy = correct / total",
)
def _integer_division(problem: Problem) -> Values:
    return certain(problem.correct // problem.n_rows)


@formula(
    "ACC-A9",
    name="the share of batches without an error",
    reason="Integer division gives 0 for a batch until every row of it is right.",
    prior=1.0,
    wrong="acc += (pred == y).sum() // len(y)" + OVER_BATCHES,
    fix=COUNT,
)
def _integer_division_per_batch(problem: Problem) -> Values:
    return certain((problem.batch_hits // problem.sizes).mean()) if problem.several_known_batches else []


@formula(
    "ACC-H1",
    name="an accuracy with repeated rows",
    reason="Repeated rows are counted twice.",
    prior=1.5,
    wrong="sampler = DistributedSampler(dataset)  # repeats rows until every process has as many\n"
    "accuracy = gathered.float().mean()",
    fix="hits = gathered[: len(dataset)]  # in the order of the rows\naccuracy = hits.sum().item() / len(dataset)",
)
def _padded(problem: Problem) -> Values:
    """Repeat the first rows until every process, or every batch, is full."""
    if problem.shuffled:
        return []
    groups = {2, 3, 4, 8} | ({problem.batch_size or 1} if problem.several_batches else set())
    extras = sorted({-problem.n_rows % group for group in groups} - {0})
    again = [int(problem.hits[np.arange(extra) % problem.n_rows].sum()) for extra in extras]
    return certain(*((problem.correct + k) / (problem.n_rows + extra) for k, extra in zip(again, extras, strict=True)))
