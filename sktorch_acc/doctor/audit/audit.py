"""`audit_loop`: watch a loop of one's own while it runs, and name what only then can be seen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import nn

from sktorch_acc.checks.counting import check_metric_reset, check_readings
from sktorch_acc.checks.evaluation import check_kept_graphs, check_left_in_evaluation
from sktorch_acc.checks.learning import check_optimizer, check_stale_gradients, check_steps_taken
from sktorch_acc.doctor.audit.figures import of_the_figures
from sktorch_acc.doctor.audit.hooks import Hooks
from sktorch_acc.doctor.audit.metering import MetricWatch
from sktorch_acc.doctor.audit.watching import Watcher
from sktorch_acc.doctor.diagnosis.subject import refuse_lazy
from sktorch_acc.findings import Diagnosis, Finding, errors_first

__all__ = ["LoopAudit", "audit_loop"]


def audit_loop(model: Any, optimizer: Any, *, criterion: Any = None, metric: Any = None) -> LoopAudit:
    """Watch a training loop while it runs, and name its mistakes afterwards.

    For use in a ``with`` statement around the loop, which stays as it is. What is watched: gradients that
    are not cleared (F6), steps in evaluation mode (E4), graphs that are kept (E9), a metric that is never
    reset (A6) or that guesses what it is given (A12), figures of earlier epochs (A6), of the batch just
    fitted (E3) or of a moving model (E2, A1), and steps that move nothing (F2).

    Parameters
    ----------
    model : nn.Module
        The module that the loop calls.
    optimizer : torch.optim.Optimizer
        What moves its parameters. Of two that take turns, one is watched by each audit.
    criterion : nn.Module, callable or None, default=None
        The loss. CrossEntropyLoss, NLLLoss, BCEWithLogitsLoss and BCELoss say which rows are right, and that
        is what the figures given to `LoopAudit.epoch` are compared with. With any other, a function or None
        no figure can be explained; everything else works.
    metric : object or None, default=None
        The metric object of the loop, with `update`, `compute` and `reset`: an `AccuracyCounter`, one of
        torchmetrics, or your own. A copy of it is asked for the figures of some single batches.

    Returns
    -------
    audit : LoopAudit
        A context manager, for one use, with `epoch` and `diagnosis`.

    Raises
    ------
    TypeError
        If `model` is no nn.Module, `optimizer` no torch optimizer or one without ``super().__init__()``,
        `criterion` not callable, or `metric` has not the three methods; or a module is scripted.
    ValueError
        If the module has lazy layers that were never run.

    See Also
    --------
    diagnose : Name the mistakes in a module, its loss and its data.
    explain_accuracy : Name the wrong formula behind a figure that a loop printed.

    Notes
    -----
    Weights, gradients, generators and the state of the optimizer are the same bits as without the audit, and
    after the block, also one that raised, no hook is left. Kept are counts and the last batch. What it costs
    is about one argmax per batch and two calls of a hook for each parameter (of at most 32). Under
    ``torch.compile`` no hook does anything, so that the graph is the same, and what is inside is not seen;
    ``torch.jit.script(model)`` fails inside the block.

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
    """What `audit_loop` returns: a context manager that watches a loop.

    Parameters
    ----------
    model, optimizer, criterion, metric : object
        As in `audit_loop`.

    Attributes
    ----------
    diagnosis : Diagnosis
        What was found so far, and after the block for good.

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
        self._metric = None if metric is None else MetricWatch(metric)
        self._hooks = Hooks()
        self._watcher: Watcher | None = None
        self._with_graph = False
        self._at_end: list[Finding] = []

    def __enter__(self) -> LoopAudit:
        if self._given is None or self._watcher is not None:
            raise RuntimeError("This audit was used before: make a new one with audit_loop(...) for each loop.")
        try:
            model, optimizer, criterion = self._given
            self._watcher = Watcher(model, optimizer, criterion, self._hooks)
            if self._metric is not None:
                self._metric.wrap()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        assert self._watcher is not None
        assert self._given is not None
        model, optimizer, _ = self._given
        try:
            self._hooks.guard(self._end, self._watcher, model, optimizer, err is None)
        finally:
            self._stop()

    def epoch(self, accuracy: Any = None) -> None:
        """Say that an epoch is over, and what the loop reports for it.

        To be called once for each epoch, at its end.

        Parameters
        ----------
        accuracy : float, 0-d tensor or array, or None, default=None
            The figure, as a fraction or in percent, not rounded if possible.

        Raises
        ------
        RuntimeError
            Outside of the ``with`` block.
        TypeError
            If `accuracy` is no number.
        ValueError
            If it is NaN, infinite or negative.
        """
        if self._watcher is None or self._given is None:
            raise RuntimeError("epoch() belongs into the block: with audit_loop(...) as audit: ... audit.epoch(...)")
        figure = _figure(accuracy)
        self._with_graph |= isinstance(accuracy, torch.Tensor) and accuracy.requires_grad
        self._hooks.guard(self._watcher.end_epoch, figure)
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
            If the block was not entered yet, or watching failed, which did not disturb the loop.
        """
        watcher = self._watcher
        if watcher is None:
            raise RuntimeError("Nothing was watched yet: put the loop into `with audit_loop(...) as audit:`.")
        if self._hooks.error is not None:
            raise RuntimeError("The loop could not be watched to its end; it ran as without the audit.") from (
                self._hooks.error
            )
        found = {f.code: f for f in [*of_the_figures(watcher.epochs), *self._of_what_was_seen(watcher), *self._at_end]}
        epochs, steps = _number(watcher.n_epochs, "epoch"), _number(watcher.gradients.steps, "step")
        subject = f"{self._name} in a loop of {epochs}, {steps}"
        return Diagnosis(errors_first(found.values()), subject)

    def _of_what_was_seen(self, watcher: Watcher) -> Iterator[Finding]:
        left, gradients = watcher.modes.found(), watcher.gradients
        findings = [
            check_stale_gradients(gradients.stale_steps, gradients.steps),
            None if left is None else check_left_in_evaluation(left.epoch, left.step, left.steps, left.layers),
            check_kept_graphs(watcher.graphs.kept, watcher.graphs.made, self._with_graph),
        ]
        if self._metric is not None:
            readings = self._metric.readings
            findings += [
                check_metric_reset(*self._metric.worst),
                check_readings(readings["logits"], readings["probabilities"], readings["neither"]),
            ]
        yield from (finding for finding in findings if finding is not None)

    def _end(self, watcher: Watcher, model: nn.Module, optimizer: torch.optim.Optimizer, finished: bool) -> None:
        """Ask, while module and optimizer are at hand, whether anything moved; a loop that raised is not asked.

        An optimizer over a part of the module and something else, such as a temperature, is right if that part is
        trained.
        """
        gradients = watcher.gradients
        found = None
        if gradients.steps and not gradients.may_train(model.parameters()):
            found = check_optimizer(model, optimizer)
        if found is None and finished:
            found = check_steps_taken(gradients.backwards, gradients.steps, not gradients.nothing_moved())
        self._at_end = [] if found is None else [found]
        if finished and watcher.began:
            watcher.end_epoch(None)

    def _stop(self) -> None:
        """Take everything off, and let go of what was given."""
        self._hooks.remove()
        if self._metric is not None:
            self._metric.unwrap()
        if self._watcher is not None:
            self._watcher.close()
        self._given = None


def _refuse(model: Any, optimizer: Any, criterion: Any) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be the nn.Module that the loop calls, but got a {type(model).__name__}.")
    refuse_lazy(model)
    if isinstance(model, torch.jit.ScriptModule) or isinstance(criterion, torch.jit.ScriptModule):
        raise TypeError(
            "A scripted module takes no hooks: audit the loop with the module that torch.jit.script was given."
        )
    if not isinstance(optimizer, torch.optim.Optimizer):
        name = optimizer.__name__ if isinstance(optimizer, type) else type(optimizer).__name__
        raise TypeError(f"optimizer must be a torch.optim.Optimizer, such as Adam(model.parameters()), but got {name}.")
    if not hasattr(optimizer, "param_groups") or not hasattr(optimizer, "_optimizer_step_pre_hooks"):
        raise TypeError(
            f"optimizer takes no hooks: {type(optimizer).__name__} did not call super().__init__(params, defaults). "
            "Call it in its __init__, or audit the loop with the optimizer that it wraps."
        )
    if criterion is not None and (isinstance(criterion, type) or not callable(criterion)):
        name = criterion.__name__ if isinstance(criterion, type) else type(criterion).__name__
        raise TypeError(f"criterion must be a loss, such as nn.CrossEntropyLoss(), or None, but got {name}.")


def _figure(accuracy: Any) -> float | None:
    """Return the figure of an epoch as a number."""
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
            f"The accuracy of an epoch must be a finite number of at least 0. Got {value!r}. A NaN comes from 0 / 0: "
            "no row was counted."
        )
    return float(value)


def _number(count: int, of: str) -> str:
    return f"{count} {of}" if count == 1 else f"{count} {of}s"
