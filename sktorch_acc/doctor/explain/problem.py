"""The one object that every formula is computed from: rows, predicted classes, and the cut into batches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from sktorch_acc._rates import rates

__all__ = ["Floats", "Ints", "Problem", "Reading"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Reading = Literal["scores", "logits", "probabilities"]


@dataclass(frozen=True)
class Problem:
    """What a loop had in its hands when it computed an accuracy; every formula is a function of it.

    Parameters
    ----------
    scores : Tensor of shape (n_rows, n_classes) or (n_rows,), floating, on the CPU
        The module's output; one dimension for a single column.
    predicted, targets : ndarray of shape (n_rows,), dtype int64
        Class indices in [0, n_classes).
    n_classes : int
        Columns of `scores`, or 2 for a single column.
    reading : {"scores", "logits", "probabilities"}
        What the numbers mean: ``"scores"`` are compared between columns, a single column with a threshold.
    batch_size : int or None
        Rows of a batch, the last one excepted; None if the caller did not say.
    shuffled : bool
        Whether the batches were drawn in an order that is not that of the rows.
    """

    scores: torch.Tensor
    predicted: Ints
    targets: Ints
    n_classes: int
    reading: Reading
    batch_size: int | None
    shuffled: bool

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.targets)

    @property
    def one_column(self) -> bool:
        """Whether the module gave a single column for two classes."""
        return self.reading != "scores"

    @cached_property
    def hits(self) -> Ints:
        """1 for a right row, 0 for a wrong one: (n_rows,)."""
        return self.hits_of(self.predicted)

    @cached_property
    def correct(self) -> int:
        """Number of right rows."""
        return int(self.hits.sum())

    @cached_property
    def truth(self) -> float:
        """The accuracy: right rows divided by rows."""
        return float(rates(self.correct, self.n_rows))

    def hits_of(self, predicted: float | npt.NDArray[Any]) -> Ints:
        """1 where a prediction, or one number for all rows, equals the target: (n_rows,)."""
        return np.asarray(predicted == self.targets, dtype=np.int64)

    # ---- batches

    @property
    def n_batches(self) -> int:
        """Number of batches, the short one included; 0 if `batch_size` is unknown."""
        return 0 if self.batch_size is None else -(-self.n_rows // self.batch_size)

    @property
    def several_batches(self) -> bool:
        """Whether there is more than one batch."""
        return self.n_batches > 1

    @property
    def batches_known(self) -> bool:
        """Whether it is known which rows stood in which batch."""
        return self.batch_size is not None and not self.shuffled

    @property
    def several_known_batches(self) -> bool:
        """Whether there is more than one batch, and it is known which rows stood in which."""
        return self.several_batches and self.batches_known

    @property
    def short_tail(self) -> int:
        """Rows of a last batch that is shorter than the others; 0 if there is none."""
        return self.n_rows % self.batch_size if self.batch_size and self.several_batches else 0

    @property
    def last_size(self) -> int:
        """Rows of the last batch, short or not."""
        return self.short_tail or min(self.batch_size or self.n_rows, self.n_rows)

    @cached_property
    def starts(self) -> Ints:
        """First row of each batch: (n_batches,)."""
        return np.arange(0, self.n_rows, self.batch_size, dtype=np.int64)

    @cached_property
    def sizes(self) -> Ints:
        """Rows of each batch: (n_batches,)."""
        return np.diff(np.append(self.starts, self.n_rows))

    @cached_property
    def batch_of(self) -> Ints:
        """Batch of each row."""
        return np.repeat(np.arange(self.n_batches, dtype=np.int64), self.sizes)

    @cached_property
    def batch_hits(self) -> Ints:
        """Right rows of each batch: (n_batches,)."""
        return np.asarray(np.add.reduceat(self.hits, self.starts), dtype=np.int64)

    @cached_property
    def batch_rates(self) -> Floats:
        """Accuracy of each batch: (n_batches,)."""
        return rates(self.batch_hits, self.sizes)

    def sum_per_batch(self, of_rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Sum a quantity of the rows over each batch."""
        return np.asarray(np.add.reduceat(of_rows, self.starts, axis=0))

    def counts_per_batch(self, classes: Ints) -> Ints:
        """Count the rows of each class in each batch: (n_batches, n_classes)."""
        cells = self.batch_of * self.n_classes + classes
        flat = np.bincount(cells, minlength=self.n_batches * self.n_classes)
        return flat.reshape(self.n_batches, self.n_classes).astype(np.int64)

    def counts(self, classes: Ints) -> Ints:
        """Count the rows of each class: (n_classes,)."""
        return np.bincount(classes, minlength=self.n_classes).astype(np.int64)
