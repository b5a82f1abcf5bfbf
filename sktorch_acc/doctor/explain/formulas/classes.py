"""Means over classes instead of the accuracy: A10 and A11 of the catalogue."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sktorch_acc._rates import rates
from sktorch_acc.doctor.explain.formulas.formula import OVER_BATCHES, Values, certain, formula
from sktorch_acc.doctor.explain.problem import Floats, Ints, Problem, batch_means

MACRO = "Every class has the same weight, whatever its number of samples."


def _recalls(problem: Problem, count: Callable[..., Ints]) -> tuple[Ints, Floats]:
    """Return the support and the recall of each class, NaN without samples; `count` counts all or each batch."""
    support = count(problem.targets)
    return support, rates(count(problem.targets, problem.correct), support)


@formula(
    "ACC-A10",
    name="the unweighted mean over classes (balanced accuracy)",
    reason=MACRO,
    prior=5.0,
    wrong='MulticlassAccuracy(n_classes, average="macro")  # or recall_score(average="macro")',
    fix='MulticlassAccuracy(n_classes, average="micro")  # or accuracy_score',
)
def _balanced(problem: Problem) -> Values:
    _, recalls = _recalls(problem, problem.class_counts)
    return certain(np.nanmean(recalls))


@formula(
    "ACC-A10",
    name="the unweighted mean over classes of each batch, averaged over the batches",
    reason=MACRO,
    prior=2.0,
    wrong="acc += balanced_accuracy_score(y, pred)" + OVER_BATCHES,
)
def _balanced_per_batch(problem: Problem) -> Values:
    if not problem.several_known_batches:
        return []
    support, recalls = _recalls(problem, problem.class_counts_per_batch)
    return certain(*batch_means(rates(np.nansum(recalls, axis=1), (support > 0).sum(axis=1))))


@formula(
    "ACC-A11",
    name="the mean over classes with 0 for a class without samples",
    reason="The accuracy of a class without samples is undefined, not 0.",
    prior=2.0,
    wrong="class_acc = correct_per_class / samples_per_class.clamp(min=1)\naccuracy = class_acc.mean()",
)
def _absent_as_zero(problem: Problem) -> Values:
    """Divide by the number of all classes, and of those that are in the targets or predicted."""
    support, recalls = _recalls(problem, problem.class_counts)
    present = support > 0
    seen = present | (problem.class_counts(problem.predicted) > 0)
    # Divided by the number of classes with samples, this is the balanced accuracy.
    totals = {problem.n_classes, int(seen.sum())} - {int(present.sum())}
    return certain(*(np.nansum(recalls) / total for total in totals))


@formula(
    "ACC-A11",
    name="the mean over classes of each batch, with 0 for a class without samples in it",
    reason="A batch rarely contains every class, and a class without samples is counted as wrong.",
    prior=1.2,
    wrong='metric = MulticlassAccuracy(n_classes, average="macro")\nacc += metric(pred, y)' + OVER_BATCHES,
)
def _absent_as_zero_per_batch(problem: Problem) -> Values:
    """Divide by the number of all classes, and of those that are in the targets of the batch or predicted."""
    if not problem.several_known_batches:
        return []
    support, recalls = _recalls(problem, problem.class_counts_per_batch)
    if (support > 0).all():
        return []
    totals = np.nansum(recalls, axis=1)
    seen = (support > 0) | (problem.class_counts_per_batch(problem.predicted) > 0)
    return certain(*batch_means(totals / problem.n_classes), *batch_means(rates(totals, seen.sum(axis=1))))
