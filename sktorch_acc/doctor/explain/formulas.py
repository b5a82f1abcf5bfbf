"""The wrong formulas, as data: what each is called, how it is written, how to put it right, how common it is.

Priors are relative frequencies, guessed from the threads that the catalogue cites and not measured. They rank
formulas that give the same figure, and weigh them against an accident. A second way to make the same mistake is a row
of its own with a smaller prior.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sktorch_acc.doctor.explain import averages, comparisons, precision
from sktorch_acc.doctor.explain.averages import Values
from sktorch_acc.doctor.explain.problem import Problem

__all__ = ["FORMULAS", "Formula"]


@dataclass(frozen=True)
class Formula:
    """One way to compute a wrong accuracy.

    Parameters
    ----------
    code : str
        Catalogue code, such as ``"ACC-A1"``.
    name : str
        What the figure is, to follow "is": ``"the mean of the batch accuracies"``.
    reason : str
        One sentence: why that is not the accuracy.
    prior : float
        How common it is, relative to the others.
    wrong, fix : str
        The formula as loops write it, and the lines to write instead.
    compute : callable
        From a `Problem` to figures and their probabilities.
    """

    code: str
    name: str
    reason: str
    prior: float
    wrong: str
    fix: str
    compute: Callable[[Problem], Values]


COUNT = "correct += (pred == y).sum().item()\ntotal += len(y)\n# after the loop\naccuracy = correct / total"
ARGMAX = "pred = outputs.argmax(dim=1)\ncorrect += (pred == y).sum().item()"
FLATTEN = "correct += (pred.flatten() == y.flatten()).sum().item()"
THRESHOLD = "pred = (logits.flatten() > 0).long()\ncorrect += (pred == y.flatten()).sum().item()"
NO_ARGMAX = "The largest score is not a class; its column is."
UNEVEN = "The short last batch has fewer rows and counts as much as a full one."
PAIRS = "Shapes (n, 1) and (n,) broadcast to (n, n): every row is compared with every row."
MACRO = "Every class counts the same, however few rows it has."
PADDING = "Repeated rows are counted twice."

_AVERAGES = (
    Formula(
        "ACC-A1",
        "the mean of the batch accuracies",
        UNEVEN,
        10.0,
        "acc += (pred == y).float().mean().item()\n# after the loop\naccuracy = acc / len(loader)",
        COUNT,
        averages.mean_of_batches,
    ),
    Formula(
        "ACC-A1",
        "the mean of the batch accuracies, in half precision",
        UNEVEN,
        0.5,
        "acc += (pred == y).to(outputs.dtype).mean()  # bfloat16 or float16\n# after the loop\naccuracy "
        "= acc / len(loader)",
        COUNT,
        precision.half_batches_short,
    ),
    Formula(
        "ACC-A2",
        "the number of right rows divided by the number of batches",
        "A count of rows needs the number of rows as its divisor.",
        8.0,
        "correct += (pred == y).sum().item()\n# after the loop\naccuracy = correct / len(loader)",
        COUNT,
        averages.count_over_batches,
    ),
    Formula(
        "ACC-A2",
        "the sum of the batch accuracies divided by the number of rows",
        "The batch accuracies are already divided by the rows of their batch.",
        5.0,
        "acc += (pred == y).float().mean().item()\n# after the loop\naccuracy = acc / len(dataset)",
        COUNT,
        averages.rates_over_rows,
    ),
    Formula(
        "ACC-A2",
        "the sum of the batch accuracies",
        "It is never divided.",
        3.0,
        "acc += (pred == y).float().mean().item()\n# after the loop\naccuracy = acc",
        COUNT,
        averages.sum_of_rates,
    ),
    Formula(
        "ACC-A2",
        "the number of right rows divided by the rows of one batch",
        "The count is of the whole epoch, the divisor of one batch.",
        3.0,
        "correct += (pred == y).sum().item()\n# after the loop\naccuracy = correct / len(y)",
        COUNT,
        averages.count_over_batch_size,
    ),
    Formula(
        "ACC-A3",
        "the right rows of the full batches divided by all rows",
        "drop_last=True never scores the short last batch, and the divisor counts its rows.",
        3.5,
        "loader = DataLoader(dataset, batch_size, drop_last=True)\naccuracy = correct / len(dataset)",
        COUNT,
        averages.dropped_tail,
    ),
    Formula(
        "ACC-A3",
        "the accuracy on the full batches",
        "drop_last=True never scores the short last batch.",
        1.5,
        "loader = DataLoader(dataset, batch_size, drop_last=True)\naccuracy = correct / (len(loader) * batch_size)",
        "loader = DataLoader(dataset, batch_size)  # no drop_last for scoring\n" + COUNT,
        averages.dropped_tail_unscored,
    ),
    Formula(
        "ACC-A7",
        "a count kept in half precision",
        "bfloat16 cannot count beyond 256 one by one, float16 not beyond 2048.",
        2.0,
        "correct = torch.zeros((), dtype=torch.bfloat16)\ncorrect += (pred == y).sum()  # in every batch\n"
        "accuracy = correct / len(dataset)",
        COUNT,
        precision.half_counter,
    ),
    Formula(
        "ACC-A7",
        "a mean taken in half precision",
        "bfloat16 keeps 2 to 3 digits, float16 3 to 4.",
        2.0,
        "accuracy = (pred == y).bfloat16().mean()",
        "accuracy = (pred == y).sum().item() / len(y)",
        precision.half_mean,
    ),
    Formula(
        "ACC-A7",
        "the mean of batch accuracies in half precision",
        "bfloat16 keeps 2 to 3 digits, float16 3 to 4.",
        1.4,
        "acc += (pred == y).to(outputs.dtype).mean()  # bfloat16 or float16\n# after the loop\naccuracy "
        "= acc / len(loader)",
        COUNT,
        precision.half_batches_even,
    ),
    Formula(
        "ACC-A8",
        "the right rows of the last batch divided by all rows",
        "Only the last batch was counted.",
        4.0,
        "correct = (pred == y).sum().item()  # in every batch\n# after the loop\naccuracy = correct / len(dataset)",
        COUNT,
        averages.last_batch_over_all,
    ),
    Formula(
        "ACC-A8",
        "the accuracy of the last batch",
        "Each batch overwrites the figure of the one before.",
        2.5,
        "accuracy = (pred == y).float().mean().item()  # in every batch",
        COUNT,
        averages.last_batch_alone,
    ),
    Formula(
        "ACC-A9",
        "an integer division",
        "Integer division gives 0 until every row is right.",
        2.0,
        "accuracy = correct // total",
        "accuracy = correct / total",
        averages.integer_division,
    ),
    Formula(
        "ACC-A9",
        "the share of batches without an error",
        "Integer division gives 0 for a batch until every row of it is right.",
        1.0,
        "acc += (pred == y).sum() // len(y)\n# after the loop\naccuracy = acc / len(loader)",
        COUNT,
        averages.integer_division_per_batch,
    ),
    Formula(
        "ACC-A10",
        "the unweighted mean over classes (balanced accuracy)",
        MACRO,
        5.0,
        'MulticlassAccuracy(n_classes, average="macro")  # or recall_score(average="macro")',
        'MulticlassAccuracy(n_classes, average="micro")  # or accuracy_score',
        averages.balanced,
    ),
    Formula(
        "ACC-A10",
        "the unweighted mean over classes of each batch, averaged over the batches",
        MACRO,
        2.0,
        "acc += balanced_accuracy_score(y, pred)\n# after the loop\naccuracy = acc / len(loader)",
        COUNT,
        averages.balanced_per_batch,
    ),
    Formula(
        "ACC-A11",
        "the mean over classes with 0 for a class that has no rows",
        "The accuracy of a class without rows is undefined, not 0.",
        2.0,
        "class_acc = hits_per_class / rows_per_class.clamp(min=1)\naccuracy = class_acc.mean()",
        COUNT,
        averages.balanced_absent_zero,
    ),
    Formula(
        "ACC-A11",
        "the mean over classes of each batch with 0 for the classes it lacks",
        "A batch seldom holds every class, and a class without rows is counted as wrong.",
        1.2,
        'metric = MulticlassAccuracy(n_classes, average="macro")\nacc += metric(pred, y)\n# after the loop\n'
        "accuracy = acc / len(loader)",
        COUNT,
        averages.balanced_absent_zero_per_batch,
    ),
    Formula(
        "ACC-H1",
        "an accuracy with repeated rows",
        PADDING,
        1.5,
        "sampler = DistributedSampler(dataset)  # repeats rows until every process has as many\naccuracy "
        "= gathered.float().mean()",
        "hits = gathered[: len(dataset)]  # in the order of the rows\naccuracy = hits.sum().item() / len(dataset)",
        averages.padded,
    ),
)

_COMPARISONS = (
    Formula(
        "ACC-B1",
        "a count over all pairs of rows, divided by the rows",
        PAIRS,
        6.0,
        "correct = (pred == y).sum().item()  # (n, 1) == (n,)\naccuracy = correct / len(y)",
        FLATTEN,
        comparisons.broadcast_sum,
    ),
    Formula(
        "ACC-B1",
        "a count over all pairs of rows of a batch, divided by the rows",
        PAIRS,
        4.0,
        "correct += (pred == y).sum().item()  # (n, 1) == (n,)\n# after the loop\naccuracy = correct / len(dataset)",
        FLATTEN,
        comparisons.broadcast_sum_per_batch,
    ),
    Formula(
        "ACC-B2",
        "the share of equal pairs among all pairs of rows",
        PAIRS,
        6.0,
        "accuracy = (pred == y).float().mean()  # (n, 1) == (n,)",
        "accuracy = (pred.flatten() == y.flatten()).float().mean()",
        comparisons.broadcast_mean,
    ),
    Formula(
        "ACC-B2",
        "the share of equal pairs among all pairs of rows of a batch",
        PAIRS,
        4.0,
        "acc += (pred == y).float().mean().item()  # (n, 1) == (n,)\n# after the loop\naccuracy = acc / len(loader)",
        FLATTEN,
        comparisons.broadcast_mean_per_batch,
    ),
    Formula(
        "ACC-B3",
        "a comparison of class indices with one-hot targets",
        "A class index is compared with zeros and ones.",
        2.0,
        "pred = outputs.argmax(dim=1, keepdim=True)\ncorrect += (pred == y_one_hot).sum().item()",
        "pred = outputs.argmax(dim=1)\ncorrect += (pred == y_one_hot.argmax(dim=1)).sum().item()",
        comparisons.one_hot_against_classes,
    ),
    Formula(
        "ACC-B3",
        "a comparison of class indices with one-hot targets, with as many rows in a batch as classes",
        "A class index is compared with zeros and ones; the shapes agree by accident.",
        1.5,
        "pred = outputs.argmax(dim=1)\ncorrect += (pred == y_one_hot).sum().item()  # (K,) == (K, K)",
        "pred = outputs.argmax(dim=1)\ncorrect += (pred == y_one_hot.argmax(dim=1)).sum().item()",
        comparisons.one_hot_against_classes_per_batch,
    ),
    Formula(
        "ACC-B3",
        "the share of equal elements of thresholded scores and one-hot targets",
        "Every column counts as a decision: the many zeros are easily right.",
        1.0,
        "accuracy = ((outputs > 0.5) == y_one_hot).float().mean()",
        "accuracy = (outputs.argmax(dim=1) == y_one_hot.argmax(dim=1)).float().mean()",
        comparisons.one_hot_elementwise,
    ),
    Formula(
        "ACC-B4",
        "the accuracy after a softmax over the rows",
        "dim=0 compares rows with each other, not classes.",
        3.0,
        "pred = torch.softmax(outputs, dim=0).argmax(dim=1)",
        ARGMAX,
        comparisons.softmax_over_rows,
    ),
    Formula(
        "ACC-B4",
        "the accuracy after a softmax over the rows of all batches at once",
        "dim=0 compares rows with each other, not classes.",
        0.6,
        "pred = torch.softmax(all_outputs, dim=0).argmax(dim=1)",
        "pred = all_outputs.argmax(dim=1)",
        comparisons.softmax_over_all_rows,
    ),
    Formula(
        "ACC-B4",
        "a comparison of row positions with labels",
        "argmax(dim=0) finds the best row of each class, not the best class of each row.",
        1.5,
        "pred = outputs.argmax(dim=0)\ncorrect += (pred == y).sum().item()",
        ARGMAX,
        comparisons.argmax_of_rows,
    ),
    Formula(
        "ACC-B6",
        "a comparison of scores with labels",
        "A score is almost never equal to a label.",
        5.0,
        "correct += (outputs == y).sum().item()",
        ARGMAX,
        comparisons.scores_against_labels,
    ),
    Formula(
        "ACC-B7",
        "a comparison of the largest score with every label",
        NO_ARGMAX,
        0.6,
        "pred = torch.max(outputs)\ncorrect += (pred == y).sum().item()",
        ARGMAX,
        comparisons.whole_batch_maximum,
    ),
    Formula(
        "ACC-B7",
        "a comparison of one position with every label",
        "argmax() without dim is one position in the whole batch.",
        1.0,
        "pred = outputs.argmax()\ncorrect += (pred == y).sum().item()",
        ARGMAX,
        comparisons.whole_batch_argmax,
    ),
    Formula(
        "ACC-C5",
        "the accuracy of logits thresholded at 0.5",
        "0.5 on a logit is a probability of 0.62.",
        6.0,
        "pred = (logits > 0.5).long()",
        THRESHOLD,
        comparisons.half_on_logits,
    ),
    Formula(
        "ACC-C5",
        "the accuracy of rounded logits",
        "A logit is no probability: rounding gives numbers that are no class, and a threshold of 0.5.",
        2.0,
        "pred = logits.round()",
        THRESHOLD,
        comparisons.rounded_logits,
    ),
    Formula(
        "ACC-C5",
        "the accuracy of probabilities thresholded at 0",
        "Every probability is above 0, and a second sigmoid is always above 0.5.",
        2.0,
        "pred = (probabilities > 0).long()  # or a second torch.sigmoid",
        "pred = (probabilities.flatten() > 0.5).long()",
        comparisons.zero_on_probabilities,
    ),
    Formula(
        "ACC-C6",
        "the share of class 0",
        "argmax over a single column is always 0.",
        5.0,
        "pred = outputs.argmax(dim=1)  # outputs of shape (n, 1)",
        THRESHOLD,
        comparisons.always_first,
    ),
)

FORMULAS = _AVERAGES + _COMPARISONS
