"""Who hears of a fit, and the one function that tells them."""

from __future__ import annotations

import functools
from contextlib import nullcontext
from typing import Any, ClassVar

import torch

from sktorch_acc._global_state import guarded_generators
from sktorch_acc.engine.history import EpochRow

__all__ = ["BatchObserver", "Observer", "batch_observers", "tell"]


class Observer:
    """Hears of the stages of a fit; `fit` is the `Fit` that is carried out.

    A hook that is not overridden costs nothing.

    Attributes
    ----------
    foreign : bool
        Whether hooks run code that is not this library's, which may draw from the generators.
    """

    foreign: ClassVar[bool] = True

    def fit_begin(self, fit: Any) -> None:
        """Hear that everything is prepared and no step is taken yet."""

    def epoch_begin(self, fit: Any, epoch: int) -> None:
        """Hear that the first step of an epoch is next."""

    def epoch_recorded(self, fit: Any, row: EpochRow) -> None:
        """Hear that an epoch counts now; a Ctrl-C waits until this returns, so nobody else's code may run here."""

    def epoch_end(self, fit: Any, row: EpochRow) -> bool:
        """Hear that an epoch is over; a true answer stops the fit."""
        return False

    def fit_end(self, fit: Any) -> list[int]:
        """Hear that the epochs are over; return the epochs whose weights were brought back, if any."""
        return []

    def result(self, fit: Any) -> None:
        """Hear which epoch's weights are held, before the estimator gets them; an error makes the fit fail."""

    def published(self, fit: Any) -> None:
        """Hear that the estimator is fitted."""


class BatchObserver(Observer):
    """Hears of every batch too, while `hears_batches` is true."""

    @property
    def hears_batches(self) -> bool:
        """Whether there is anything to tell: without, a fit keeps its fast path."""
        return True

    def batch_begin(self, fit: Any, batch: Any, training: bool) -> None:
        """Hear that a batch is next."""

    def gradients(self, fit: Any, batch: Any) -> None:
        """Hear that the gradients of a step are there."""

    def batch_end(self, fit: Any, batch: Any, outcome: tuple[torch.Tensor, torch.Tensor], training: bool) -> None:
        """Hear the loss and the output of a batch."""


_REVERSED = ("fit_begin", "epoch_begin")  # what begins last ends first
_OF_BATCHES = ("batch_begin", "gradients", "batch_end")


def tell(fit: Any, hook: str, *args: Any) -> list[Any]:
    """Call a hook of every observer that has it; return the answers.

    Gradients are on, and the generators are put back afterwards: whatever an observer draws changes nothing.
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
    with guarded_generators(fit.state.model.device) if foreign else nullcontext(), torch.enable_grad():
        return [getattr(observer, hook)(fit, *args) for observer in hearers]


def batch_observers(fit: Any) -> list[Any]:
    """Return the observers that want to hear of batches."""
    return [observer for observer in fit.observers if getattr(observer, "hears_batches", False)]


@functools.lru_cache(maxsize=64)
def _has_hook(cls: Any, hook: str) -> bool:
    return getattr(cls, hook) is not getattr(BatchObserver, hook)
