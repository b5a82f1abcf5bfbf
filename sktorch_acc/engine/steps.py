"""The steps of one epoch: shuffled blocks, losses and running counts.

The lean path is the default: no notification, no ``.item()``, nothing recorded per batch. Where a
callback overrides a batch hook, the same steps are taken with the notifications around them, and with
the generators guarded, so that the weights are the same to the last bit.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sktorch_acc.counts import AccuracyCounter
from sktorch_acc.data import Rows, batch_sizes, row_blocks
from sktorch_acc.engine.optimizers import step_of
from sktorch_acc.outputs import OutputSpec

if TYPE_CHECKING:
    from sktorch_acc.engine.net import Net

__all__ = ["StepContext", "TrainingRows", "needs_closure", "norm_layers", "train_epoch"]

WIDE_OUTPUT = 2**14  # values in a batch's output


@dataclass
class TrainingRows:
    """The rows that are trained on, on the device.

    Parameters
    ----------
    rows : Rows
        Features.
    indices : Tensor of shape (n_rows,), int64
        Class indices.
    targets : Tensor of shape (n_rows, ...)
        Class indices as the criterion wants them.
    weights : Tensor of shape (n_rows,) or None
        Weight of each row.
    batch_size : int
        Rows of a step.
    """

    rows: Rows
    indices: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor | None
    batch_size: int

    @property
    def n_steps(self) -> int:
        """Optimizer updates in an epoch."""
        return len(batch_sizes(len(self.rows), self.batch_size))


@dataclass
class StepContext:
    """What a step needs besides the net and the batch.

    Parameters
    ----------
    data : TrainingRows
        The rows.
    loss_of : callable
        (output, target) -> loss; target is the pair (target, weight) if the rows are weighted.
    spec : OutputSpec
        What outputs mean.
    columns : int
        Values of output per row.
    schedule : torch scheduler or None
        Stepped after each optimizer step.
    eval_layers : list of nn.Module
        Layers kept in evaluation mode: batch norm where every batch is one row.
    """

    data: TrainingRows
    loss_of: Callable[[torch.Tensor, Any], torch.Tensor]
    spec: OutputSpec
    columns: int
    schedule: Any
    eval_layers: list[nn.Module]

    def train_mode(self, module: nn.Module) -> None:
        """Put the module in training mode."""
        module.train()
        for layer in self.eval_layers:
            layer.eval()


@dataclass
class _Block:
    """Consecutive shuffled rows, gathered once, split into batches."""

    batches: list[Any]  # (x, target) or (x, (target, weight))
    indices: torch.Tensor
    batch_weights: torch.Tensor  # (n_batches,) float64: rows, or sum of their weights


def train_epoch(
    net: Net, context: StepContext, order: torch.Generator, running: AccuracyCounter | None
) -> tuple[float, int]:
    """Take one step per batch, in an order drawn from `order`; count running predictions if asked to.

    Returns the weighted mean of the batch losses and the number of steps.
    """
    steps = _steps_for(net)
    total = torch.zeros((), dtype=torch.float64, device=context.data.indices.device)
    weight = torch.zeros_like(total)
    n_steps = 0
    context.train_mode(net.module_)
    net.criterion_.train()
    for block in _blocks(context, order):
        losses, outputs = steps(net, context, block.batches)
        n_steps += len(losses)
        total += torch.stack(losses).to(torch.float64) @ block.batch_weights
        weight += block.batch_weights.sum()
        if running is not None:
            running.update(_block_classes(context.spec, outputs), block.indices)
    return float(total / weight), n_steps


def _block_classes(spec: OutputSpec, outputs: list[torch.Tensor]) -> torch.Tensor:
    """Return the class indices of a block: at once, unless outputs are so wide that joining them costs more."""
    if outputs[0].numel() > WIDE_OUTPUT:
        return torch.cat([spec.classes(output) for output in outputs])
    return spec.classes(torch.cat(outputs))


def _blocks(context: StepContext, order: torch.Generator) -> Iterator[_Block]:
    """Gather shuffled rows block by block: a second copy of the data never exists."""
    data, device = context.data, context.data.indices.device
    permutation = torch.randperm(len(data.rows), generator=order)
    per_row = max(context.columns, data.rows.elements_per_row)
    for start, stop, sizes in row_blocks(len(data.rows), data.batch_size, per_row):
        chosen = permutation[start:stop]
        on_device = chosen.to(device)
        x = data.rows.gather(chosen.to(data.rows.index_device)).split(sizes)
        target: Any = data.targets.index_select(0, on_device).split(sizes)
        batch_weights = torch.tensor(sizes, dtype=torch.float64, device=device)
        if data.weights is not None:
            weights = data.weights.index_select(0, on_device).split(sizes)
            batch_weights = torch.stack([w.sum(dtype=torch.float64) for w in weights])
            target = zip(target, weights, strict=True)
        indices = data.indices.index_select(0, on_device)
        yield _Block(list(zip(x, target, strict=True)), indices, batch_weights)


_StepLists = tuple[list[torch.Tensor], list[torch.Tensor]]  # losses and outputs of the batches
_Steps = Callable[["Net", StepContext, list[Any]], _StepLists]


def _steps_for(net: Net) -> _Steps:
    if needs_closure(net.optimizer_):
        return _closure_steps
    if net.batch_listeners():
        return _observed_steps
    return functools.partial(_lean_steps, step_of(net.optimizer_), net.trained_parameters())


def needs_closure(optimizer: torch.optim.Optimizer) -> bool:
    """Whether ``optimizer.step`` cannot be called without a closure (LBFGS)."""
    return _closure_required(type(optimizer).step)


@functools.lru_cache(maxsize=64)
def _closure_required(step: Callable[..., Any]) -> bool:
    # Remembered: reading a signature takes as long as a step or two, and each epoch asks.
    closure = inspect.signature(step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def _lean_steps(
    step: Callable[[], object],
    parameters: list[nn.Parameter],
    net: Net,
    context: StepContext,
    batches: list[Any],
) -> _StepLists:
    module, loss_of, schedule = net.module_, context.loss_of, context.schedule
    losses: list[torch.Tensor] = []
    outputs: list[torch.Tensor] = []
    for x, target in batches:
        for parameter in parameters:
            parameter.grad = None
        output = module(x)
        loss = loss_of(output, target)
        loss.backward()
        step()
        if schedule is not None:
            schedule.step()
        losses.append(loss.detach())
        outputs.append(output.detach())
    return losses, outputs


def _observed_steps(net: Net, context: StepContext, batches: list[Any]) -> _StepLists:
    """Take the same steps as the lean path, with every notification of skorch's."""
    losses: list[torch.Tensor] = []
    outputs: list[torch.Tensor] = []
    parameters = net.trained_parameters()
    for x, target in batches:
        batch = (x, target[0] if isinstance(target, tuple) else target)
        net.notify("on_batch_begin", batch=batch, training=True)
        _training_mode(net, context)
        for parameter in parameters:
            parameter.grad = None
        output = net.module_(x)
        loss = context.loss_of(output, target)
        loss.backward()
        net.notify_gradients(batch)
        net.optimizer_.step()
        if context.schedule is not None:
            context.schedule.step()
        net.end_batch("train", batch, loss.detach(), output.detach())
        losses.append(loss.detach())
        outputs.append(output.detach())
    return losses, outputs


def _closure_steps(net: Net, context: StepContext, batches: list[Any]) -> _StepLists:
    """Take steps whose optimizer evaluates the loss several times; the first value is recorded."""
    losses: list[torch.Tensor] = []
    outputs: list[torch.Tensor] = []
    listening = net.batch_listeners()
    for x, target in batches:
        batch = (x, target[0] if isinstance(target, tuple) else target)
        if listening:
            net.notify("on_batch_begin", batch=batch, training=True)
            _training_mode(net, context)
        seen: list[tuple[torch.Tensor, torch.Tensor]] = []

        def closure(x: torch.Tensor = x, target: Any = target, batch: Any = batch, seen: Any = seen) -> Any:
            _training_mode(net, context)
            net.optimizer_.zero_grad()
            output = net.module_(x)
            loss = context.loss_of(output, target)
            loss.backward()
            if listening:
                net.notify_gradients(batch)
            seen.append((loss.detach(), output.detach()))
            return loss

        net.optimizer_.step(closure)
        if context.schedule is not None:
            context.schedule.step()
        if listening:
            net.end_batch("train", batch, *seen[0])
        losses.append(seen[0][0])
        outputs.append(seen[0][1])
    return losses, outputs


def _training_mode(net: Net, context: StepContext) -> None:
    """Undo a callback's ``eval()`` before the next step (ACC-E4)."""
    if not net.module_.training:
        context.train_mode(net.module_)


def norm_layers(module: nn.Module) -> list[nn.Module]:
    """Return the batch-norm layers of a module."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
    return [layer for layer in module.modules() if isinstance(layer, kinds)]
