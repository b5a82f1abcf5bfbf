"""Exact counts of correct predictions, overall and per class, for any training loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sktorch_acc._global_state import without_inference_mode
from sktorch_acc._rates import rates
from sktorch_acc.exceptions import InputError

__all__ = ["AccuracyCounter", "host_counts"]


class AccuracyCounter:
    """Count correct predictions batch by batch, on the device, and divide once at the end.

    Counts are int64, so the accuracy does not depend on the batch sizes or the order of batches, and
    the counts do not saturate. `update` does not synchronise with the device; `compute`, `per_class`
    and the attributes do.

    Parameters
    ----------
    n_classes : int
        Number of classes; class indices are 0 to ``n_classes - 1``.
    confusion : bool, default=False
        Whether to count every pair (true class, predicted class) too.
    device : torch.device, str or None, default=None
        Device of the counts; None: the device of the first targets.

    Attributes
    ----------
    correct : ndarray of shape (n_classes,), int64
        Samples of each class that were predicted correctly.
    support : ndarray of shape (n_classes,), int64
        Samples of each class.
    confusion : ndarray of shape (n_classes, n_classes), int64
        Samples of class i predicted as class j; only with ``confusion=True``.

    Notes
    -----
    The accuracy equals ``sklearn.metrics.accuracy_score`` of all samples with ``==``. A class without
    samples has accuracy NaN, not 0; a sample with a NaN score is counted as wrong.
    The cost of `update` is that of one argmax and one scatter.

    Examples
    --------
    >>> import torch
    >>> counter = AccuracyCounter(3)
    >>> counter.update(torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0]]), torch.tensor([0, 1]))
    >>> counter.update(torch.tensor([1]), torch.tensor([1]))
    >>> counter.compute()
    0.6666666666666666
    >>> counter.per_class()
    array([1. , 0.5, nan])
    """

    def __init__(self, n_classes: int, *, confusion: bool = False, device: torch.device | str | None = None) -> None:
        if isinstance(n_classes, bool) or not isinstance(n_classes, (int, np.integer)) or n_classes < 1:
            raise ValueError(f"n_classes must be an int in the range [1, inf). Got {n_classes!r} instead.")
        self.n_classes = int(n_classes)
        self._keep_confusion = bool(confusion)
        self._device = None if device is None else torch.device(device)
        self._counts: torch.Tensor | None = None

    def update(self, scores_or_classes: torch.Tensor, targets: torch.Tensor) -> None:
        """Count one batch.

        Parameters
        ----------
        scores_or_classes : Tensor of shape (n, n_classes) floating, or (n,) integer
            Scores, of which the class is the argmax over axis 1, or class indices.
        targets : Tensor of shape (n,), integer
            True class indices.

        Raises
        ------
        ValueError
            For any other shape or dtype, with the code to write instead. Targets outside
            ``[0, n_classes)`` are reported by `compute`, which synchronises with the device anyway.
        """
        predicted = self._classes(scores_or_classes)
        targets = self._targets(targets, len(predicted))
        if self._counts is None:
            self._counts = self._zeros(self._device or targets.device)
        # torch neither compares nor promotes most unsigned integers.
        predicted = predicted.detach().to(self._counts.device, torch.int64)
        targets = targets.detach().to(self._counts.device, torch.int64)
        rows = self._bins(predicted) if self._keep_confusion else (predicted == targets).to(torch.int64)
        flat = rows * (self.n_classes + 1) + self._bins(targets)
        self._counts.view(-1).scatter_add_(0, flat, torch.ones_like(flat))

    def compute(self) -> float:
        """Return the accuracy of all samples counted; NaN before the first.

        Raises
        ------
        ValueError
            If targets outside ``[0, n_classes)`` were counted.
        """
        self._check_targets()
        return float(rates(self.correct.sum(), self.support.sum()))

    def per_class(self) -> npt.NDArray[np.float64]:
        """Return the accuracy of each class, float64 of shape (n_classes,); NaN without samples.

        Raises
        ------
        ValueError
            If targets outside ``[0, n_classes)`` were counted.
        """
        self._check_targets()
        return rates(self.correct, self.support)

    @property
    def correct(self) -> npt.NDArray[np.int64]:
        """Samples of each class that were predicted correctly, int64 of shape (n_classes,)."""
        counts = self._host()
        hits = counts.diagonal() if self._keep_confusion else counts[1]
        return np.array(hits[: self.n_classes])

    @property
    def support(self) -> npt.NDArray[np.int64]:
        """Samples of each class, int64 of shape (n_classes,)."""
        return np.array(self._host().sum(axis=0)[: self.n_classes])

    @property
    def confusion(self) -> npt.NDArray[np.int64]:
        """Samples of class i predicted as class j, int64 of shape (n_classes, n_classes)."""
        if not self._keep_confusion:
            raise AttributeError(
                "The confusion matrix was not counted: use AccuracyCounter(n_classes, confusion=True)."
            )
        return np.array(self._host()[: self.n_classes, : self.n_classes].T)

    def merge(self, other: AccuracyCounter) -> AccuracyCounter:
        """Return a new counter with the counts of both; the order does not matter."""
        if other.n_classes != self.n_classes or other._keep_confusion != self._keep_confusion:
            raise ValueError(
                f"Counters of {self.n_classes} and {other.n_classes} classes, with confusion={self._keep_confusion} "
                f"and {other._keep_confusion}, cannot be merged: both must be equal."
            )
        merged = AccuracyCounter(self.n_classes, confusion=self._keep_confusion, device=self._device)
        parts = [counts for counts in (self._counts, other._counts) if counts is not None]
        if parts:
            merged._counts = torch.stack([part.to(parts[0].device) for part in parts]).sum(dim=0)
        return merged

    def reset(self) -> None:
        """Set all counts to 0, as at the start of an epoch."""
        if self._counts is not None:
            self._counts.zero_()

    def __repr__(self) -> str:
        return f"AccuracyCounter(n_classes={self.n_classes}, confusion={self._keep_confusion})"

    def _bins(self, classes: torch.Tensor) -> torch.Tensor:
        """Return classes with one bin past the end for those out of range: to check them would synchronise."""
        return torch.where((classes >= 0) & (classes < self.n_classes), classes, self.n_classes)

    def _zeros(self, device: torch.device) -> torch.Tensor:
        """Return counts by predicted class, or by wrong (0) and correct (1), and by target."""
        rows = self.n_classes + 1 if self._keep_confusion else 2
        with without_inference_mode():  # a counter first used in inference mode may be used outside of it later
            return torch.zeros((rows, self.n_classes + 1), dtype=torch.int64, device=device)

    def _counted(self) -> torch.Tensor:
        return self._zeros(torch.device("cpu")) if self._counts is None else self._counts

    def _host(self) -> npt.NDArray[np.int64]:
        return np.asarray(self._counted().cpu().numpy())

    def _check_targets(self) -> None:
        outside = int(self._host()[:, self.n_classes].sum())
        if outside:
            raise InputError(
                f"{outside} targets are outside [0, {self.n_classes}): targets must be class indices. "
                "Encode the labels, for example with np.unique(y, return_inverse=True)[1].",
                "ACC-D1",
            )

    def _classes(self, values: Any) -> torch.Tensor:
        if not isinstance(values, torch.Tensor):
            raise InputError(f"Scores or classes must be a torch.Tensor. Got {type(values).__name__} instead.")
        integer = not values.is_floating_point() and not values.is_complex() and values.dtype != torch.bool
        if values.ndim == 1 and integer:
            return values
        if values.ndim == 2 and values.is_floating_point() and values.shape[1] == self.n_classes > 1:
            highest, classes = values.max(dim=1)  # the first of equal ones, as argmax, in half the time
            return torch.where(highest.isnan(), -1, classes)  # the maximum with a NaN is NaN: no class
        raise self._refusal(values)

    def _refusal(self, values: torch.Tensor) -> InputError:
        shape, dtype = tuple(values.shape), str(values.dtype).removeprefix("torch.")
        start = (
            f"update takes floating scores of shape (n, {self.n_classes}) or integer classes of shape (n,), but "
            f"got {shape} {dtype}. "
        )
        if values.is_floating_point() and (values.ndim == 1 or shape[1:] == (1,)):
            advice, code = "For one logit per sample write update((z > 0).long().reshape(-1), targets)", "ACC-C6"
            return InputError(f"{start}{advice}; for one probability (p > 0.5).", code)
        if values.dtype == torch.bool:
            flat = ".reshape(-1)" if values.ndim > 1 else ""
            return InputError(f"{start}Write update(classes.long(){flat}, targets).")
        if values.ndim == 2 and shape[1] == 1:
            advice = "Write update(classes.reshape(-1), targets): (n, 1) compares all pairs of samples."
            return InputError(start + advice, "ACC-B1")
        if values.ndim == 3:
            advice = "For (n, members, classes) write update(z.softmax(-1).mean(1), targets)."
            return InputError(start + advice, "ACC-B5")
        return InputError(start + "Pass one score per class and sample, with the classes on axis 1.")

    def _targets(self, targets: Any, n: int) -> torch.Tensor:
        if not isinstance(targets, torch.Tensor):
            raise InputError(f"targets must be a torch.Tensor. Got {type(targets).__name__} instead.")
        integer = not targets.is_floating_point() and not targets.is_complex()
        if targets.ndim == 1 and integer and len(targets) == n:
            return targets
        shape, dtype = tuple(targets.shape), str(targets.dtype).removeprefix("torch.")
        start = f"targets must be {n} integer class indices of shape ({n},), but got {shape} {dtype}. "
        if shape == (n, 1):
            raise InputError(start + "Write targets.reshape(-1).", "ACC-B1")
        if targets.ndim == 2 and shape == (n, self.n_classes):
            raise InputError(start + "One-hot targets: write targets.argmax(dim=1).", "ACC-B3")
        if shape == (n,):
            raise InputError(start + "Write targets.long().")
        raise InputError(start + "Pass one target per sample.")


def host_counts(
    counted: dict[str, tuple[AccuracyCounter, npt.NDArray[np.int64]]],
) -> dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Return (correct, support) of counters of one size and device that have seen all samples of a known support.

    One copy to the host for all.
    """
    if not counted:
        return {}
    correct = torch.stack([counter._counted()[1, :-1] for counter, _ in counted.values()]).cpu().numpy()
    return {name: (correct[i], support) for i, (name, (_, support)) in enumerate(counted.items())}
