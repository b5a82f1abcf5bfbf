"""How far a training has come, and the value that stands for one call of `fit`."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sktorch_acc.data import Examples
from sktorch_acc.engine.device import resolve_device
from sktorch_acc.engine.history import EpochRow
from sktorch_acc.engine.interrupts import Interrupts
from sktorch_acc.engine.loss import Loss
from sktorch_acc.engine.model import Model
from sktorch_acc.engine.observer import Observer
from sktorch_acc.engine.rollback import Rollback
from sktorch_acc.engine.schedules import Schedule
from sktorch_acc.engine.settings import FitSettings
from sktorch_acc.engine.snapshot import Snapshot
from sktorch_acc.engine.stopping import EarlyStopping
from sktorch_acc.exceptions import AccuracyWarning
from sktorch_acc.findings import Finding
from sktorch_acc.outputs import OutputForm


@dataclass(eq=False)
class TrainingState:
    """A model that is trained, and how far its training has come: what `warm_start` and `partial_fit` continue.

    Parameters
    ----------
    model : Model
        The model; replaced when it moves to another device or a callback gives it another module.
    built_from : FitSettings
        The settings with which module, criterion, optimizer and callbacks were built.
    optimizer : Optimizer or None
        None where its state was not kept; a fit that continues then starts with a new one.
    seed : int
        Every epoch's randomness is a function of the seed and the epoch's number, so that continuing a
        fit is the same as not having stopped.
    lr : float
        The estimator's `lr` when the optimizer last took it.
    continued : bool
        Whether the optimizer's state will be needed again: after `partial_fit` or with `warm_start`.
    rows : list of EpochRow
        The record of every complete epoch.
    epoch : int
        Number of the last complete epoch.
    best_epoch : int
        The epoch whose weights the module holds, or will hold when the fit ends.
    fingerprints : dict of int to bytes
        Digest of the weights after each epoch, where an observer may bring some back.
    schedule, stopping : Schedule or None, EarlyStopping or None
        What the fit that runs follows; None between fits.
    last, best : Snapshot or None
        While a fit runs: weights of the last complete epoch and, with early stopping, of the best one.
    moved : Rollback or None
        While a fit runs whose optimizer will be needed again: what steps move besides the weights, as it was after
        the last complete epoch.
    running : bool
        Whether a fit runs.
    """

    model: Model
    built_from: FitSettings
    optimizer: Any
    seed: int
    lr: float
    continued: bool = False
    rows: list[EpochRow] = field(default_factory=list)
    epoch: int = 0
    best_epoch: int = 0
    fingerprints: dict[int, bytes] = field(default_factory=dict)
    schedule: Schedule | None = None
    stopping: EarlyStopping | None = None
    last: Snapshot | None = None
    best: Snapshot | None = None
    moved: Rollback | None = None
    running: bool = False

    def use(self, module: nn.Module | None = None, criterion: nn.Module | None = None) -> None:
        """Give the model another module or criterion."""
        if module is not None:
            self.model = replace(self.model, module=module)
        if criterion is not None:
            self.model = replace(self.model, criterion=criterion)

    def row_of(self, epoch: int) -> EpochRow | None:
        """Return the record of an epoch, if there is one."""
        return next((row for row in reversed(self.rows) if row.epoch == epoch), None)

    def snapshot(self) -> TrainingState:
        """Return a state around a copy of the model, which predicts as the model does now."""
        return replace(self, model=self.model.copy(), optimizer=None, rows=[*self.rows], **_BETWEEN_FITS)

    def keep_epoch(self) -> None:
        """Copy what a step moves, to be brought back by `return_to_last_epoch`."""
        module, criterion = self.model.module, self.model.criterion
        if self.last is None:
            self.last = Snapshot(module)
        else:
            self.last.take(module)
        if self.continued and self.moved is None:
            self.moved = Rollback(self.optimizer, criterion)
        elif self.moved is not None:
            self.moved.take(self.optimizer, criterion)

    def return_to_last_epoch(self) -> None:
        """Bring back weights and optimizer as they were after the last complete epoch, if there is one."""
        if self.last is not None:
            self.last.restore(self.model.module)
        if self.moved is not None:
            self.optimizer = self.moved.restore(self.model.criterion)

    def end_fit(self) -> None:
        """Delete what only a running fit needs, and undo the schedule."""
        if self.schedule is not None:
            self.schedule.undo()
        for name, value in _BETWEEN_FITS.items():
            setattr(self, name, value)

    def to(self, device: torch.device) -> None:
        """Move model and optimizer to a device; the optimizer goes on with the module's parameters."""
        modules = (self.model.module, self.model.criterion)
        before = [parameter for module in modules for parameter in module.parameters()]
        self.model = self.model.to(device)
        after = [parameter for module in modules for parameter in module.parameters()]
        if self.optimizer is not None:
            _move(self.optimizer, dict(zip(map(id, before), after, strict=True)), device)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with every tensor on the CPU, without what only a running fit needs."""
        state = {**self.__dict__, **_BETWEEN_FITS}
        if not (self.continued or self.running):
            state["optimizer"] = None
        if self.model.device.type != "cpu":
            # One deepcopy for all: the optimizer's parameters stay those of the module.
            model = self.model
            module, criterion, optimizer = copy.deepcopy((model.module, model.criterion, state["optimizer"]))
            moved = replace(self, model=replace(model, module=module, criterion=criterion), optimizer=optimizer)
            moved.to(torch.device("cpu"))
            state |= {"model": moved.model, "optimizer": moved.optimizer}
        return {**state, "device": str(self.model.device)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        device = torch.device(state["device"])
        self.__dict__.update({name: value for name, value in state.items() if name != "device"})
        _know_own_parameters(self.optimizer)
        if device.type != "cpu":
            self._return_to(device)

    def _return_to(self, device: torch.device) -> None:
        """Move to the device of training after unpickling, which leaves every tensor on the CPU."""
        try:
            self.to(resolve_device(device))
        except (RuntimeError, ValueError):
            warnings.warn(
                AccuracyWarning(
                    f"The model was on {str(device)!r}, which is not available here: it is on the CPU now. "
                    "Its predictions may differ in the last digits."
                ),
                stacklevel=2,
            )


_BETWEEN_FITS: dict[str, Any] = {
    **dict.fromkeys(("schedule", "stopping", "last", "best", "moved")),
    "running": False,
}


def _move(optimizer: torch.optim.Optimizer, new: dict[int, nn.Parameter], device: torch.device) -> None:
    """Move the state of an optimizer in place.

    On some devices torch makes new parameters instead of moving them; `new` has them by the id of the old ones.
    """
    for group in optimizer.param_groups:
        group["params"] = [new.get(id(p), p) for p in group["params"]]
    for parameter, values in list(optimizer.state.items()):
        del optimizer.state[parameter]
        optimizer.state[new.get(id(parameter), parameter)] = {n: _on(device, v) for n, v in values.items()}
    _know_own_parameters(optimizer)


def _on(device: torch.device, value: Any) -> Any:
    if isinstance(value, (list, tuple)):  # the history of LBFGS
        return type(value)([_on(device, item) for item in value])
    return value.to(device) if isinstance(value, torch.Tensor) else value


def _know_own_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Let LBFGS, which has a list of its own that torch does not pickle, move the parameters of its group."""
    if isinstance(optimizer, torch.optim.LBFGS):
        optimizer._params, optimizer._numel_cache = optimizer.param_groups[0]["params"], None


@dataclass(frozen=True, eq=False)
class FirstOutputs:
    """What is known of the outputs of a module before epoch 1.

    Parameters
    ----------
    training_form, evaluation_form : OutputForm
        Axes and columns in either mode: heads that help the training may be left out in evaluation.
    finding : Finding or None
        That the module is random in evaluation mode (E11), to be reported.
    samples : Tensor of shape (n, ...)
        Outputs of some samples in evaluation mode.
    """

    training_form: OutputForm
    evaluation_form: OutputForm
    finding: Finding | None
    samples: torch.Tensor


@dataclass(frozen=True, eq=False)
class Fit:
    """All there is to one call of `fit`.

    Parameters
    ----------
    settings : FitSettings
        The parameters.
    state : TrainingState
        The model, and how far its training has come.
    loss : Loss
        The loss of a batch.
    training : Examples
        The samples that are trained on: the fitted ones less those of weight 0.
    fitted, validation : Examples, Examples or None
        The fitted samples, and those to validate on.
    kept : ndarray of int64 or None
        Which of the samples given are the fitted ones; None: all.
    first_epoch : int
        Number of the first epoch.
    n_steps : int
        Optimizer updates in an epoch.
    elements_per_sample : int
        Values of features or of output per sample, whichever are more: how many samples are gathered at once.
    eval_layers : sequence of nn.Module
        Layers kept in evaluation mode: batch norm where every batch is one sample.
    first : FirstOutputs
        What the probe learned of the outputs.
    observers : sequence of Observer
        Who hears of the fit.
    interrupts : Interrupts
        Ctrl-C, told apart from an observer's request to stop.
    """

    settings: FitSettings
    state: TrainingState
    loss: Loss
    training: Examples
    fitted: Examples
    validation: Examples | None
    kept: npt.NDArray[np.int64] | None
    first_epoch: int
    n_steps: int
    elements_per_sample: int
    eval_layers: Sequence[nn.Module]
    first: FirstOutputs
    observers: Sequence[Observer]
    interrupts: Interrupts

    @property
    def model(self) -> Model:
        """The model that is trained."""
        return self.state.model

    @property
    def rows(self) -> list[EpochRow]:
        """The record of the epochs of this fit alone."""
        return [row for row in self.state.rows if row.epoch >= self.first_epoch]

    @property
    def monitor(self) -> str:
        """Column of `history_` that early stopping and ``"plateau"`` follow; without validation the training loss."""
        name = self.settings.monitor
        return "train_loss" if self.validation is None and name.startswith("valid_") else name
