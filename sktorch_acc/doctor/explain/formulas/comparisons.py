"""Comparisons of predictions and targets in wrong shapes: family B of the catalogue."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from sktorch_acc._rates import rates
from sktorch_acc.doctor.explain.formulas.formula import OVER_BATCHES, Values, certain, formula
from sktorch_acc.doctor.explain.problem import Floats, Ints, Problem, batch_means

ARGMAX = "pred = outputs.argmax(dim=1)\ncorrect += (pred == y).sum().item()"
FLATTEN = "correct += (pred.flatten() == y.flatten()).sum().item()"
ONE_HOT_ARGMAX = "pred = outputs.argmax(dim=1)\ncorrect += (pred == y_one_hot.argmax(dim=1)).sum().item()"
PAIRS = "Shapes (n, 1) and (n,) broadcast to (n, n): every prediction is compared with every target."
OVER_SAMPLES = "dim=0 normalizes over the samples, not over the classes."


def _pairs(problem: Problem, count: Callable[[Ints], Ints]) -> Ints:
    """Count the equal pairs when every prediction is compared with every target; `count` counts all or each batch."""
    return np.asarray((count(problem.predicted) * count(problem.targets)).sum(axis=-1), dtype=np.int64)


def _in_square_batches(problem: Problem) -> int | None:
    """Count the samples in batches of n_classes samples; None if the shapes of another batch do not match."""
    # A batch of one sample broadcasts.
    if problem.one_column or not problem.batches_known or not set(problem.batch_sizes) <= {1, problem.n_classes}:
        return None
    return int(problem.batch_sizes[problem.batch_sizes > 1].sum())


def _accuracies(problem: Problem, correct: Ints) -> Values:
    """Divide by the number of samples, and average over the batches."""
    return certain(correct.mean(), *batch_means(rates(problem.sum_per_batch(correct), problem.batch_sizes)))


@formula(
    "ACC-B1",
    name="the number of equal pairs among all pairs of samples, divided by the number of samples",
    reason=PAIRS,
    prior=6.0,
    wrong="correct = (pred == y).sum().item()  # (n, 1) == (n,)\naccuracy = correct / len(y)",
    fix=FLATTEN,
)
def _pairs_over_samples(problem: Problem) -> Values:
    return certain(int(_pairs(problem, problem.class_counts)) / problem.n_samples)


@formula(
    "ACC-B1",
    name="the number of equal pairs among all pairs of samples in a batch, divided by the number of samples",
    reason=PAIRS,
    prior=4.0,
    wrong="correct += (pred == y).sum().item()  # (n, 1) == (n,)\n# after the loop\naccuracy = correct / len(dataset)",
    fix=FLATTEN,
)
def _pairs_over_samples_per_batch(problem: Problem) -> Values:
    if not problem.several_known_batches:
        return []
    pairs = _pairs(problem, problem.class_counts_per_batch)
    return certain(pairs.sum() / problem.n_samples, *batch_means(rates(pairs, problem.batch_sizes)))


@formula(
    "ACC-B2",
    name="the share of equal pairs among all pairs of samples",
    reason=PAIRS,
    prior=6.0,
    wrong="accuracy = (pred == y).float().mean()  # (n, 1) == (n,)",
    fix="accuracy = (pred.flatten() == y.flatten()).float().mean()",
)
def _mean_of_pairs(problem: Problem) -> Values:
    return certain(int(_pairs(problem, problem.class_counts)) / problem.n_samples**2)


@formula(
    "ACC-B2",
    name="the share of equal pairs among all pairs of samples in a batch",
    reason=PAIRS,
    prior=4.0,
    wrong="acc += (pred == y).float().mean().item()  # (n, 1) == (n,)" + OVER_BATCHES,
    fix=FLATTEN,
)
def _mean_of_pairs_per_batch(problem: Problem) -> Values:
    """Average over the batches, without weights and weighted by their sizes."""
    if not problem.several_known_batches:
        return []
    means = rates(_pairs(problem, problem.class_counts_per_batch), problem.batch_sizes**2)
    return certain(*batch_means(means), float(means @ problem.batch_sizes) / problem.n_samples)


@formula(
    "ACC-B3",
    name="the share of class indices equal to elements of one-hot targets",
    reason="A class index is compared with zeros and ones.",
    prior=2.0,
    wrong="pred = outputs.argmax(dim=1, keepdim=True)\ncorrect += (pred == y_one_hot).sum().item()",
    fix=ONE_HOT_ARGMAX,
)
def _classes_against_one_hot(problem: Problem) -> Values:
    if problem.one_column:
        return []
    # A prediction of 0 equals the zeros of a one-hot target, a prediction of 1 its single one, others nothing.
    total = int((problem.predicted == 0).sum()) * (problem.n_classes - 1) + int((problem.predicted == 1).sum())
    return certain(total / problem.n_samples, total / (problem.n_samples * problem.n_classes))


@formula(
    "ACC-B3",
    name="the share of class indices equal to elements of one-hot targets, in batches of as many samples as classes",
    reason="A class index is compared with zeros and ones; the shapes match by coincidence.",
    prior=1.5,
    wrong="pred = outputs.argmax(dim=1)\ncorrect += (pred == y_one_hot).sum().item()  # (K,) == (K, K)",
    fix=ONE_HOT_ARGMAX,
)
def _classes_against_square_one_hot(problem: Problem) -> Values:
    full, size = _in_square_batches(problem), problem.n_classes
    if full is None:
        return []
    one_hot = np.eye(size, dtype=np.int64)[problem.targets]
    equal = problem.predicted[:full].reshape(-1, 1, size) == one_hot[:full].reshape(-1, size, size)
    total = int(equal.sum()) + int((problem.predicted[full:, None] == one_hot[full:]).sum())
    return certain(total / problem.n_samples, total / (problem.n_samples * problem.n_classes))


@formula(
    "ACC-B3",
    name="the share of equal elements of thresholded scores and one-hot targets",
    reason="Every element counts as a prediction, and the many zeros are easy to predict.",
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
    """Predict after a softmax over the samples of each batch: (n_samples,)."""
    scores = problem.scores.float().numpy() if problem.scores.element_size() < 4 else problem.scores.numpy()
    with np.errstate(invalid="ignore"):  # A class whose scores are all -inf gives NaN, as torch.softmax does.
        powers = np.exp(scores - np.maximum.reduceat(scores, problem.batch_starts, axis=0)[problem.batch_of])
        shares = powers / problem.sum_per_batch(powers)[problem.batch_of]
    return np.asarray(torch.from_numpy(shares).argmax(dim=1), dtype=np.int64)


def _softmax_over_all(problem: Problem) -> Values:
    if problem.one_column:
        return []
    return certain(problem.equals_target(torch.softmax(problem.scores, dim=0).argmax(dim=1).numpy()).mean())


@formula(
    "ACC-B4",
    name="the accuracy after a softmax over the samples",
    reason=OVER_SAMPLES,
    prior=3.0,
    wrong="pred = torch.softmax(outputs, dim=0).argmax(dim=1)",
    fix=ARGMAX,
)
def _softmax_over_samples(problem: Problem) -> Values:
    """Apply the softmax over the samples of each batch, or over all samples if there is one batch."""
    if problem.n_batches <= 1:
        return _softmax_over_all(problem)
    if problem.one_column or not problem.batches_known:
        return []
    correct = problem.equals_target(_softmax_in_batches(problem))
    # If all predictions stay the same, there is no error.
    return _accuracies(problem, correct) if (correct != problem.correct).any() else []


@formula(
    "ACC-B4",
    name="the accuracy after a softmax over the samples of all batches at once",
    reason=OVER_SAMPLES,
    prior=0.6,
    wrong="pred = torch.softmax(all_outputs, dim=0).argmax(dim=1)",
    fix="pred = all_outputs.argmax(dim=1)",
)
def _softmax_over_all_samples(problem: Problem) -> Values:
    return _softmax_over_all(problem) if problem.n_batches > 1 else []


@formula(
    "ACC-B4",
    name="the share of positions in the batch equal to the label",
    reason="argmax(dim=0) returns the best sample of each class, not the best class of each sample.",
    prior=1.5,
    wrong="pred = outputs.argmax(dim=0)\ncorrect += (pred == y).sum().item()",
    fix=ARGMAX,
)
def _argmax_over_samples(problem: Problem) -> Values:
    """Return the best sample of each class, which only fits batches of n_classes samples or of one."""
    full, size = _in_square_batches(problem), problem.n_classes
    if full is None:
        return []
    best = problem.scores[:full].reshape(-1, size, size).argmax(dim=1).numpy()
    equal = (best == problem.targets[:full].reshape(-1, size)).sum(axis=1)
    # The target of a batch of one sample is compared with n_classes predictions, all of them 0.
    alone = size * (problem.targets[full:] == 0)
    per_batch = np.append(equal, alone) / size
    total = equal.sum() + alone.sum()
    return certain(total / problem.n_samples, equal.sum() / problem.n_samples, per_batch.mean())


@formula(
    "ACC-B6",
    name="the share of scores equal to the label",
    reason="A score is almost never equal to a label.",
    prior=5.0,
    wrong="correct += (outputs == y).sum().item()",
    fix=ARGMAX,
)
def _scores_against_labels(problem: Problem) -> Values:
    columns = problem.scores.reshape(problem.n_samples, -1)
    equal = int((columns == torch.from_numpy(problem.targets)[:, None]).sum())
    return certain(equal / problem.n_samples, equal / problem.scores.numel())


def _batch_maxima(problem: Problem) -> Floats:
    """Return the largest score of each batch: (n_batches,)."""
    return np.maximum.reduceat(problem.scores.max(dim=1).values.double().numpy(), problem.batch_starts)


def _batch_argmax(problem: Problem) -> Ints:
    """Return the position of the largest score in each flattened batch: (n_batches,)."""
    best, column = problem.scores.max(dim=1)
    # The sort is stable: among equal scores of a batch, the first sample stays the first.
    first = np.lexsort((-best.double().numpy(), problem.batch_of))[problem.batch_starts]
    return np.asarray((first - problem.batch_starts) * problem.n_classes + column.numpy()[first], dtype=np.int64)


def _one_number(problem: Problem, of_all: float, of_batches: Callable[[Problem], Floats | Ints]) -> Values:
    """Compare one number of all scores, and one of each batch, with every label."""
    if problem.one_column:
        return []
    values = certain(problem.equals_target(of_all).mean())
    if problem.several_known_batches:
        values += _accuracies(problem, problem.equals_target(of_batches(problem)[problem.batch_of]))
    return values


@formula(
    "ACC-B7",
    name="the share of labels equal to the largest score",
    reason="The largest score is not a class; the index of its column is.",
    prior=0.6,
    wrong="pred = torch.max(outputs)\ncorrect += (pred == y).sum().item()",
    fix=ARGMAX,
)
def _maximum_against_labels(problem: Problem) -> Values:
    return _one_number(problem, float(problem.scores.max()), _batch_maxima)


@formula(
    "ACC-B7",
    name="the share of labels equal to one position",
    reason="argmax() without dim returns one position in the flattened batch.",
    prior=1.0,
    wrong="pred = outputs.argmax()\ncorrect += (pred == y).sum().item()",
    fix=ARGMAX,
)
def _position_against_labels(problem: Problem) -> Values:
    return _one_number(problem, int(problem.scores.argmax()), _batch_argmax)
