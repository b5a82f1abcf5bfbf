"""Samples with targets and weights, to train on or to measure an accuracy on."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from sktorch_acc.data.rows import Rows, as_tensor


@dataclass(frozen=True)
class Examples:
    """Samples with their targets.

    Parameters
    ----------
    rows : Rows
        Features of the samples.
    targets : Tensor of shape (n_samples,), int64
        Class indices.
    n_classes : int
        Number of classes.
    weights : Tensor of shape (n_samples,) or None
        Weight of each sample in the loss; None if all are equal. Accuracies are not weighted.
    """

    rows: Rows
    targets: torch.Tensor
    n_classes: int
    weights: torch.Tensor | None = None

    @classmethod
    def of(
        cls,
        rows: Rows,
        targets: npt.NDArray[np.int64],
        n_classes: int,
        weights: npt.NDArray[np.float64] | None = None,
    ) -> Examples:
        """Return samples from arrays in main memory."""
        return cls(rows, as_tensor(targets), n_classes, None if weights is None else as_tensor(weights))

    def __len__(self) -> int:
        return self.targets.shape[0]

    @functools.cached_property
    def support(self) -> npt.NDArray[np.int64]:
        """Number of samples of each class, int64 of shape (n_classes,)."""
        counts = np.bincount(self.targets.cpu().numpy(), minlength=self.n_classes)
        return counts.astype(np.int64, copy=False)

    def take(self, chosen: npt.NDArray[np.int64]) -> Examples:
        """Return the samples at the positions `chosen`."""
        where = torch.from_numpy(chosen).to(self.targets.device)
        weights = None if self.weights is None else self.weights[where]
        return replace(self, rows=self.rows.take(chosen), targets=self.targets[where], weights=weights)

    def with_weight(self) -> Examples:
        """Return the samples whose weight is not 0."""
        if self.weights is None or bool((self.weights != 0).all()):
            return self
        return self.take(np.flatnonzero(self.weights.cpu().numpy()))

    def weighing(self, weights: torch.Tensor | None) -> Examples:
        """Return the same samples with other weights."""
        return self if weights is self.weights else replace(self, weights=weights)

    def on(self, device: torch.device, dtype: torch.dtype) -> Examples:
        """Return the same samples on a device, for a module that computes in `dtype`."""
        weights = None if self.weights is None else self.weights.to(device, dtype)
        rows = self.rows.on(device, dtype).resident()
        return replace(self, rows=rows, targets=self.targets.to(device), weights=weights)
