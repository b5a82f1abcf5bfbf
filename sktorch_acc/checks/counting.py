"""Checks of what is drawn and counted, against the rows that an accuracy is divided by (family A; B8, D9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sktorch_acc.findings import Finding

__all__ = [
    "LoaderFacts",
    "check_batch_mean",
    "check_cumulative_figure",
    "check_drawn_rows",
    "check_dropped_rows",
    "check_last_batch",
    "check_metric_reset",
    "check_order",
    "check_readings",
    "check_resampled",
]


@dataclass(frozen=True)
class LoaderFacts:
    """What a loader says of itself, without being iterated.

    Parameters
    ----------
    n_rows : int
        Rows of its data set.
    n_drawn : int
        Rows that its sampler draws in an epoch, before `drop_last`.
    batch_size : int or None
        Rows of a batch; None if a batch sampler decides.
    drop_last : bool
        Whether a short last batch is skipped.
    order : {"as given", "shuffled", "resampled", "unknown"}
        How the sampler draws: ``"resampled"``, with replacement.
    has_labels : bool
        Whether an item holds more than the features.
    """

    n_rows: int
    n_drawn: int
    batch_size: int | None
    drop_last: bool
    order: Literal["as given", "shuffled", "resampled", "unknown"]
    has_labels: bool

    @property
    def tail(self) -> int:
        """Rows of a last batch that is shorter than the others; 0 if there is none."""
        return self.n_drawn % self.batch_size if self.batch_size else 0


def check_dropped_rows(loader: LoaderFacts) -> Finding | None:
    """Name rows that ``drop_last=True`` never scores (A3)."""
    if not loader.drop_last or not loader.tail:
        return None
    return Finding(
        "ACC-A3",
        "warning",
        f"drop_last=True skips {loader.tail} of {loader.n_drawn} rows in each epoch: they are in "
        f"len(loader.dataset) = {loader.n_rows} but never scored. A perfect model counted over this loader and "
        f"divided by that reaches {(loader.n_drawn - loader.tail) / loader.n_rows:.4f}.",
        "Count over a loader without drop_last, or divide by the rows that were counted.",
    )


def check_drawn_rows(loader: LoaderFacts) -> Finding | None:
    """Name a sampler that draws a part of its data set (A4)."""
    if loader.order == "resampled" or loader.n_drawn == loader.n_rows:
        return None
    return Finding(
        "ACC-A4",
        "warning",
        f"The sampler draws {loader.n_drawn} of the {loader.n_rows} rows of the data set: divided by "
        f"len(loader.dataset), the accuracy of a perfect model is {loader.n_drawn / loader.n_rows:.4f}.",
        f"Divide by the rows that were counted: {loader.n_drawn}.",
    )


def check_resampled(loader: LoaderFacts) -> Finding | None:
    """Name a sampler that draws with replacement: its rows are not the data (A5)."""
    if loader.order != "resampled":
        return None
    return Finding(
        "ACC-A5",
        "warning",
        "The sampler draws rows with replacement: an accuracy counted over this loader is that of resampled rows, in "
        "which classes have other shares and rows occur several times or never.",
        "Score the rows as they are, over a loader without that sampler.",
    )


def check_order(loader: LoaderFacts) -> Finding | None:
    """Name a loader without labels that shuffles: its predictions match no y (D9)."""
    if loader.has_labels or loader.order not in ("shuffled", "resampled"):
        return None
    return Finding(
        "ACC-D9",
        "error",
        "The loader shuffles rows but holds no labels: predictions come back in another order than y.",
        "Use shuffle=False to predict, or take the labels from the loader too.",
    )


def check_last_batch(loader: LoaderFacts, fails_on_one_row: bool) -> Finding | None:
    """Name a last batch of one row on which the module cannot train (B8)."""
    if loader.drop_last or loader.tail != 1 or not fails_on_one_row:
        return None
    return Finding(
        "ACC-B8",
        "error",
        f"The last batch has 1 row ({loader.n_drawn} rows in batches of {loader.batch_size}), and in training mode the "
        "module fails on one row: batch norm cannot train on it.",
        "Change batch_size, or use drop_last=True for training.",
    )


# ------------------------------------------------------------------ what a loop counts while it runs


def check_batch_mean(reported: float, right: Sequence[int], rows: Sequence[int]) -> Finding | None:
    """Name a figure that is the mean of batch accuracies (A1): right rows and rows of each batch."""
    if not rows or len(set(rows)) == 1:
        return None
    return Finding(
        "ACC-A1",
        "warning",
        f"The figure of the last epoch, {reported:.4f}, is the mean of its {len(rows)} batch accuracies; "
        f"{sum(right)}/{sum(rows)} is {sum(right) / sum(rows):.4f}. The last batch has {rows[-1]} rows, the largest "
        f"{max(rows)}: it should count less.",
        "Count right rows and rows over all batches, and divide once.",
    )


def check_cumulative_figure(reported: float, right: int, rows: int, epoch: int) -> Finding | None:
    """Name a figure that is that of all epochs so far (A6); `right` and `rows` are those of its own epoch."""
    if not rows:
        return None
    return Finding(
        "ACC-A6",
        "warning",
        f"The figure of epoch {epoch}, {reported:.4f}, counts the rows of all {epoch} epochs so far; in that epoch "
        f"{right} of {rows} were right, {right / rows:.4f}.",
        "Set the counters to 0, or reset the metric, at the start of each epoch.",
    )


def check_metric_reset(seen: int, rows: int) -> Finding | None:
    """Name a metric that was never reset (A6): rows it has seen since, and those of the epoch."""
    if not 0 < rows < seen:
        return None
    return Finding(
        "ACC-A6",
        "warning",
        f"The metric has seen {seen} rows but the epoch has {rows}: reset it each epoch.",
        "Call metric.reset() at the start of each epoch.",
    )


def check_readings(as_logits: int, as_probabilities: int, neither: int) -> Finding | None:
    """Name a metric that decides for each batch whether it was given logits or probabilities (A12).

    Parameters
    ----------
    as_logits, as_probabilities, neither : int
        Batches whose figure only a threshold of 0 gives, only one of 0.5, and none of the two.
    """
    if neither or not as_logits or not as_probabilities:
        return None
    return Finding(
        "ACC-A12",
        "warning",
        "The metric decides batch by batch, from the values, whether it is given logits or probabilities: of the "
        f"batches where it matters it read {as_logits} with a threshold of 0 and {as_probabilities}, whose outputs all "
        "lie in [0, 1], with 0.5. The figure depends on which rows share a batch.",
        "Give it probabilities throughout, torch.sigmoid(z), or classes, (z > 0).long().",
    )
