"""Checks of which samples an accuracy is counted over, and how (family A; B8, D9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sktorch_acc.findings import Finding


@dataclass(frozen=True)
class LoaderFacts:
    """Static properties of a loader, read without iterating it.

    Parameters
    ----------
    n_samples : int
        Samples of its data set.
    n_drawn : int
        Samples that its sampler draws in an epoch, before `drop_last`.
    batch_size : int or None
        Samples of a batch; None if a batch sampler decides.
    drop_last : bool
        Whether a short last batch is skipped.
    order : {"as given", "shuffled", "resampled", "unknown"}
        How the sampler draws; ``"resampled"`` means with replacement.
    has_labels : bool
        Whether an item holds more than the features.
    """

    n_samples: int
    n_drawn: int
    batch_size: int | None
    drop_last: bool
    order: Literal["as given", "shuffled", "resampled", "unknown"]
    has_labels: bool

    @property
    def last_batch(self) -> int:
        """Samples of a last batch that is shorter than the others; 0 if there is none."""
        return self.n_drawn % self.batch_size if self.batch_size else 0


def check_dropped_samples(loader: LoaderFacts) -> Finding | None:
    """Report samples that ``drop_last=True`` skips (A3); information on a loader that does not keep the order.

    Such a loader is for training, where it is used on purpose, and does no harm unless an accuracy is counted over it.
    """
    if not loader.drop_last or not loader.last_batch:
        return None
    return Finding(
        "ACC-A3",
        "warning" if loader.order == "as given" else "info",
        f"drop_last=True skips {loader.last_batch} of {loader.n_drawn} samples in each epoch, but "
        f"len(loader.dataset) = {loader.n_samples} includes them. A perfect model counted over this loader and "
        f"divided by that length reaches {(loader.n_drawn - loader.last_batch) / loader.n_samples:.4f}.",
        "Count over a loader without drop_last, or divide by the number of samples that were counted.",
    )


def check_drawn_samples(loader: LoaderFacts) -> Finding | None:
    """Report a sampler that draws only a part of its data set (A4); information on a random part, as of a split."""
    if loader.order == "resampled" or loader.n_drawn == loader.n_samples:
        return None
    return Finding(
        "ACC-A4",
        "info" if loader.order == "shuffled" else "warning",
        f"The sampler draws {loader.n_drawn} of the {loader.n_samples} samples of the data set: divided by "
        f"len(loader.dataset), the accuracy of a perfect model is {loader.n_drawn / loader.n_samples:.4f}.",
        f"Divide by the number of samples that were counted: {loader.n_drawn}.",
    )


def check_resampled(loader: LoaderFacts) -> Finding | None:
    """Report a sampler that draws with replacement (A5): information, as no sampler does that by default."""
    if loader.order != "resampled":
        return None
    return Finding(
        "ACC-A5",
        "info",
        "The sampler draws with replacement: an accuracy counted over this loader is that of resampled data, with "
        "other class frequencies; some samples occur several times and others never.",
        "Compute the accuracy over a loader without that sampler.",
    )


def check_order(loader: LoaderFacts) -> Finding | None:
    """Report a loader without labels that shuffles (D9)."""
    if loader.has_labels or loader.order not in ("shuffled", "resampled"):
        return None
    return Finding(
        "ACC-D9",
        "error",
        "The loader shuffles but holds no labels: the predictions are in another order than y.",
        "Use shuffle=False to predict, or take the labels from the loader too.",
    )


def check_last_batch(loader: LoaderFacts, fails_on_one_sample: bool) -> Finding | None:
    """Report a last batch of one sample on which the module cannot be trained (B8)."""
    if loader.drop_last or loader.last_batch != 1 or not fails_on_one_sample:
        return None
    return Finding(
        "ACC-B8",
        "error",
        f"The last batch has 1 sample ({loader.n_drawn} samples in batches of {loader.batch_size}), and the module "
        "fails on one sample in training mode: batch norm cannot be trained on it.",
        "Change batch_size, or use drop_last=True for training.",
    )


# ------------------------------------------------------------------ what a loop counts while it runs


def check_batch_mean(reported: float, correct: Sequence[int], samples: Sequence[int]) -> Finding | None:
    """Report an accuracy that is the mean of the batch accuracies (A1).

    Parameters
    ----------
    reported : float
        The accuracy that the loop reports.
    correct, samples : sequence of int
        Correct predictions and samples of each batch.
    """
    if not samples or len(set(samples)) == 1:
        return None
    return Finding(
        "ACC-A1",
        "warning",
        f"The accuracy of the last epoch, {reported:.4f}, is the mean of its {len(samples)} batch accuracies; "
        f"{sum(correct)}/{sum(samples)} is {sum(correct) / sum(samples):.4f}. The last batch has {samples[-1]} "
        f"samples, the largest {max(samples)}, and both have the same weight.",
        "Count correct predictions and samples over all batches, and divide once.",
    )


def check_cumulative_accuracy(reported: float, correct: int, samples: int, epoch: int) -> Finding | None:
    """Report an accuracy over all epochs so far (A6); `correct` and `samples` are those of its own epoch."""
    if not samples:
        return None
    return Finding(
        "ACC-A6",
        "warning",
        f"The accuracy of epoch {epoch}, {reported:.4f}, counts the samples of all {epoch} epochs so far; in that "
        f"epoch {correct} of {samples} predictions were correct, {correct / samples:.4f}.",
        "Set the counters to 0, or reset the metric, at the start of each epoch.",
    )


def check_metric_reset(seen: int, samples: int) -> Finding | None:
    """Report a metric that is never reset (A6): samples since its last reset, and samples of the epoch."""
    if not 0 < samples < seen:
        return None
    return Finding(
        "ACC-A6",
        "warning",
        f"The metric has seen {seen} samples but the epoch has {samples}: it is not reset between epochs.",
        "Call metric.reset() at the start of each epoch.",
    )


def check_thresholds(as_logits: int, as_probabilities: int, neither: int) -> Finding | None:
    """Report a metric that decides for each batch whether it was given logits or probabilities (A12).

    Parameters
    ----------
    as_logits, as_probabilities, neither : int
        Batches whose accuracy only a threshold of 0 gives, only one of 0.5, and none of the two.
    """
    if neither or not as_logits or not as_probabilities:
        return None
    return Finding(
        "ACC-A12",
        "warning",
        "The metric decides for each batch, from the values, whether it is given logits or probabilities: of the "
        f"batches where it matters it used a threshold of 0 in {as_logits} and of 0.5 in {as_probabilities}, whose "
        "outputs all lie in [0, 1]. The accuracy depends on which samples share a batch.",
        "Pass probabilities, torch.sigmoid(z), or classes, (z > 0).long(), in every batch.",
    )
