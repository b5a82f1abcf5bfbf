"""Observers of a fit, and the function that calls their hooks."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from typing import Any, ClassVar

import torch

from sktorch_acc._global_state import guarded_generators
from sktorch_acc.engine.history import EpochRow


class Observer:
    """Base of the observers of a fit. Every hook gets the `Fit`; a hook that is not overridden costs nothing.

    Attributes
    ----------
    foreign : bool
        Whether hooks run code of the user or of another library, which may draw random numbers.
    """

    foreign: ClassVar[bool] = True

    def fit_begin(self, fit: Any) -> None:
        """Run when everything is prepared, before the first step."""

    def epoch_begin(self, fit: Any, epoch: int) -> None:
        """Run before the first step of an epoch."""

    def epoch_recorded(self, fit: Any, row: EpochRow) -> None:
        """Run when an epoch is recorded. Ctrl-C is delayed meanwhile: run no code of others here."""

    def epoch_end(self, fit: Any, row: EpochRow) -> bool:
        """Run at the end of an epoch; return True to stop the fit."""
        return False

    def fit_end(self, fit: Any) -> list[int]:
        """Run after the last epoch; return the epochs whose weights were restored, if any."""
        return []

    def result(self, fit: Any) -> None:
        """Run when `state.best_epoch` is final, before the estimator is fitted; an error makes the fit fail."""

    def published(self, fit: Any) -> None:
        """Run when the estimator is fitted."""


class BatchObserver(Observer):
    """Observer of the batches too, while `hears_batches` is true."""

    @property
    def hears_batches(self) -> bool:
        """Whether the hooks of batches are needed; without them a fit is faster."""
        return True

    def batch_begin(self, fit: Any, batch: Any, training: bool) -> None:
        """Run before a batch."""

    def gradients(self, fit: Any, batch: Any) -> None:
        """Run when the gradients of a step are computed, before the step."""

    def batch_end(self, fit: Any, batch: Any, outcome: tuple[torch.Tensor, torch.Tensor], training: bool) -> None:
        """Run after a batch, with its loss and its output."""


_REVERSED = ("fit_begin", "epoch_begin")  # the observer that begins last ends first
_OF_BATCHES = ("batch_begin", "gradients", "batch_end")


def tell(fit: Any, hook: str, *args: Any) -> list[Any]:
    """Call a hook of every observer that overrides it; return what they return.

    Gradients are enabled. During foreign code Ctrl-C takes effect, and the random generators are restored after it:
    what an observer draws changes nothing.
    """
    hearers, foreign = [], False
    for observer in batch_observers(fit) if hook in _OF_BATCHES else fit.observers:
        if _has_hook(type(observer), hook):  # type: ignore[arg-type]
            hearers.append(observer)
            foreign |= observer.foreign
    if not hearers:
        return []
    if hook in _REVERSED:
        hearers.reverse()
    if not foreign:
        with torch.enable_grad():
            return [getattr(observer, hook)(fit, *args) for observer in hearers]
    interruptible = nullcontext() if hook == "epoch_recorded" else fit.interrupts.interruptible()
    with torch.enable_grad(), guarded_generators(fit.state.model.device), interruptible:
        return [getattr(observer, hook)(fit, *args) for observer in hearers]


def batch_observers(fit: Any) -> list[Any]:
    """Return the observers whose hooks of batches are needed."""
    return [observer for observer in fit.observers if getattr(observer, "hears_batches", False)]


@functools.lru_cache(maxsize=64)
def _has_hook(cls: Any, hook: str) -> bool:
    return getattr(cls, hook) is not getattr(BatchObserver, hook)
