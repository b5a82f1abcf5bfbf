"""Monitor a loop through hooks on its module, criterion and optimizer, and keep counts."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sktorch_acc.doctor.audit.gradients import GradientMonitor
from sktorch_acc.doctor.audit.graphs import ForwardPass, Graphs
from sktorch_acc.doctor.audit.hooks import Hooks, count_correct, inside_transform, nodes_of, tensors_in
from sktorch_acc.doctor.audit.modes import ModeMonitor
from sktorch_acc.doctor.audit.reported import Counts, Epoch
from sktorch_acc.outputs import OutputSpec, output_spec


class _Call:
    """One call of the criterion: samples and correct predictions; a hook on the graph of the loss."""

    def __init__(self, n_samples: int, correct: torch.Tensor | None) -> None:
        self.n_samples, self.correct, self.trained = n_samples, correct, False

    def __call__(self, _: Any) -> None:
        self.trained = True


class _Batch:
    """The last batch that a graph was made for: the only data that are kept."""

    def __init__(self, samples: torch.Tensor, version: int | None) -> None:
        self.samples, self.version, self.fitted = samples, version, False
        self.targets: torch.Tensor | None = None

    def equals(self, given: torch.Tensor) -> bool:
        """Whether these are the same samples: the same tensor, or on the CPU the same values."""
        samples = self.samples
        if _has_no_strides(given) or _version(samples) != self.version:
            return False
        if (given.shape, given.dtype, given.device) != (samples.shape, samples.dtype, samples.device):
            return False
        if given.data_ptr() == samples.data_ptr() and given.stride() == samples.stride():
            return True
        return given.device.type == "cpu" and torch.equal(given, samples)  # elsewhere it would wait for the device


def _has_no_strides(tensor: torch.Tensor) -> bool:
    """Whether a tensor is sparse or nested."""
    return tensor.is_nested or tensor.layout is not torch.strided


def _version(tensor: torch.Tensor) -> int | None:
    return None if tensor.is_inference() else tensor._version


class LoopMonitor:
    """What goes through a module, its criterion and its optimizer.

    Parameters
    ----------
    model : nn.Module
        The module of the loop.
    optimizer : torch optimizer
        The optimizer of its parameters.
    criterion : nn.Module, callable or None
        The loss; the calls of a function are not seen.
    hooks : Hooks
        Where the hooks are registered.

    Attributes
    ----------
    gradients : GradientMonitor
    graphs : Graphs
    modes : ModeMonitor
    epochs : list of Epoch
        Counts of the epochs that are complete.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, criterion: Any, hooks: Hooks) -> None:
        self.gradients = GradientMonitor(optimizer, hooks)
        self.graphs, self.modes = Graphs(), ModeMonitor(model)
        self.epochs: list[Epoch] = []
        self._output_spec = _output_spec(criterion)
        self._steps_before = 0
        self._used: list[ForwardPass] = []
        self._calls: list[_Call] = []
        self._passes: list[ForwardPass] = []
        self._batch: _Batch | None = None
        self._again: tuple[ForwardPass, torch.Tensor] | None = None
        self._given: tuple[torch.Tensor | None, torch.Tensor | None] = (None, None)  # to the criterion, and correct
        self._open = _OpenEpoch()
        hooks.add(model.register_forward_hook, self._after_forward, with_kwargs=True)
        if isinstance(criterion, nn.Module):
            hooks.add(criterion.register_forward_pre_hook, self._before_criterion, with_kwargs=True)
            hooks.add(criterion.register_forward_hook, self._after_criterion, with_kwargs=True)
        hooks.add(optimizer.register_step_pre_hook, self.gradients.before_step)
        hooks.add(optimizer.register_step_post_hook, self._after_step)

    @property
    def n_epochs(self) -> int:
        """Epochs with a step or a reported accuracy, including the current one."""
        complete = sum(epoch.steps > 0 or epoch.reported is not None for epoch in self.epochs)
        return complete + (self._steps() > 0)

    @property
    def began(self) -> bool:
        """Whether anything was seen in the current epoch."""
        return bool(self._passes or self._calls or self._steps() or self._open.seen)

    def _steps(self) -> int:
        """Return the number of steps of the current epoch."""
        return self.gradients.steps - self._steps_before

    def end_epoch(self, reported: float | None) -> None:
        """Add up the counts of an epoch; only this waits for the device."""
        self._close_part()
        self.epochs.append(self._open.counted(reported, self._steps()))
        self._open, self._steps_before = _OpenEpoch(), self.gradients.steps

    # ------------------------------------------------------------------ hooks

    def _after_forward(self, _: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if inside_transform():
            return
        tensors = tensors_in(output)
        this = ForwardPass(len(tensors[0]) if tensors and tensors[0].ndim else 0, *self.modes.now())
        self._passes.append(this)
        nodes = nodes_of(tensors)
        if nodes:
            self.graphs.add(nodes, this, self._used)
        given = tensors_in((args, kwargs))
        if self._output_spec is not None and given:
            try:
                self._compare(given[0], this, tensors, bool(nodes))
            except Exception:  # tensors of a kind that cannot be compared: the rest of the audit goes on
                self._batch = self._again = None

    def _compare(self, given: torch.Tensor, this: ForwardPass, output: list[torch.Tensor], trains: bool) -> None:
        """Look whether this is the batch of the last step; else it may be that of the next."""
        batch = self._batch
        if batch is not None and batch.fitted and batch.equals(given):
            if batch.targets is not None:
                counts = (count_correct(self._output_spec, z, batch.targets) for z in output)
                correct = next((c for c in counts if c is not None), None)
                self._again = None if correct is None else (this, correct)
        elif trains:
            self._batch = None if _has_no_strides(given) else _Batch(given.detach(), _version(given))

    def _before_criterion(self, _: nn.Module, args: Any, kwargs: Any) -> None:
        """Count what the criterion gets: some write to it."""
        output, targets = _given_to_criterion(args, kwargs)
        if isinstance(output, torch.Tensor) and output.ndim and not inside_transform():
            self._given = output, count_correct(self._output_spec, output, targets)

    def _after_criterion(self, _: nn.Module, args: Any, kwargs: Any, loss: Any) -> None:
        output, targets = _given_to_criterion(args, kwargs)
        (counted, correct), self._given = self._given, (None, None)
        if counted is None or counted is not output:
            return
        call = _Call(len(output), correct)
        self._calls.append(call)
        for node in nodes_of(tensors_in(loss)):
            node.register_prehook(call)
        if self._passes and self._passes[-1].n_samples == len(output):
            self._passes[-1].labelled = True
            batch, trains = self._batch, isinstance(loss, torch.Tensor) and loss.requires_grad
            if batch is not None and len(batch.samples) == len(output) and call.correct is not None and trains:
                batch.targets = targets.detach()

    def _after_step(self, *_: Any) -> None:
        self.gradients.after_step()
        self.graphs.after_step()
        self.modes.after_step(self._used, len(self.epochs) + 1, self._steps())
        self._used.clear()
        self._close_part()
        if self._batch is not None:
            self._batch.fitted = True

    def _close_part(self) -> None:
        """Sort what was seen since the last step: trained on, fitted before, or evaluated."""
        if self._again is not None:
            again, correct = self._again
            if not again.trained:
                self._open.fitted.append((again.n_samples, correct))
            self._again = None
        self._open.close_part(self._calls, self._passes)
        self._calls, self._passes = [], []


_Batches = list[tuple[int, torch.Tensor]]  # samples, and correct predictions, still on the device


class _OpenEpoch:
    """The counts of the current epoch."""

    def __init__(self) -> None:
        self.running: _Batches = []
        self.fitted: _Batches = []
        self.evaluated: list[_Batches] = []
        self.unlabelled: list[tuple[int, ...]] = []
        self.countable, self.seen = True, False

    def close_part(self, calls: list[_Call], passes: list[ForwardPass]) -> None:
        self.seen = self.seen or bool(calls or passes)
        evaluated = []
        for call in calls:
            if call.correct is None:
                self.countable = self.countable and not (call.trained and call.n_samples)
            elif call.trained:
                self.running.append((call.n_samples, call.correct))
            else:
                evaluated.append((call.n_samples, call.correct))
        self.evaluated += [evaluated] if evaluated else []
        unlabelled = tuple(p.n_samples for p in passes if p.n_samples and not p.trained and not p.labelled)
        self.unlabelled += [unlabelled] if unlabelled else []

    def counted(self, reported: float | None, steps: int) -> Epoch:
        """Bring all counts to the host, in one copy."""
        lists = [self.running, self.fitted, *self.evaluated]
        correct = [count for counts in lists for _, count in counts]
        numbers = iter(torch.stack(correct).tolist() if correct else [])
        running, fitted, *evaluated = [
            Counts(tuple(next(numbers) for _ in counts), tuple(n for n, _ in counts)) for counts in lists
        ]
        running = running if self.countable else Counts()
        return Epoch(reported, steps, running, fitted, tuple(evaluated), tuple(self.unlabelled))


def _given_to_criterion(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """Return output and targets."""
    output = args[0] if args else kwargs.get("input")
    return output, args[1] if len(args) > 1 else kwargs.get("target")


def _output_spec(criterion: Any) -> OutputSpec | None:
    """Return the output that the criterion assumes; None if it is not a known module."""
    if not isinstance(criterion, nn.Module):
        return None
    try:
        return output_spec(criterion, None, 2)
    except ValueError:
        return None
