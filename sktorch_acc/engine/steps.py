"""The steps of one epoch: shuffled blocks, losses and running counts.

The lean path is the default: nobody is told, no ``.item()``, nothing recorded per batch. Where an
observer hears of batches, the same steps are taken with the notifications around them, so that the
weights are the same to the last bit.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sktorch_acc.counts import AccuracyCounter
from sktorch_acc.data import aligned_split, row_blocks
from sktorch_acc.engine.observer import batch_observers, tell
from sktorch_acc.engine.optimizers import step_of
from sktorch_acc.engine.state import Fit
from sktorch_acc.outputs import OutputSpec

WIDE_OUTPUT = 2**14  # values in a batch's output


@dataclass(frozen=True)
class _Block:
    """Consecutive shuffled samples, gathered once, split into batches."""

    batches: list[Any]  # (x, target) or (x, (target, weight))
    indices: torch.Tensor
    batch_weights: torch.Tensor  # (n_batches,) float64: samples, or sum of their weights


_Outcome = tuple[torch.Tensor, torch.Tensor | None]  # loss of a batch, and what is kept of its output
_Steps = Callable[[Fit, list[Any]], list[_Outcome]]


def train_epoch(fit: Fit, order: torch.Generator, running: AccuracyCounter | None) -> float:
    """Take one step per batch, in an order drawn from `order`; count running predictions if asked to.

    Returns the weighted mean of the batch losses.
    """
    take_steps = _steps_for(fit)
    model = fit.state.model
    total = torch.zeros((), dtype=torch.float64, device=model.device)
    weight = torch.zeros_like(total)
    fit.loss.train(True)
    _train_mode(fit)
    for block in _blocks(fit, order):
        losses, kept = zip(*take_steps(fit, block.batches), strict=True)
        total += torch.stack(losses).to(torch.float64) @ block.batch_weights
        weight += block.batch_weights.sum()
        if running is not None:
            running.update(_block_classes(model.spec, kept), block.indices)
    return float(total / weight)


def _block_classes(spec: OutputSpec, kept: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Return the class indices of a block: at once, but for batches of which only the classes are kept."""
    if all(part.is_floating_point() for part in kept):
        return spec.classes(torch.cat(kept))
    return torch.cat([spec.classes(part) if part.is_floating_point() else part for part in kept])


def _blocks(fit: Fit, order: torch.Generator) -> Iterator[_Block]:
    """Gather shuffled samples block by block: a second copy of the data never exists."""
    training, device = fit.training, fit.state.model.device
    n_samples = len(training)
    permutation = torch.randperm(n_samples, generator=order)
    for start, stop, sizes in row_blocks(n_samples, fit.settings.batch_size, fit.elements_per_sample):
        chosen = permutation[start:stop]
        on_device = chosen.to(device)
        gathered = training.rows.gather(chosen.to(training.rows.index_device))
        indices = training.targets.index_select(0, on_device)
        target: Any = aligned_split(fit.loss.targets(indices), sizes)
        x = aligned_split(gathered, sizes)
        batch_weights = torch.tensor(sizes, dtype=torch.float64, device=device)
        if training.weights is not None:
            weights = aligned_split(training.weights.index_select(0, on_device), sizes)
            batch_weights = torch.stack([w.sum(dtype=torch.float64) for w in weights])
            target = zip(target, weights, strict=True)
        yield _Block(list(zip(x, target, strict=True)), indices, batch_weights)


def _steps_for(fit: Fit) -> _Steps:
    optimizer = fit.state.optimizer
    if needs_closure(optimizer):
        return _closure_steps
    if batch_observers(fit):
        return _observed_steps
    return functools.partial(_lean_steps, step_of(optimizer))


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    """Return the parameters that the optimizer moves."""
    return [p for group in optimizer.param_groups for p in group["params"]]


def _scheduler(fit: Fit) -> Any:
    """Return the scheduler of torch that is stepped after each optimizer step; None if there is none."""
    schedule = fit.state.schedule
    return schedule.scheduler if schedule is not None and schedule.per_step else None


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether ``optimizer.step`` cannot be called without a closure (LBFGS)."""
    return _closure_required(type(optimizer).step)


@functools.lru_cache(maxsize=64)
def _closure_required(step: Callable[..., Any]) -> bool:
    # Remembered: reading a signature takes as long as a step or two, and each epoch asks.
    closure = inspect.signature(step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def _lean_steps(step: Callable[[], object], fit: Fit, batches: list[Any]) -> list[_Outcome]:
    module, loss_of, schedule = fit.state.model.module, fit.loss.plain, _scheduler(fit)
    outcomes: list[_Outcome] = []
    parameters = _parameters(fit.state.optimizer)
    for x, target in batches:
        for parameter in parameters:
            parameter.grad = None
        output = module(x)
        fit.first.training_form.check(output, module)
        kept = _kept(fit, output)
        loss = loss_of(output, target)
        loss.backward()
        outcomes.append((loss.detach().clone(), kept))
        step()
        if schedule is not None:
            schedule.step()
    return outcomes


def _kept(fit: Fit, output: torch.Tensor) -> torch.Tensor | None:
    """Return what the running accuracy needs of an output, in memory of its own: classes, if it is wide.

    To be called before the criterion, which may write to its input. A step may write to a view of the weights, and the
    module to memory that it returns again.
    """
    if fit.settings.train_accuracy is None:
        return None
    output = output.detach()
    return fit.model.spec.classes(output) if output.numel() > WIDE_OUTPUT else output.clone()


def _observed_steps(fit: Fit, batches: list[Any]) -> list[_Outcome]:
    """Take the same steps as the lean path, and tell of each batch."""
    loss_of, schedule = fit.loss.plain, _scheduler(fit)
    outcomes: list[_Outcome] = []
    parameters = _parameters(fit.state.optimizer)
    for x, target in batches:
        batch = (x, target[0] if isinstance(target, tuple) else target)
        tell(fit, "batch_begin", batch, True)
        _undo_eval(fit)
        for parameter in parameters:
            parameter.grad = None
        output = fit.model.module(x)
        fit.first.training_form.check(output, fit.model.module)
        heard, kept = output.detach().clone(), _kept(fit, output)
        loss = loss_of(output, target)
        loss.backward()
        outcomes.append((loss.detach().clone(), kept))
        tell(fit, "gradients", batch)
        fit.state.optimizer.step()
        if schedule is not None:
            schedule.step()
        tell(fit, "batch_end", batch, (outcomes[-1][0], heard), True)
    return outcomes


def _closure_steps(fit: Fit, batches: list[Any]) -> list[_Outcome]:
    """Take steps whose optimizer evaluates the loss several times; the first value is recorded."""
    loss_of, schedule = fit.loss.plain, _scheduler(fit)
    outcomes: list[_Outcome] = []
    for x, target in batches:
        batch = (x, target[0] if isinstance(target, tuple) else target)
        tell(fit, "batch_begin", batch, True)
        seen: list[tuple[torch.Tensor, ...]] = []

        def closure(x: torch.Tensor = x, target: Any = target, batch: Any = batch, seen: Any = seen) -> Any:
            _undo_eval(fit)
            fit.state.optimizer.zero_grad()
            output = fit.model.module(x)
            fit.first.training_form.check(output, fit.model.module)
            heard, kept = output.detach().clone(), _kept(fit, output)
            loss = loss_of(output, target)
            loss.backward()
            seen.append((loss.detach().clone(), heard, kept))
            tell(fit, "gradients", batch)
            return loss

        fit.state.optimizer.step(closure)
        if schedule is not None:
            schedule.step()
        loss, heard, kept = seen[0]
        outcomes.append((loss, kept))
        tell(fit, "batch_end", batch, (loss, heard), True)
    return outcomes


def _train_mode(fit: Fit) -> None:
    """Put the module in training mode."""
    fit.state.model.module.train()
    for layer in fit.eval_layers:
        layer.eval()


def _undo_eval(fit: Fit) -> None:
    """Undo a callback's ``eval()`` before the next step (ACC-E4)."""
    if not fit.state.model.module.training:
        _train_mode(fit)


def norm_layers(module: nn.Module) -> list[nn.Module]:
    """Return the batch-norm layers of a module."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
    return [layer for layer in module.modules() if isinstance(layer, kinds)]
