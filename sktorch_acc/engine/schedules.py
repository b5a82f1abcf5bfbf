"""Learning-rate schedules: torch's classes, and three names filled from the estimator's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import lr_scheduler as torch_schedules

from sktorch_acc._params import check_names

__all__ = ["Schedule", "build_schedule", "end_schedule"]

_PER_STEP = (
    torch_schedules.OneCycleLR,
    torch_schedules.CyclicLR,
    torch_schedules.CosineAnnealingWarmRestarts,
)
_NAMED: dict[str, type] = {
    "cosine": torch_schedules.CosineAnnealingLR,
    "onecycle": torch_schedules.OneCycleLR,
    "plateau": torch_schedules.ReduceLROnPlateau,
}
_UNSCHEDULED = "unscheduled_lr"  # key of a parameter group: its rate before a schedule moved it


@dataclass
class Schedule:
    """A scheduler of torch, and when it steps: after each step, or after each epoch."""

    scheduler: Any
    per_step: bool
    wants_metric: bool

    def end_epoch(self, metric: float) -> None:
        """Step at an epoch's end; `metric` is the monitored figure (ReduceLROnPlateau alone reads it)."""
        if self.wants_metric:
            self.scheduler.step(metric)
        elif not self.per_step:
            self.scheduler.step()


def build_schedule(
    spec: Any,
    given: Mapping[str, Any],
    optimizer: torch.optim.Optimizer,
    *,
    lr: float,
    max_epochs: int,
    n_steps: int,
    maximise: bool,
) -> Schedule | None:
    """Return the schedule for one fit; None for None.

    Parameters
    ----------
    spec : None, str or class
        The constructor's `lr_scheduler`.
    given : mapping
        Parameters under ``lr_scheduler__``; they win over what the names fill in.
    optimizer : Optimizer
        Its learning rate is what is scheduled.
    lr, max_epochs, n_steps : float, int, int
        Learning rate, epochs of this fit, steps in an epoch.
    maximise : bool
        Whether the monitored figure is better when larger (``"plateau"``).
    """
    end_schedule(optimizer)
    if spec is None:
        if given:
            raise ValueError(f"lr_scheduler__{next(iter(given))} was set, but lr_scheduler is None.")
        return None
    filled: dict[str, Any] = {}
    cls = spec
    if isinstance(spec, str):
        cls = _NAMED[spec]
        fillings: dict[str, dict[str, Any]] = {
            "cosine": {"T_max": max_epochs},
            "onecycle": {"max_lr": lr, "total_steps": max_epochs * n_steps},
            "plateau": {"mode": "max" if maximise else "min"},
        }
        filled = fillings[spec]
        if spec == "onecycle" and {"epochs", "steps_per_epoch"} & set(given):
            filled.pop("total_steps")
    elif isinstance(cls, type) and issubclass(cls, torch_schedules.ReduceLROnPlateau):
        filled = {"mode": "max" if maximise else "min"}
    check_names(given, cls, "lr_scheduler", exclude=("self", "optimizer"))
    rates = [group["lr"] for group in optimizer.param_groups]
    try:
        scheduler = cls(optimizer, **{**filled, **given})
    except TypeError as err:
        raise TypeError(
            f"lr_scheduler={getattr(cls, '__name__', cls)} cannot be built from {sorted({**filled, **given})}: "
            f"{err}. Set the missing ones as lr_scheduler__<name>=..."
        ) from err
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group[_UNSCHEDULED] = rate
    per_step = isinstance(scheduler, _PER_STEP)
    plateau = isinstance(scheduler, torch_schedules.ReduceLROnPlateau)
    return Schedule(scheduler, per_step, plateau)


def end_schedule(optimizer: torch.optim.Optimizer) -> None:
    """Undo what a schedule did to the learning rates: each fit's starts anew, also with warm_start."""
    for group in optimizer.param_groups:
        group["lr"] = group.pop(_UNSCHEDULED, group["lr"])
        group.pop("initial_lr", None)
