"""Wrong averages and divisors: A1, A2, A3, A8, A9 and H1 of the catalogue."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import hypergeom

from sktorch_acc.doctor.explain.formulas.formula import COUNT, OVER_BATCHES, UNEVEN, Values, certain, formula
from sktorch_acc.doctor.explain.problem import Problem, batch_means, float32_mean

BATCH_ACCURACY = "acc += (pred == y).float().mean().item()"
DROP_LAST = "loader = DataLoader(dataset, batch_size, drop_last=True)\n"


def _last_batch(problem: Problem) -> Values:
    """Return the possible numbers of correct predictions in the last batch of several, with their probabilities."""
    if problem.n_batches <= 1:
        return []
    if problem.batches_known:
        return certain(problem.batch_correct[-1])
    drawn = (problem.n_samples, problem.n_correct, problem.last_batch_size)
    least, most = hypergeom.support(*drawn)
    correct = np.arange(least, most + 1)
    return list(zip(correct.tolist(), hypergeom.pmf(correct, *drawn).tolist(), strict=True))


def _full_batches_correct(problem: Problem) -> Values:
    """Return the possible numbers of correct predictions in the full batches, if the last batch is short."""
    return [(problem.n_correct - last, p) for last, p in _last_batch(problem)] if problem.short_batch_size else []


def _sums(problem: Problem) -> Values:
    """Sum the batch accuracies."""
    if problem.batch_size is None:
        return []
    if problem.batches_known:
        return certain(problem.batch_accuracies.sum(), float32_mean(problem.batch_accuracies) * problem.n_batches)
    if not problem.short_batch_size:
        return certain(problem.n_correct / problem.last_batch_size)
    full, short = problem.batch_size, problem.short_batch_size
    return [((problem.n_correct - last) / full + last / short, p) for last, p in _last_batch(problem)]


@formula(
    "ACC-A1",
    name="the mean of the batch accuracies",
    reason=UNEVEN,
    prior=10.0,
    wrong=BATCH_ACCURACY + OVER_BATCHES,
)
def _mean_of_batches(problem: Problem) -> Values:
    if not problem.short_batch_size:
        return []
    if problem.batches_known:
        return certain(*batch_means(problem.batch_accuracies))
    return [(total / problem.n_batches, p) for total, p in _sums(problem)]


@formula(
    "ACC-A2",
    name="the number of correct predictions divided by the number of batches",
    reason="A number of predictions must be divided by the number of samples.",
    prior=8.0,
    wrong="correct += (pred == y).sum().item()\n# after the loop\naccuracy = correct / len(loader)",
)
def _count_over_batches(problem: Problem) -> Values:
    return certain(problem.n_correct / problem.n_batches) if problem.n_batches else []


@formula(
    "ACC-A2",
    name="the sum of the batch accuracies divided by the number of samples",
    reason="Each batch accuracy is already divided by the size of its batch.",
    prior=5.0,
    wrong=BATCH_ACCURACY + "\n# after the loop\naccuracy = acc / len(dataset)",
)
def _sum_over_samples(problem: Problem) -> Values:
    return [(total / problem.n_samples, p) for total, p in _sums(problem)]


@formula(
    "ACC-A2",
    name="the sum of the batch accuracies",
    reason="The sum is never divided.",
    prior=3.0,
    wrong=BATCH_ACCURACY + "\n# after the loop\naccuracy = acc",
)
def _sum_of_batches(problem: Problem) -> Values:
    return _sums(problem) if problem.n_batches > 1 else []


@formula(
    "ACC-A2",
    name="the number of correct predictions divided by the size of one batch",
    reason="The count covers the whole epoch, the divisor only one batch.",
    prior=3.0,
    wrong="correct += (pred == y).sum().item()\n# after the loop\naccuracy = correct / len(y)",
)
def _count_over_batch_size(problem: Problem) -> Values:
    sizes = (problem.batch_size or 1, problem.last_batch_size)
    return certain(*(problem.n_correct / size for size in sizes)) if problem.n_batches > 1 else []


@formula(
    "ACC-A3",
    name="the number of correct predictions in the full batches divided by the number of all samples",
    reason="drop_last=True skips the short last batch, but the divisor includes its samples.",
    prior=3.5,
    wrong=DROP_LAST + "accuracy = correct / len(dataset)",
)
def _full_batches_over_all(problem: Problem) -> Values:
    return [(correct / problem.n_samples, p) for correct, p in _full_batches_correct(problem)]


@formula(
    "ACC-A3",
    name="the accuracy on the full batches",
    reason="drop_last=True skips the short last batch.",
    prior=1.5,
    wrong=DROP_LAST + "accuracy = correct / (len(loader) * batch_size)",
    fix="loader = DataLoader(dataset, batch_size)  # no drop_last for evaluation\n" + COUNT,
)
def _full_batches(problem: Problem) -> Values:
    n_full = problem.n_samples - problem.short_batch_size
    return [(correct / n_full, p) for correct, p in _full_batches_correct(problem)]


@formula(
    "ACC-A8",
    name="the number of correct predictions in the last batch divided by the number of all samples",
    reason="Only the last batch is counted.",
    prior=4.0,
    wrong="correct = (pred == y).sum().item()  # in every batch\n# after the loop\naccuracy = correct / len(dataset)",
)
def _last_batch_over_all(problem: Problem) -> Values:
    return [(correct / problem.n_samples, p) for correct, p in _last_batch(problem)]


@formula(
    "ACC-A8",
    name="the accuracy of the last batch",
    reason="Each batch overwrites the accuracy of the previous one.",
    prior=2.5,
    wrong="accuracy = (pred == y).float().mean().item()  # in every batch",
)
def _last_batch_alone(problem: Problem) -> Values:
    return [(correct / problem.last_batch_size, p) for correct, p in _last_batch(problem)]


@formula(
    "ACC-A9",
    name="the result of an integer division",
    reason="Integer division gives 0 unless all predictions are correct.",
    prior=2.0,
    wrong="accuracy = correct // total",
    fix="accuracy = correct / total",
)
def _integer_division(problem: Problem) -> Values:
    return certain(problem.n_correct // problem.n_samples)


@formula(
    "ACC-A9",
    name="the share of batches without a wrong prediction",
    reason="Integer division gives 0 for a batch unless all its predictions are correct.",
    prior=1.0,
    wrong="acc += (pred == y).sum() // len(y)" + OVER_BATCHES,
)
def _integer_division_per_batch(problem: Problem) -> Values:
    return certain((problem.batch_correct // problem.batch_sizes).mean()) if problem.several_known_batches else []


@formula(
    "ACC-H1",
    name="the accuracy with repeated samples",
    reason="Repeated samples are counted twice.",
    prior=1.5,
    wrong="sampler = DistributedSampler(dataset)  # repeats samples until every process has as many\n"
    "accuracy = gathered.float().mean()",
    fix="correct = gathered[: len(dataset)]  # in the order of the dataset\n"
    "accuracy = correct.sum().item() / len(dataset)",
)
def _padded(problem: Problem) -> Values:
    """Repeat the first samples until every process, or every batch, is full."""
    if problem.shuffled:
        return []
    groups = {2, 3, 4, 8} | ({problem.batch_size or 1} if problem.n_batches > 1 else set())
    sizes = (math.ceil(problem.n_samples / group) * group for group in groups)
    return certain(*(np.resize(problem.correct, size).mean() for size in sizes))
