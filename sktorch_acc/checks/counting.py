"""Checks of what a loader draws, against the rows that an accuracy is divided by (family A; B8, D9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sktorch_acc.findings import Finding

__all__ = [
    "LoaderFacts",
    "check_drawn_rows",
    "check_dropped_rows",
    "check_last_batch",
    "check_order",
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
