"""Watch a loop through hooks on its module, criterion and optimizer; what is kept are counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sktorch_acc.doctor.audit.figures import Counts, Epoch
from sktorch_acc.doctor.audit.gradients import GradientWatch
from sktorch_acc.doctor.audit.graphs import Graphs
from sktorch_acc.doctor.audit.hooks import Hooks, count_right, first_tensor, inside_transform, nodes_of, tensors_in
from sktorch_acc.doctor.audit.modes import ModeWatch
from sktorch_acc.doctor.audit.passed import Passed
from sktorch_acc.outputs import OutputSpec, output_spec

__all__ = ["Watcher"]


class _Call:
    """One call of the criterion: how many rows, and how many of them right; a hook on the loss's graph."""

    __slots__ = ("right", "rows", "trained")

    def __init__(self, rows: int, right: torch.Tensor | None) -> None:
        self.rows, self.right, self.trained = rows, right, False

    def __call__(self, _: Any) -> None:
        self.trained = True


@dataclass
class _Batch:
    """The last batch that a graph was made for: the only rows that are kept."""

    rows: torch.Tensor
    version: int | None
    targets: torch.Tensor | None = None
    fitted: bool = False

    def holds(self, rows: torch.Tensor) -> bool:
        """Whether these are the same rows: the same tensor, or on the CPU the same values."""
        if (
            _is_odd(rows)
            or _version(self.rows) != self.version
            or rows.shape != self.rows.shape
            or rows.dtype != self.rows.dtype
        ):
            return False
        if rows.device != self.rows.device:
            return False
        if rows.data_ptr() == self.rows.data_ptr() and rows.stride() == self.rows.stride():
            return True
        return rows.device.type == "cpu" and torch.equal(rows, self.rows)  # elsewhere it would wait for the device


def _is_odd(tensor: torch.Tensor) -> bool:
    """Whether a tensor is sparse or nested, so that it has no strides to compare."""
    return tensor.is_nested or tensor.layout is not torch.strided


def _version(tensor: torch.Tensor) -> int | None:
    return None if tensor.is_inference() else tensor._version


class Watcher:
    """What goes through a module, its criterion and its optimizer.

    Parameters
    ----------
    model : nn.Module
        The module of the loop.
    optimizer : torch optimizer
        What moves it.
    criterion : nn.Module, callable or None
        The loss; only of a module is seen what goes in.
    hooks : Hooks
        Where the hooks are registered.

    Attributes
    ----------
    gradients : GradientWatch
    graphs : Graphs
    modes : ModeWatch
    epochs : list of Epoch
        Counts of the epochs that are complete.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, criterion: Any, hooks: Hooks) -> None:
        self.gradients = GradientWatch(optimizer, hooks)
        self.graphs, self.modes = Graphs(), ModeWatch(model)
        self.epochs: list[Epoch] = []
        self._output_spec = _output_spec(criterion)
        self._steps_before = 0
        self._used: list[Passed] = []
        self._calls: list[_Call] = []
        self._passes: list[Passed] = []
        self._batch: _Batch | None = None
        self._again: tuple[Passed, int, torch.Tensor] | None = None
        self._open = _Open()
        hooks.add(model.register_forward_hook, self._passed, with_kwargs=True)
        if isinstance(criterion, nn.Module):
            hooks.add(criterion.register_forward_hook, self._judged, with_kwargs=True)
        hooks.add(optimizer.register_step_pre_hook, self._before_step)
        hooks.add(optimizer.register_step_post_hook, self._after_step)

    @property
    def epoch(self) -> int:
        """The epoch that runs, from 1."""
        return len(self.epochs) + 1

    @property
    def n_epochs(self) -> int:
        """Epochs with a step or a figure, the one that runs included."""
        complete = sum(epoch.steps > 0 or epoch.reported is not None for epoch in self.epochs)
        return complete + (self.gradients.steps > self._steps_before)

    @property
    def began(self) -> bool:
        """Whether anything was seen in the epoch that runs."""
        return bool(self._passes or self._calls or self.gradients.steps > self._steps_before or self._open.seen)

    def end_epoch(self, reported: float | None) -> None:
        """Put the counts of an epoch together; this is where the device is waited for."""
        self._close_part()
        steps = self.gradients.steps - self._steps_before
        self.epochs.append(self._open.counted(reported, steps))
        self._open, self._steps_before = _Open(), self.gradients.steps

    def close(self) -> None:
        """Let go of everything that is not a number."""
        self.graphs.close()
        self.gradients.close()
        self._batch = self._again = None
        self._used.clear()
        self.modes.close()

    # ------------------------------------------------------------------ hooks

    def _passed(self, _: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if inside_transform():
            return
        tensors = tensors_in(output)
        rows = len(tensors[0]) if tensors and tensors[0].ndim else 0
        passed = Passed(rows, *self.modes.now())
        self._passes.append(passed)
        nodes = nodes_of(tensors)
        if nodes:
            self.graphs.watch(nodes, passed, self._trained)
        given = first_tensor(args, kwargs)
        if self._output_spec is not None and given is not None:
            try:
                self._look_at(given, passed, tensors, bool(nodes))
            except Exception:  # tensors of a kind that cannot be compared: what else is seen is not lost
                self._batch = self._again = None

    def _look_at(self, given: torch.Tensor, passed: Passed, output: list[torch.Tensor], trains: bool) -> None:
        """See whether these are the rows of the step just taken; else they may be those of the next."""
        batch = self._batch
        if batch is not None and batch.fitted and batch.holds(given):
            if batch.targets is not None:
                counts = (count_right(self._output_spec, z, batch.targets) for z in output)
                right = next((c for c in counts if c is not None), None)
                self._again = None if right is None else (passed, passed.rows, right)
        elif trains:
            self._batch = None if _is_odd(given) else _Batch(given.detach(), _version(given))

    def _judged(self, _: nn.Module, args: Any, kwargs: Any, loss: Any) -> None:
        output = args[0] if args else kwargs.get("input")
        targets = args[1] if len(args) > 1 else kwargs.get("target")
        if not isinstance(output, torch.Tensor) or not output.ndim or inside_transform():
            return
        call = _Call(len(output), count_right(self._output_spec, output, targets))
        self._calls.append(call)
        for node in nodes_of(tensors_in(loss)):
            node.register_prehook(call)
        if self._passes and self._passes[-1].rows == len(output):
            self._passes[-1].labelled = True
            self._learn_targets(output, targets, loss, call.right is not None)

    def _learn_targets(self, output: torch.Tensor, targets: Any, loss: Any, known: bool) -> None:
        """Remember the targets of the batch that is trained on."""
        trains = isinstance(loss, torch.Tensor) and loss.requires_grad
        if self._batch is not None and known and trains and len(self._batch.rows) == len(output):
            self._batch.targets = targets.detach()

    def _trained(self, passed: Passed) -> None:
        self._used.append(passed)

    def _before_step(self, *_: Any) -> None:
        self.gradients.before_step()

    def _after_step(self, *_: Any) -> None:
        self.gradients.after_step()
        self.graphs.after_step()
        self.modes.after_step(self._used, self.epoch, self.gradients.steps - self._steps_before)
        self._used.clear()
        self._close_part()
        if self._batch is not None:
            self._batch.fitted = True

    def _close_part(self) -> None:
        """Sort what was seen since the last step: trained on, fitted before, or evaluated."""
        if self._again is not None:
            passed, rows, right = self._again
            if not passed.trained:
                self._open.fitted.append((rows, right))
            self._again = None
        self._open.close_part(self._calls, self._passes)
        self._calls, self._passes = [], []


class _Open:
    """The counts of an epoch that runs; right rows are still where they were counted."""

    def __init__(self) -> None:
        self.running: list[tuple[int, torch.Tensor]] = []
        self.fitted: list[tuple[int, torch.Tensor]] = []
        self.evaluated: list[list[tuple[int, torch.Tensor]]] = []
        self.unlabelled: list[list[int]] = []
        self.countable = True
        self.seen = False

    def close_part(self, calls: list[_Call], passes: list[Passed]) -> None:
        self.seen = self.seen or bool(calls or passes)
        evaluated = []
        for call in calls:
            if call.right is None:
                self.countable = self.countable and not (call.trained and call.rows)
            elif call.trained:
                self.running.append((call.rows, call.right))
            else:
                evaluated.append((call.rows, call.right))
        self.evaluated += [evaluated] if evaluated else []
        unlabelled = [p.rows for p in passes if p.rows and not p.trained and not p.labelled]
        self.unlabelled += [unlabelled] if unlabelled else []

    def counted(self, reported: float | None, steps: int) -> Epoch:
        """Bring all counts to the host, in one copy."""
        lists = [self.running, self.fitted, *self.evaluated]
        right = [count for counts in lists for _, count in counts]
        numbers = iter(torch.stack(right).tolist() if right else [])
        running, fitted, *evaluated = [
            Counts(tuple(next(numbers) for _ in counts), tuple(rows for rows, _ in counts)) for counts in lists
        ]
        if not self.countable:
            running = Counts((), ())
        return Epoch(reported, steps, running, fitted, tuple(evaluated), tuple(map(tuple, self.unlabelled)))


def _output_spec(criterion: Any) -> OutputSpec | None:
    """Return what the criterion's first argument means; None if it is not a known module."""
    if not isinstance(criterion, nn.Module):
        return None
    try:
        return output_spec(criterion, None, 2)
    except ValueError:
        return None
