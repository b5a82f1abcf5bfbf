"""Learning-rate schedules: torch's classes, and three names filled from the estimator's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import lr_scheduler as torch_schedules

from sktorch_acc._params import check_names

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

_MOVED = ("lr", "momentum", "betas")  # OneCycleLR and CyclicLR move the momentum against the rate


@dataclass(frozen=True)
class Schedule:
    """A scheduler of torch, and when it steps: after each step, or after each epoch.

    Parameters
    ----------
    before : list of dict
        What schedules move, of each parameter group before this one moved it.
    """

    scheduler: Any
    per_step: bool
    wants_metric: bool
    before: list[dict[str, Any]]

    def end_epoch(self, metric: float) -> None:
        """Step at an epoch's end; `metric` is the monitored value (ReduceLROnPlateau alone reads it)."""
        if self.wants_metric:
            self.scheduler.step(metric)
        elif not self.per_step:
            self.scheduler.step()

    def undo(self) -> None:
        """Put the learning rates back: the schedule of the next fit starts anew, also with warm_start."""
        groups = self.scheduler.optimizer.param_groups
        for group, before in zip(groups, self.before, strict=False):  # a callback may have added groups
            group.update(before)
            group.pop("initial_lr", None)


@dataclass(frozen=True)
class ScheduleFacts:
    """What the names of schedules are filled from.

    Parameters
    ----------
    lr : float
        Learning rate.
    max_epochs, n_steps : int
        Epochs of the fit, and steps in an epoch.
    maximise : bool
        Whether the monitored value is better when larger (``"plateau"``).
    """

    lr: float
    max_epochs: int
    n_steps: int
    maximise: bool


def build_schedule(
    spec: Any, given: Mapping[str, Any], optimizer: torch.optim.Optimizer, facts: ScheduleFacts
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
    facts : ScheduleFacts
        What the names are filled from.
    """
    if spec is None:
        if given:
            raise ValueError(f"lr_scheduler__{next(iter(given))} was set, but lr_scheduler is None.")
        return None
    cls = _NAMED[spec] if isinstance(spec, str) else spec
    check_names(given, cls, "lr_scheduler", exclude=("self", "optimizer"))
    arguments = {**_filled(spec, given, facts), **_cycled(spec, cls, given, optimizer), **given}
    before = [{name: group[name] for name in _MOVED if name in group} for group in optimizer.param_groups]
    try:
        scheduler = cls(optimizer, **arguments)
    except TypeError as err:
        raise TypeError(
            f"lr_scheduler={getattr(cls, '__name__', cls)} cannot be built from {sorted(arguments)}: "
            f"{err}. Set the missing ones as lr_scheduler__<name>=..."
        ) from err
    per_step = isinstance(scheduler, _PER_STEP)
    plateau = isinstance(scheduler, torch_schedules.ReduceLROnPlateau)
    return Schedule(scheduler, per_step, plateau, before)


def _cycled(spec: Any, cls: Any, given: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return what keeps a schedule from moving a momentum that the optimizer does not have.

    torch refuses an optimizer without the parameter, and switches the momentum on where it is 0. By name, neither is
    wanted; a class of torch is only helped where it would be refused.
    """
    cycles = isinstance(cls, type) and issubclass(cls, (torch_schedules.OneCycleLR, torch_schedules.CyclicLR))
    if not cycles or {"cycle_momentum", "base_momentum", "max_momentum"} & set(given):
        return {}
    defaults, groups = optimizer.defaults, optimizer.param_groups
    has_none = "momentum" not in defaults and "betas" not in defaults
    unused = "betas" not in defaults and not any(group.get("momentum") for group in groups)
    return {"cycle_momentum": False} if has_none or (unused and isinstance(spec, str)) else {}


def _filled(spec: Any, given: Mapping[str, Any], facts: ScheduleFacts) -> dict[str, Any]:
    """Return the arguments that are filled in where they were not given."""
    if spec == "cosine":
        return {"T_max": facts.max_epochs}
    if spec == "onecycle":
        own_length = {"epochs", "steps_per_epoch"} & set(given)
        return {"max_lr": facts.lr} | ({} if own_length else {"total_steps": facts.max_epochs * facts.n_steps})
    is_plateau = isinstance(spec, type) and issubclass(spec, torch_schedules.ReduceLROnPlateau)
    return {"mode": "max" if facts.maximise else "min"} if spec == "plateau" or is_plateau else {}
