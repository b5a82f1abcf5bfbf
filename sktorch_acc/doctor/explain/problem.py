"""The outputs, targets and batches that every formula is computed from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from sktorch_acc._rates import rates

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Problem:
    """What a loop has at hand when it computes an accuracy.

    Parameters
    ----------
    scores : Tensor of shape (n_samples, n_classes) or (n_samples,), floating, on the CPU
        Output of the module; one-dimensional for a single column.
    targets : ndarray of shape (n_samples,), dtype int64
        Class indices in [0, n_classes).
    n_classes : int
        Number of columns of `scores`, or 2 for a single column.
    batch_size : int or None
        Number of samples in a batch, except the last one. None if it is unknown.
    shuffled : bool
        Whether the batches were drawn in another order than that of the samples.
    """

    scores: torch.Tensor
    targets: Ints
    n_classes: int
    batch_size: int | None
    shuffled: bool

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.targets)

    @property
    def one_column(self) -> bool:
        """Whether the module returned a single column for two classes."""
        return self.scores.ndim == 1

    @cached_property
    def kind(self) -> Literal["scores", "logits", "probabilities"]:
        """One column per class, or what a single column holds: probabilities if all values lie in [0, 1]."""
        if not self.one_column:
            return "scores"
        # Logits rarely all lie in [0, 1].
        return "probabilities" if bool(((self.scores >= 0) & (self.scores <= 1)).all()) else "logits"

    @cached_property
    def predicted(self) -> Ints:
        """Class indices of shape (n_samples,): the largest score, or a threshold of 0 (logits) or 0.5."""
        if not self.one_column:
            return np.asarray(self.scores.argmax(dim=1), dtype=np.int64)
        return np.asarray(self.scores > (0.5 if self.kind == "probabilities" else 0.0), dtype=np.int64)

    @cached_property
    def correct(self) -> Ints:
        """1 for a correct prediction, 0 for a wrong one, of shape (n_samples,)."""
        return self.equals_target(self.predicted)

    @cached_property
    def n_correct(self) -> int:
        """Number of correct predictions."""
        return int(self.correct.sum())

    @cached_property
    def accuracy(self) -> float:
        """Number of correct predictions divided by the number of samples."""
        return float(rates(self.n_correct, self.n_samples))

    def equals_target(self, predicted: float | npt.NDArray[Any]) -> Ints:
        """1 where a prediction, or one number for all samples, equals the target, of shape (n_samples,)."""
        return np.asarray(predicted == self.targets, dtype=np.int64)

    # ---- batches

    @property
    def n_batches(self) -> int:
        """Number of batches, including a short one; 0 if `batch_size` is unknown."""
        return 0 if self.batch_size is None else -(-self.n_samples // self.batch_size)

    @property
    def batches_known(self) -> bool:
        """Whether it is known which samples each batch holds."""
        return self.batch_size is not None and not self.shuffled

    @property
    def several_known_batches(self) -> bool:
        """Whether there is more than one batch, and it is known which samples each holds."""
        return self.n_batches > 1 and self.batches_known

    @property
    def short_batch_size(self) -> int:
        """Number of samples in a last batch that is shorter than the others; 0 if there is none."""
        return self.n_samples % self.batch_size if self.batch_size and self.n_batches > 1 else 0

    @property
    def last_batch_size(self) -> int:
        """Number of samples in the last batch, short or not."""
        return self.short_batch_size or min(self.batch_size or self.n_samples, self.n_samples)

    @cached_property
    def batch_starts(self) -> Ints:
        """Index of the first sample of each batch, of shape (n_batches,)."""
        return np.arange(0, self.n_samples, self.batch_size, dtype=np.int64)

    @cached_property
    def batch_sizes(self) -> Ints:
        """Number of samples in each batch, of shape (n_batches,)."""
        return np.diff(np.append(self.batch_starts, self.n_samples))

    @cached_property
    def batch_of(self) -> Ints:
        """Index of the batch of each sample, of shape (n_samples,)."""
        return np.repeat(np.arange(self.n_batches, dtype=np.int64), self.batch_sizes)

    @cached_property
    def batch_correct(self) -> Ints:
        """Number of correct predictions in each batch, of shape (n_batches,)."""
        return self.sum_per_batch(self.correct)

    @cached_property
    def batch_accuracies(self) -> Floats:
        """Accuracy of each batch, of shape (n_batches,)."""
        return rates(self.batch_correct, self.batch_sizes)

    def sum_per_batch(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Sum values of the samples over each batch."""
        return np.asarray(np.add.reduceat(values, self.batch_starts, axis=0))

    def class_counts(self, classes: Ints, weights: Ints | None = None) -> Ints:
        """Count the samples, or sum their weights, of each class: (n_classes,)."""
        return np.bincount(classes, weights, self.n_classes).astype(np.int64)

    def class_counts_per_batch(self, classes: Ints, weights: Ints | None = None) -> Ints:
        """Count the samples, or sum their weights, of each class in each batch: (n_batches, n_classes)."""
        cells = np.bincount(self.batch_of * self.n_classes + classes, weights, self.n_batches * self.n_classes)
        return cells.reshape(self.n_batches, self.n_classes).astype(np.int64)


def float32_mean(parts: Floats) -> float:
    """Average in float32, with a rounding after each addition, as a loop with a float32 tensor does."""
    return float(np.add.accumulate(parts.astype(np.float32))[-1]) / len(parts)


def batch_means(batch_values: Floats) -> tuple[float, float]:
    """Average over the batches, in float64 and in float32."""
    return float(batch_values.mean()), float32_mean(batch_values)
