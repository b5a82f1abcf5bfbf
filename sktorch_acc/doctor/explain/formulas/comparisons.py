"""Comparisons of the wrong things: family B of the catalogue, each as loops compute it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sktorch_acc._rates import rates
from sktorch_acc.doctor.explain.formulas.formula import OVER_BATCHES, Values, batch_means, certain, formula
from sktorch_acc.doctor.explain.problem import Floats, Ints, Problem

ARGMAX = "pred = outputs.argmax(dim=1)\ncorrect += (pred == y).sum().item()"
FLATTEN = "correct += (pred.flatten() == y.flatten()).sum().item()"
ONE_HOT_ARGMAX = "pred = outputs.argmax(dim=1)\ncorrect += (pred == y_one_hot.argmax(dim=1)).sum().item()"
PAIRS = "Shapes (n, 1) and (n,) broadcast to (n, n): every row is compared with every row."
OVER_ROWS = "dim=0 compares rows with each other, not classes."


def _pairs(problem: Problem) -> int:
    """Equal pairs when every prediction is compared with every target."""
    return int(problem.counts(problem.predicted) @ problem.counts(problem.targets))


def _pairs_per_batch(problem: Problem) -> Ints:
    pairs = problem.counts_per_batch(problem.predicted) * problem.counts_per_batch(problem.targets)
    return np.asarray(pairs.sum(axis=1), dtype=np.int64)


def _square_batches(problem: Problem) -> bool:
    """Whether every batch has n_classes rows, or one, which broadcasts: else these comparisons fail."""
    if problem.one_column or not problem.batches_known:
        return False
    return set(problem.sizes.tolist()) <= {1, problem.n_classes}


def _hit_rates(problem: Problem, hits: Ints) -> Values:
    """Hits counted over all rows, and averaged over the batches."""
    return certain(hits.mean(), *batch_means(rates(problem.sum_per_batch(hits), problem.sizes)))


@formula(
    "ACC-B1",
    name="a count over all pairs of rows, divided by the rows",
    reason=PAIRS,
    prior=6.0,
    wrong="correct = (pred == y).sum().item()  # (n, 1) == (n,)\naccuracy = correct / len(y)",
    fix=FLATTEN,
)
def _pairs_over_rows(problem: Problem) -> Values:
    return certain(_pairs(problem) / problem.n_rows)


@formula(
    "ACC-B1",
    name="a count over all pairs of rows of a batch, divided by the rows",
    reason=PAIRS,
    prior=4.0,
    wrong="correct += (pred == y).sum().item()  # (n, 1) == (n,)\n# after the loop\naccuracy = correct / len(dataset)",
    fix=FLATTEN,
)
def _pairs_over_rows_per_batch(problem: Problem) -> Values:
    if not problem.several_known_batches:
        return []
    pairs = _pairs_per_batch(problem)
    return certain(pairs.sum() / problem.n_rows, *batch_means(rates(pairs, problem.sizes)))


@formula(
    "ACC-B2",
    name="the share of equal pairs among all pairs of rows",
    reason=PAIRS,
    prior=6.0,
    wrong="accuracy = (pred == y).float().mean()  # (n, 1) == (n,)",
    fix="accuracy = (pred.flatten() == y.flatten()).float().mean()",
)
def _mean_of_pairs(problem: Problem) -> Values:
    return certain(_pairs(problem) / problem.n_rows**2)


@formula(
    "ACC-B2",
    name="the share of equal pairs among all pairs of rows of a batch",
    reason=PAIRS,
    prior=4.0,
    wrong="acc += (pred == y).float().mean().item()  # (n, 1) == (n,)" + OVER_BATCHES,
    fix=FLATTEN,
)
def _mean_of_pairs_per_batch(problem: Problem) -> Values:
    """Average over the batches, and weighted by rows."""
    if not problem.several_known_batches:
        return []
    means = rates(_pairs_per_batch(problem), problem.sizes**2)
    return certain(*batch_means(means), float(means @ problem.sizes) / problem.n_rows)


@formula(
    "ACC-B3",
    name="a comparison of class indices with one-hot targets",
    reason="A class index is compared with zeros and ones.",
    prior=2.0,
    wrong="pred = outputs.argmax(dim=1, keepdim=True)\ncorrect += (pred == y_one_hot).sum().item()",
    fix=ONE_HOT_ARGMAX,
)
def _classes_against_one_hot(problem: Problem) -> Values:
    if problem.one_column:
        return []
    # A prediction of 0 equals the zeros of its row, a prediction of 1 the single one, others nothing.
    total = int((problem.predicted == 0).sum()) * (problem.n_classes - 1) + int((problem.predicted == 1).sum())
    return certain(total / problem.n_rows, total / (problem.n_rows * problem.n_classes))


@formula(
    "ACC-B3",
    name="a comparison of class indices with one-hot targets, with as many rows in a batch as classes",
    reason="A class index is compared with zeros and ones; the shapes agree by accident.",
    prior=1.5,
    wrong="pred = outputs.argmax(dim=1)\ncorrect += (pred == y_one_hot).sum().item()  # (K,) == (K, K)",
    fix=ONE_HOT_ARGMAX,
)
def _classes_against_square_one_hot(problem: Problem) -> Values:
    if not _square_batches(problem):
        return []
    one_hot = np.eye(problem.n_classes, dtype=np.int64)[problem.targets]
    batches = zip(np.split(problem.predicted, problem.starts[1:]), np.split(one_hot, problem.starts[1:]), strict=True)
    total = sum(int((predicted == targets).sum()) for predicted, targets in batches)
    return certain(total / problem.n_rows, total / (problem.n_rows * problem.n_classes))


@formula(
    "ACC-B3",
    name="the share of equal elements of thresholded scores and one-hot targets",
    reason="Every column counts as a decision: the many zeros are easily right.",
    prior=1.0,
    wrong="accuracy = ((outputs > 0.5) == y_one_hot).float().mean()",
    fix="accuracy = (outputs.argmax(dim=1) == y_one_hot.argmax(dim=1)).float().mean()",
)
def _elements_against_one_hot(problem: Problem) -> Values:
    if problem.one_column:
        return []
    one_hot = torch.from_numpy(problem.targets)[:, None] == torch.arange(problem.n_classes)
    return certain(*(float(((problem.scores > cut) == one_hot).double().mean()) for cut in (0.5, 0.0)))


def _softmax_in_batches(problem: Problem) -> Ints:
    """Classes after a softmax over the rows of each batch: (n_rows,)."""
    scores = problem.scores.float().numpy() if problem.scores.element_size() < 4 else problem.scores.numpy()
    with np.errstate(invalid="ignore"):  # A class whose scores are all -inf gives NaN, as torch.softmax does.
        powers = np.exp(scores - np.maximum.reduceat(scores, problem.starts, axis=0)[problem.batch_of])
        shares = powers / problem.sum_per_batch(powers)[problem.batch_of]
    return np.asarray(torch.from_numpy(shares).argmax(dim=1), dtype=np.int64)


def _softmax_over_all(problem: Problem) -> Values:
    if problem.one_column:
        return []
    hits = problem.hits_of(torch.softmax(problem.scores, dim=0).argmax(dim=1).numpy())
    # Without a difference the comparison is the right one.
    return certain(hits.mean()) if (hits != problem.hits).any() else []


@formula(
    "ACC-B4",
    name="the accuracy after a softmax over the rows",
    reason=OVER_ROWS,
    prior=3.0,
    wrong="pred = torch.softmax(outputs, dim=0).argmax(dim=1)",
    fix=ARGMAX,
)
def _softmax_over_rows(problem: Problem) -> Values:
    """Softmax along the rows of each batch; along all rows if there is one batch."""
    if not problem.several_batches:
        return _softmax_over_all(problem)
    if problem.one_column or not problem.batches_known:
        return []
    hits = problem.hits_of(_softmax_in_batches(problem))
    return _hit_rates(problem, hits) if (hits != problem.hits).any() else []


@formula(
    "ACC-B4",
    name="the accuracy after a softmax over the rows of all batches at once",
    reason=OVER_ROWS,
    prior=0.6,
    wrong="pred = torch.softmax(all_outputs, dim=0).argmax(dim=1)",
    fix="pred = all_outputs.argmax(dim=1)",
)
def _softmax_over_all_rows(problem: Problem) -> Values:
    return _softmax_over_all(problem) if problem.several_batches else []


@formula(
    "ACC-B4",
    name="a comparison of row positions with labels",
    reason="argmax(dim=0) finds the best row of each class, not the best class of each row.",
    prior=1.5,
    wrong="pred = outputs.argmax(dim=0)\ncorrect += (pred == y).sum().item()",
    fix=ARGMAX,
)
def _argmax_over_rows(problem: Problem) -> Values:
    """Take the best row of each class; with n_classes rows in a batch nothing fails."""
    if not _square_batches(problem):
        return []
    size = problem.n_classes
    full = int(problem.sizes[problem.sizes == size].sum()) if size > 1 else 0
    rows = problem.scores[:full].reshape(-1, size, size).argmax(dim=1).numpy()
    equal = (rows == problem.targets[:full].reshape(-1, size)).sum(axis=1)
    # A batch of one row broadcasts against n_classes predictions, all of them row 0.
    alone = size * (problem.targets[full:] == 0)
    per_batch = np.append(equal, alone) / size
    total = equal.sum() + alone.sum()
    return certain(total / problem.n_rows, equal.sum() / problem.n_rows, per_batch.mean())


@formula(
    "ACC-B6",
    name="a comparison of scores with labels",
    reason="A score is almost never equal to a label.",
    prior=5.0,
    wrong="correct += (outputs == y).sum().item()",
    fix=ARGMAX,
)
def _scores_against_labels(problem: Problem) -> Values:
    labels = torch.from_numpy(problem.targets)
    if problem.one_column:
        return certain(float((problem.scores == labels).double().mean()))
    equal = int((problem.scores == labels[:, None]).sum())
    return certain(equal / problem.n_rows, equal / problem.scores.numel())


def _batch_maxima(problem: Problem) -> Floats:
    """Largest score of each batch: (n_batches,)."""
    return np.maximum.reduceat(problem.scores.max(dim=1).values.double().numpy(), problem.starts)


def _batch_argmax(problem: Problem) -> Ints:
    """Position of the largest score in each flattened batch: (n_batches,)."""
    best, column = problem.scores.max(dim=1)
    is_largest = best.double().numpy() == _batch_maxima(problem)[problem.batch_of]
    local = np.arange(problem.n_rows) - problem.starts[problem.batch_of]
    position = local * problem.n_classes + column.numpy()
    return np.minimum.reduceat(np.where(is_largest, position, problem.scores.numel()), problem.starts)


def _one_number(problem: Problem, of_all: float, of_batches: Callable[[Problem], npt.NDArray[Any]]) -> Values:
    """Compare one number with every label: one of all scores, then one of each batch."""
    if problem.one_column:
        return []
    values = certain(problem.hits_of(of_all).mean())
    if problem.several_known_batches:
        values += _hit_rates(problem, problem.hits_of(of_batches(problem)[problem.batch_of]))
    return values


@formula(
    "ACC-B7",
    name="a comparison of the largest score with every label",
    reason="The largest score is not a class; its column is.",
    prior=0.6,
    wrong="pred = torch.max(outputs)\ncorrect += (pred == y).sum().item()",
    fix=ARGMAX,
)
def _maximum_against_labels(problem: Problem) -> Values:
    return _one_number(problem, float(problem.scores.max()), _batch_maxima)


@formula(
    "ACC-B7",
    name="a comparison of one position with every label",
    reason="argmax() without dim is one position in the whole batch.",
    prior=1.0,
    wrong="pred = outputs.argmax()\ncorrect += (pred == y).sum().item()",
    fix=ARGMAX,
)
def _position_against_labels(problem: Problem) -> Values:
    return _one_number(problem, int(problem.scores.argmax()), _batch_argmax)
