"""One call of `fit` or `partial_fit`: what was planned, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

from sktorch_acc.data import Rows
from sktorch_acc.engine.history import EpochRow
from sktorch_acc.engine.interrupts import Interrupts
from sktorch_acc.engine.loss import Loss
from sktorch_acc.engine.schedules import Schedule
from sktorch_acc.engine.steps import StepContext
from sktorch_acc.engine.stopping import EarlyStopping, Snapshot

__all__ = ["EpochListener", "HeldRows", "Plan", "Run", "epoch_seeds"]

_GOLDEN = 0x9E3779B97F4A7C15  # spreads consecutive epochs over the seeds


def epoch_seeds(seed: int, epoch: int) -> tuple[int, int, int, int]:
    """Return the seeds of an epoch: torch, numpy, Python, order of the rows. Epoch 0 builds the module."""
    mixed = (seed + epoch * _GOLDEN) % 2**64
    return mixed % 2**63, mixed % 2**32, mixed >> 1, (mixed ^ _GOLDEN) % 2**63


class EpochListener(Protocol):
    """Who wants to know of epochs, after skorch's callbacks."""

    def begin_epoch(self, epoch: int) -> None:
        """Hear that the first step of an epoch is next."""

    def end_epoch(self, row: EpochRow) -> bool:
        """Hear that the epoch is recorded; a true answer stops the fit."""


@dataclass
class HeldRows:
    """Rows to look at after an epoch: the fitted rows, or the hold-out.

    Parameters
    ----------
    rows : Rows
        Features, in the order in which they were given.
    indices : Tensor of shape (n_rows,), int64
        Class indices, on the device.
    support : ndarray of shape (n_classes,), int64
        Rows of each class.
    weights : Tensor of shape (n_rows,) or None
        For the loss alone; accuracies are counts.
    dataset : object
        The skorch dataset that callbacks get; made only if there are callbacks.
    """

    rows: Rows
    indices: torch.Tensor
    support: npt.NDArray[np.int64]
    weights: torch.Tensor | None = None
    dataset: Any = None


@dataclass(frozen=True)
class Plan:
    """What the epochs need.

    Parameters
    ----------
    context : StepContext
        What a step needs.
    fitted, valid : HeldRows
        The fitted rows and the hold-out (or None).
    objective : Loss
        The loss.
    train_accuracy : {"exact", "running"} or None
        What to record.
    seed : int
        Every epoch's randomness is a function of the seed and the epoch's number, so that continuing a
        fit is the same as not having stopped.
    first_epoch, n_epochs : int
        Number of the first epoch (from 1), and how many to run.
    labels : ndarray of shape (n_classes,)
        For the names of per-class columns.
    monitor : str
        Column of `history_` that early stopping and ``"plateau"`` follow.
    stopping : EarlyStopping or None
        Early stopping.
    schedule : Schedule or None
        Learning-rate schedule.
    kept : ndarray of int64 or None
        Which of the rows given are the fitted rows; None: all.
    """

    context: StepContext
    fitted: HeldRows
    valid: HeldRows | None
    objective: Loss
    train_accuracy: Literal["exact", "running"] | None
    seed: int
    first_epoch: int
    n_epochs: int
    labels: npt.NDArray[Any]
    monitor: str
    stopping: EarlyStopping | None
    schedule: Schedule | None
    kept: npt.NDArray[np.int64] | None


@dataclass
class Run:
    """A plan that is being carried out: who listens, and what the epochs left so far.

    Parameters
    ----------
    plan : Plan
        What the epochs need.
    fingerprints : dict of int to bytes or None
        Digest of each epoch's weights, if callbacks might bring some back.
    listeners : list of EpochListener
        Told of every epoch.
    interrupts : Interrupts
        Ctrl-C, told apart from a callback's stop.
    stop_requested : bool
        Whether a callback asked to stop.
    rows : list of EpochRow
        The record of each complete epoch.
    best_epoch : int
        The epoch whose weights the net holds, or will hold in the end.
    held, best : Snapshot or None
        Weights of the last complete epoch; with early stopping, of the best one.
    """

    plan: Plan
    fingerprints: dict[int, bytes] | None
    listeners: list[EpochListener] = field(default_factory=list)
    interrupts: Interrupts = field(default_factory=Interrupts)
    stop_requested: bool = False
    rows: list[EpochRow] = field(default_factory=list)
    best_epoch: int = 0
    held: Snapshot | None = None
    best: Snapshot | None = None
