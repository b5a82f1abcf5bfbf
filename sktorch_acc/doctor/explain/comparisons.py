"""Comparisons of the wrong things: families B and C of the catalogue, each as loops compute it.

The functions return what those of `averages` return: figures with their probabilities.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from sktorch_acc._rates import rates
from sktorch_acc.doctor.explain.averages import Values, certain, float32_mean
from sktorch_acc.doctor.explain.problem import Floats, Ints, Problem

__all__ = [
    "always_first",
    "argmax_of_rows",
    "broadcast_mean",
    "broadcast_mean_per_batch",
    "broadcast_sum",
    "broadcast_sum_per_batch",
    "half_on_logits",
    "one_hot_against_classes",
    "one_hot_against_classes_per_batch",
    "one_hot_elementwise",
    "rounded_logits",
    "scores_against_labels",
    "softmax_over_all_rows",
    "softmax_over_rows",
    "whole_batch_argmax",
    "whole_batch_maximum",
    "zero_on_probabilities",
]


def _all_pairs(problem: Problem) -> int:
    """Equal pairs when every prediction is compared with every target."""
    return int(problem.counts(problem.predicted) @ problem.counts(problem.targets))


def _all_pairs_per_batch(problem: Problem) -> Ints:
    pairs = problem.counts_per_batch(problem.predicted) * problem.counts_per_batch(problem.targets)
    return np.asarray(pairs.sum(axis=1), dtype=np.int64)


def _averages(per_batch: Floats, sizes: Ints) -> list[float]:
    """Average batch figures as loops do: over batches (float64, float32), or weighted by rows."""
    return [float(per_batch.mean()), float32_mean(per_batch), float(per_batch @ sizes / sizes.sum())]


def broadcast_sum(problem: Problem) -> Values:
    """B1: ``(n, 1) == (n,)`` gives n * n results; their sum is divided by n."""
    return certain(_all_pairs(problem) / problem.n_rows)


def broadcast_sum_per_batch(problem: Problem) -> Values:
    """B1 in each batch."""
    if not (problem.batches_known and problem.several_batches):
        return []
    pairs = _all_pairs_per_batch(problem)
    per_batch = rates(pairs, problem.sizes)
    return certain(pairs.sum() / problem.n_rows, per_batch.mean(), float32_mean(per_batch))


def broadcast_mean(problem: Problem) -> Values:
    """B2: the mean over the n * n results, which looks like guessing."""
    return certain(_all_pairs(problem) / problem.n_rows**2)


def broadcast_mean_per_batch(problem: Problem) -> Values:
    """B2 in each batch."""
    if not (problem.batches_known and problem.several_batches):
        return []
    return certain(*_averages(rates(_all_pairs_per_batch(problem), problem.sizes**2), problem.sizes))


def one_hot_against_classes(problem: Problem) -> Values:
    """B3: the predicted class, kept as a column, is compared with the zeros and ones of a one-hot row."""
    if problem.one_column:
        return []
    # A prediction of 0 equals the zeros of its row, a prediction of 1 the single one, others nothing.
    total = int((problem.predicted == 0).sum()) * (problem.n_classes - 1) + int((problem.predicted == 1).sum())
    return certain(total / problem.n_rows, total / (problem.n_rows * problem.n_classes))


def _square_batches(problem: Problem) -> bool:
    """Whether every batch has n_classes rows, or one, which broadcasts: else these comparisons fail."""
    if problem.one_column or not problem.batches_known:
        return False
    return set(problem.sizes.tolist()) <= {1, problem.n_classes}


def one_hot_against_classes_per_batch(problem: Problem) -> Values:
    """B3 with as many rows as classes in a batch: the shapes agree, the meaning does not."""
    if not _square_batches(problem):
        return []
    one_hot = np.eye(problem.n_classes, dtype=np.int64)[problem.targets]
    total = 0
    for start, size in zip(problem.starts.tolist(), problem.sizes.tolist(), strict=True):
        rows = slice(start, start + size)
        total += int((problem.predicted[rows] == one_hot[rows]).sum())
    return certain(total / problem.n_rows, total / (problem.n_rows * problem.n_classes))


def one_hot_elementwise(problem: Problem) -> Values:
    """B3: scores above a threshold are compared with one-hot targets element by element."""
    if problem.one_column:
        return []
    columns = torch.arange(problem.n_classes)
    one_hot = torch.from_numpy(problem.targets)[:, None] == columns
    return certain(*(float(((problem.scores > cut) == one_hot).double().mean()) for cut in (0.5, 0.0)))


def _hits_of(predicted: npt.NDArray[np.int64], problem: Problem) -> Ints:
    return np.asarray(predicted == problem.targets, dtype=np.int64)


def _batch_figures(hits: Ints, problem: Problem) -> list[float]:
    """Hits counted over all rows, and averaged over the batches."""
    per_batch = rates(problem.sum_per_batch(hits), problem.sizes)
    return [float(hits.mean()), float(per_batch.mean()), float32_mean(per_batch)]


def softmax_over_rows(problem: Problem) -> Values:
    """B4: softmax along the rows (``dim=0``) of each batch before the argmax; all rows if there is one batch."""
    if not problem.several_batches:
        return _softmax_over_all(problem)
    if problem.one_column or not problem.batches_known:
        return []
    hits = _hits_of(_softmax_in_batches(problem), problem)
    return certain(*_batch_figures(hits, problem)) if (hits != problem.hits).any() else []


def softmax_over_all_rows(problem: Problem) -> Values:
    """B4 over the outputs of several batches, joined."""
    return _softmax_over_all(problem) if problem.several_batches else []


def _softmax_over_all(problem: Problem) -> Values:
    if problem.one_column:
        return []
    hits = _hits_of(torch.softmax(problem.scores, dim=0).argmax(dim=1).numpy(), problem)
    # Without a difference the comparison is the right one.
    return certain(hits.mean()) if (hits != problem.hits).any() else []


def _softmax_in_batches(problem: Problem) -> Ints:
    """Classes after a softmax over the rows of each batch: (n_rows,)."""
    scores = problem.scores.float().numpy() if problem.scores.element_size() < 4 else problem.scores.numpy()
    with np.errstate(invalid="ignore"):  # A class whose scores are all -inf gives NaN, as torch.softmax does.
        powers = np.exp(scores - np.maximum.reduceat(scores, problem.starts, axis=0)[problem.batch_of])
        shares = powers / problem.sum_per_batch(powers)[problem.batch_of]
    return np.asarray(torch.from_numpy(shares).argmax(dim=1), dtype=np.int64)


def argmax_of_rows(problem: Problem) -> Values:
    """B4: ``argmax(dim=0)`` gives a row for each class; with n_classes rows in a batch nothing fails."""
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


def scores_against_labels(problem: Problem) -> Values:
    """B6: scores are compared with labels, without an argmax or a threshold."""
    labels = torch.from_numpy(problem.targets)
    if problem.one_column:
        return certain(float((problem.scores == labels).double().mean()))
    equal = int((problem.scores == labels[:, None]).sum())
    return certain(equal / problem.n_rows, equal / problem.scores.numel())


def _batch_maxima(problem: Problem) -> tuple[Floats, Ints]:
    """Largest score of each batch, and its position in the flattened batch."""
    best, column = problem.scores.max(dim=1)
    row_best = best.double().numpy()
    maxima = np.maximum.reduceat(row_best, problem.starts)
    is_first = row_best == maxima[problem.batch_of]
    local = np.arange(problem.n_rows) - problem.starts[problem.batch_of]
    position = local * problem.n_classes + column.numpy()
    return maxima, np.minimum.reduceat(np.where(is_first, position, problem.scores.numel()), problem.starts)


def whole_batch_maximum(problem: Problem) -> Values:
    """B7: ``max()`` without a dimension is one number, compared with every label."""
    if problem.one_column:
        return []
    figures = [float((problem.targets == float(problem.scores.max())).mean())]
    if problem.batches_known and problem.several_batches:
        maxima, _ = _batch_maxima(problem)
        figures += _batch_figures((problem.targets == maxima[problem.batch_of]).astype(np.int64), problem)
    return certain(*figures)


def whole_batch_argmax(problem: Problem) -> Values:
    """B7: ``argmax()`` without a dimension is one position, compared with every label."""
    if problem.one_column:
        return []
    figures = [float((problem.targets == int(problem.scores.argmax())).mean())]
    if problem.batches_known and problem.several_batches:
        _, positions = _batch_maxima(problem)
        figures += _batch_figures(_hits_of(positions[problem.batch_of], problem), problem)
    return certain(*figures)


def half_on_logits(problem: Problem) -> Values:
    """C5: 0.5 on a logit is a probability of 0.62."""
    if problem.reading != "logits":
        return []
    return certain(_hits_of((problem.scores > 0.5).long().numpy(), problem).mean())


def rounded_logits(problem: Problem) -> Values:
    """C5: logits rounded as if they were probabilities; 2 and -1 are no class."""
    if problem.reading != "logits":
        return []
    return certain(_hits_of(problem.scores.round().clamp(-2, 2).long().numpy(), problem).mean())


def zero_on_probabilities(problem: Problem) -> Values:
    """C5 the other way round: 0 on a probability, or a second sigmoid, is always class 1."""
    if problem.reading != "probabilities":
        return []
    return certain(float((problem.targets == 1).mean()))


def always_first(problem: Problem) -> Values:
    """C6: argmax over a single column is always 0."""
    return certain(float((problem.targets == 0).mean())) if problem.one_column else []
