"""`audit_loop`: monitor a training loop while it runs, and report the problems that show only then."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import nn

from sktorch_acc._text import class_name
from sktorch_acc.checks.evaluation import check_kept_graphs
from sktorch_acc.checks.learning import check_optimizer, check_stale_gradients, check_steps_taken
from sktorch_acc.doctor.audit.hooks import Hooks
from sktorch_acc.doctor.audit.metering import MetricMonitor
from sktorch_acc.doctor.audit.monitor import LoopMonitor
from sktorch_acc.doctor.audit.reported import check_reported
from sktorch_acc.doctor.diagnosis.subject import refuse_lazy
from sktorch_acc.findings import Diagnosis, Finding, errors_first


def audit_loop(model: Any, optimizer: Any, *, criterion: Any = None, metric: Any = None) -> LoopAudit:
    """Monitor a training loop while it runs, and report its problems afterwards.

    For use in a ``with`` statement around the loop, which needs no other change. It reports gradients that
    are not cleared (F6), steps in evaluation mode (E4), graphs that are kept (E9), a metric that is never
    reset (A6) or that guesses whether it is given logits (A12), accuracies over earlier epochs (A6), on
    batches just fitted (E3), with changing weights (E2) or averaged over batches (A1), and steps that
    change nothing (F2).

    Parameters
    ----------
    model : nn.Module
        The module that the loop calls.
    optimizer : torch.optim.Optimizer
        The optimizer of its parameters. With several optimizers, use one audit for each.
    criterion : nn.Module, callable or None, default=None
        The loss. For CrossEntropyLoss, NLLLoss, BCEWithLogitsLoss and BCELoss the audit counts correct
        predictions and compares the accuracies given to `LoopAudit.epoch` with these counts. With another
        loss, a function or None it does not; everything else works.
    metric : object or None, default=None
        The metric object of the loop, with `update`, `compute` and `reset`: an `AccuracyCounter`, one of
        torchmetrics, or your own. A copy of it computes the accuracy of some single batches.

    Returns
    -------
    audit : LoopAudit
        A context manager, for one use, with `epoch` and `diagnosis`.

    Raises
    ------
    TypeError
        If `model` is not an nn.Module, `optimizer` is not a torch optimizer or did not call
        ``super().__init__()``, `criterion` is not callable, `metric` lacks one of the three methods, or a
        module is scripted.
    ValueError
        If the module has uninitialized lazy layers.

    See Also
    --------
    diagnose : Report problems of a module, its loss and its data.
    explain_accuracy : Find the wrong formula behind a printed accuracy.

    Notes
    -----
    Weights, gradients, generators and the state of the optimizer are bit-identical to a loop without the
    audit. All hooks are removed after the block, also if it raises. The audit keeps counts and the last batch.
    It costs about one argmax per batch and two hook calls for each of at most 32 parameters. Hooks do nothing
    under ``torch.compile``, so compiled code is unchanged and not monitored; ``torch.jit.script(model)`` fails
    inside the block.

    Examples
    --------
    A loop that never clears its gradients:

    >>> import torch
    >>> from sktorch_acc import audit_loop
    >>> X, y = torch.eye(6).repeat(5, 1), torch.arange(30) % 3
    >>> model, criterion = torch.nn.Linear(6, 3), torch.nn.CrossEntropyLoss()
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with audit_loop(model, optimizer, criterion=criterion) as audit:
    ...     for batch in torch.arange(30).split(10):
    ...         criterion(model(X[batch]), y[batch]).backward()
    ...         optimizer.step()
    >>> audit.diagnosis.codes
    ['ACC-F6']
    >>> print(audit.diagnosis.findings[0].advice)
    Call optimizer.zero_grad() before loss.backward(), once for each step.
    """
    return LoopAudit(model, optimizer, criterion=criterion, metric=metric)


class LoopAudit:
    """What `audit_loop` returns: a context manager that monitors a loop.

    Parameters
    ----------
    model, optimizer, criterion, metric : object
        As in `audit_loop`.

    Attributes
    ----------
    diagnosis : Diagnosis
        What was found so far; after the block, the final result.

    Examples
    --------
    >>> import torch
    >>> from sktorch_acc import audit_loop
    >>> model = torch.nn.Linear(2, 2)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with audit_loop(model, optimizer) as audit:
    ...     audit.epoch(0.5)
    >>> audit.diagnosis
    Diagnosis of Linear in a loop of 1 epoch, 0 steps: nothing found.
    """

    def __init__(self, model: Any, optimizer: Any, *, criterion: Any = None, metric: Any = None) -> None:
        _refuse(model, optimizer, criterion)
        self._given: tuple[Any, ...] | None = (model, optimizer, criterion)
        self._name = type(model).__name__
        self._metric = None if metric is None else MetricMonitor(metric)
        self._hooks = Hooks()
        self._monitor: LoopMonitor | None = None
        self._with_graph = False
        self._at_end: Finding | None = None
        self._final: Diagnosis | None = None

    def __enter__(self) -> LoopAudit:
        if self._given is None or self._monitor is not None:
            raise RuntimeError("This audit was used before: call audit_loop(...) again for each loop.")
        try:
            model, optimizer, criterion = self._given
            self._monitor = LoopMonitor(model, optimizer, criterion, self._hooks)
            if self._metric is not None:
                self._metric.wrap()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        assert self._monitor is not None
        assert self._given is not None
        model, optimizer, _ = self._given
        try:
            self._hooks.guard(self._end, self._monitor, model, optimizer, err is None)
        finally:
            self._stop()

    def epoch(self, accuracy: Any = None) -> None:
        """Mark the end of an epoch, and pass the accuracy that the loop reports for it.

        Call it once for each epoch, at its end.

        Parameters
        ----------
        accuracy : float, 0-d tensor or array, or None, default=None
            As a fraction or in percent, not rounded if possible.

        Raises
        ------
        RuntimeError
            Outside of the ``with`` block.
        TypeError
            If `accuracy` is not a number.
        ValueError
            If it is NaN, infinite or negative.
        """
        if self._monitor is None:
            raise RuntimeError("Call epoch() inside the block: with audit_loop(...) as audit: ... audit.epoch(...)")
        number = _as_number(accuracy)
        self._with_graph |= isinstance(accuracy, torch.Tensor) and accuracy.requires_grad
        self._hooks.guard(self._monitor.end_epoch, number)
        if self._metric is not None:
            self._metric.end_epoch()

    @property
    def diagnosis(self) -> Diagnosis:
        """What was found.

        Returns
        -------
        diagnosis : Diagnosis
            With `findings`, `codes` and `to_frame`.

        Raises
        ------
        RuntimeError
            If the block was not entered yet, or the audit failed, which does not affect the loop.
        """
        if self._hooks.error is not None:
            raise RuntimeError("The audit failed; the loop ran as without it.") from self._hooks.error
        found = self._final if self._monitor is None else self._diagnosis(self._monitor)
        if found is None:
            raise RuntimeError("Nothing was monitored yet: put the loop inside `with audit_loop(...) as audit:`.")
        return found

    def _diagnosis(self, monitor: LoopMonitor) -> Diagnosis:
        found = [
            check_reported(monitor.epochs),
            check_stale_gradients(monitor.gradients.stale_steps, monitor.gradients.steps),
            monitor.modes.check(),
            check_kept_graphs(monitor.graphs.kept, monitor.graphs.made, self._with_graph),
            *([] if self._metric is None else self._metric.checks()),
            self._at_end,
        ]
        by_code = {finding.code: finding for finding in found if finding is not None}
        epochs, steps = _counted(monitor.n_epochs, "epoch"), _counted(monitor.gradients.steps, "step")
        return Diagnosis(errors_first(by_code.values()), f"{self._name} in a loop of {epochs}, {steps}")

    def _end(self, monitor: LoopMonitor, model: nn.Module, optimizer: torch.optim.Optimizer, finished: bool) -> None:
        """Make the final diagnosis, and check whether anything was trained while module and optimizer are there.

        An optimizer over a part of the module and something else, such as a temperature, is correct if that
        part is trained. Missing steps are not reported of a loop that raised.
        """
        gradients = monitor.gradients
        monitor.graphs.count_unused()
        if gradients.steps and not gradients.may_train(model.parameters()):
            self._at_end = check_optimizer(model, optimizer)
        if self._at_end is None and finished:
            self._at_end = check_steps_taken(gradients.backwards, gradients.steps, not gradients.nothing_changed())
        if finished and monitor.began:
            monitor.end_epoch(None)
        self._final = self._diagnosis(monitor)

    def _stop(self) -> None:
        """Remove all hooks, and drop all references to the loop's objects."""
        self._hooks.remove()
        if self._metric is not None:
            self._metric.unwrap()
        self._given = self._monitor = None


def _refuse(model: Any, optimizer: Any, criterion: Any) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be the nn.Module that the loop calls, but got a {type(model).__name__}.")
    refuse_lazy(model)
    if isinstance(model, torch.jit.ScriptModule) or isinstance(criterion, torch.jit.ScriptModule):
        raise TypeError("A scripted module takes no hooks: audit the loop with the module before torch.jit.script.")
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            "optimizer must be a torch.optim.Optimizer, such as Adam(model.parameters()), but got "
            f"{class_name(optimizer)}."
        )
    if not hasattr(optimizer, "param_groups") or not hasattr(optimizer, "_optimizer_step_pre_hooks"):
        raise TypeError(
            f"optimizer takes no hooks: {type(optimizer).__name__} did not call super().__init__(params, defaults). "
            "Call it in its __init__, or audit the loop with the optimizer that it wraps."
        )
    if criterion is not None and (isinstance(criterion, type) or not callable(criterion)):
        raise TypeError(
            f"criterion must be a loss, such as nn.CrossEntropyLoss(), or None, but got {class_name(criterion)}."
        )


def _as_number(accuracy: Any) -> float | None:
    """Return the accuracy of an epoch as a number."""
    if accuracy is None:
        return None
    value = accuracy
    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)) and value.ndim == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        shape = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
        raise TypeError(
            f"The accuracy of an epoch must be a number, a 0-d tensor or None, but got a {type(value).__name__}{shape}."
        )
    if not math.isfinite(value) or value < 0:
        raise ValueError(
            f"The accuracy of an epoch must be a finite number of at least 0. Got {value!r}. NaN may come from 0 / 0, "
            "without any samples."
        )
    return float(value)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
