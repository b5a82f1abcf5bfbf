"""The steps of one epoch: shuffled blocks, losses and running counts.

The lean path is the default: nobody is told, no ``.item()``, nothing recorded per batch. Where an
observer hears of batches, the same steps are taken with the notifications around them, so that the
weights are the same to the last bit.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sktorch_acc.counts import AccuracyCounter
from sktorch_acc.data import aligned_split, batch_sizes, row_blocks
from sktorch_acc.engine.diverged import BadBatch, nonfinite, with_cause
from sktorch_acc.engine.observer import batch_observers, tell
from sktorch_acc.engine.optimizers import sure_step_of
from sktorch_acc.engine.state import Fit
from sktorch_acc.outputs import OutputSpec

WIDE_OUTPUT = 2**14  # values in a batch's output


@dataclass(frozen=True)
class _Block:
    """Consecutive shuffled samples, gathered once, split into batches."""

    batches: list[Any]  # (x, target) or (x, (target, weight))
    indices: torch.Tensor
    # (n_batches,) float64: samples, sum of their weights, or whatever else the loss of the batch is divided by
    batch_weights: torch.Tensor
    uncounted: frozenset[int] = frozenset()  # batches without a sample that the criterion counts


_Outcome = tuple[torch.Tensor, torch.Tensor | None]  # loss of a batch, and what is kept of its output
_Steps = Callable[[Fit, list[Any]], list[_Outcome]]


def train_epoch(fit: Fit, order: torch.Generator, running: AccuracyCounter | None) -> float:
    """Take one step per batch, in an order drawn from `order`; count running predictions if asked to.

    Returns the loss of all samples, each at the weights of its step: the mean of the batch losses, weighted by what
    each was divided by; or their sum, if the criterion sums. A batch without samples that the criterion counts has no
    loss and moves nothing; if there are no others, the loss is NaN.

    Raises
    ------
    NonFiniteLossError
        If it is not finite.
    """
    take_steps = _steps_for(fit)
    model = fit.state.model
    total = torch.zeros((), dtype=torch.float64, device=model.device)
    weight = torch.zeros_like(total)
    fit.loss.train(True)
    _train_mode(fit)
    permutation = torch.randperm(len(fit.training), generator=order)
    by_block: list[torch.Tensor] = []
    kept: tuple[torch.Tensor | None, ...] = ()
    for block in _blocks(fit, permutation):
        if by_block and not math.isfinite(total):  # while the outputs of the first such batch are known
            break
        outcomes = _mixed_steps(fit, take_steps, block) if block.uncounted else take_steps(fit, block.batches)
        losses, kept = zip(*outcomes, strict=True)
        by_block.append(torch.stack(losses).to(torch.float64))
        total += by_block[-1] @ block.batch_weights
        weight += block.batch_weights.sum()
        if running is not None:
            running.update(_block_classes(model.spec, kept), block.indices)
    loss = float(total if fit.loss.summed else total / weight)
    if not math.isfinite(loss) and (fit.loss.summed or weight > 0):
        raise nonfinite(fit, f"The training loss became {loss:g}", _first_bad(fit, permutation, by_block, kept))
    return loss


def _first_bad(
    fit: Fit, permutation: torch.Tensor, by_block: list[torch.Tensor], kept: tuple[torch.Tensor | None, ...]
) -> BadBatch | None:
    """Return the first batch whose loss is not finite; it is in the last block, of whose outputs `kept` is left."""
    losses = torch.cat(by_block)
    bad = (~torch.isfinite(losses)).nonzero()
    if not len(bad):
        return None
    first = int(bad[0])
    chosen = permutation.split(batch_sizes(len(permutation), fit.settings.batch_size))[first]
    position = first - (len(losses) - len(kept))
    output = kept[position] if position >= 0 else None
    if output is not None and not output.is_floating_point():
        output = None
    if fit.model.spec.kind == "probabilities" and (first or fit.state.epoch):
        output = None  # which does not show whether the weights have grown
    return BadBatch(fit.training.targets[chosen.to(fit.model.device)], output, losses[:first])


def _block_classes(spec: OutputSpec, kept: tuple[Any, ...]) -> torch.Tensor:
    """Return the class indices of a block: at once, unless only classes are kept or the number of members changes."""
    if all(part.is_floating_point() and part.shape[1:] == kept[0].shape[1:] for part in kept):
        return spec.classes(torch.cat(kept))
    return torch.cat([spec.classes(part) if part.is_floating_point() else part for part in kept])


def _blocks(fit: Fit, permutation: torch.Tensor) -> Iterator[_Block]:
    """Gather shuffled samples block by block: a second copy of the data never exists."""
    training, device = fit.training, fit.state.model.device
    for start, stop, sizes in row_blocks(len(training), fit.settings.batch_size, fit.elements_per_sample):
        chosen = permutation[start:stop]
        on_device = chosen.to(device)
        gathered = training.rows.gather(chosen.to(training.rows.index_device))
        indices = training.targets.index_select(0, on_device)
        target: Any = aligned_split(fit.loss.targets(indices), sizes)
        x = aligned_split(gathered, sizes)
        batch_weights = torch.tensor(sizes, dtype=torch.float64, device=device)
        chosen_weights = None
        if training.weights is not None:
            chosen_weights = training.weights.index_select(0, on_device)
            weights = aligned_split(chosen_weights, sizes)
            batch_weights = torch.stack([w.sum(dtype=torch.float64) for w in weights])
            target = zip(target, weights, strict=True)
        uncounted: frozenset[int] = frozenset()
        if fit.loss.summed:
            batch_weights = torch.ones_like(batch_weights)
        elif fit.loss.by_class:
            batch_weights = _sums(fit.loss.shares(indices, chosen_weights), sizes)
            uncounted = frozenset((batch_weights == 0).nonzero()[:, 0].tolist())
        yield _Block(list(zip(x, target, strict=True)), indices, batch_weights, uncounted)


def _sums(values: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """Return the sum over each batch; all but the last have the same size."""
    last = values[-sizes[-1] :].sum().reshape(1)
    return last if len(sizes) == 1 else torch.cat([values[: -sizes[-1]].view(-1, sizes[0]).sum(dim=1), last])


def _mixed_steps(fit: Fit, take_steps: _Steps, block: _Block) -> list[_Outcome]:
    """Take a step per batch, but with batches without a sample that the criterion counts."""
    outcomes: list[_Outcome] = []
    for index, batch in enumerate(block.batches):
        outcomes += [_no_step(fit, *batch)] if index in block.uncounted else take_steps(fit, [batch])
    return outcomes


def _no_step(fit: Fit, x: torch.Tensor, target: Any) -> _Outcome:
    """Run a batch that has no loss: its predictions are counted, and its observers hear of the loss 0."""
    batch = (x, target[0] if isinstance(target, tuple) else target)
    tell(fit, "batch_begin", batch, True)
    _undo_eval(fit)
    with torch.no_grad():
        output = fit.model.module(x)
    heard, kept, loss = output.clone(), _kept(fit, output), output.new_zeros(())
    tell(fit, "batch_end", batch, (loss, heard), True)
    return loss, kept


def _steps_for(fit: Fit) -> _Steps:
    optimizer = fit.state.optimizer
    if needs_closure(optimizer):
        return _closure_steps
    if batch_observers(fit):
        return _observed_steps
    return functools.partial(_lean_steps, sure_step_of(optimizer))


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
    module, loss_of, schedule = fit.state.model.module, with_cause(fit, fit.loss.plain), _scheduler(fit)
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
    loss_of, schedule = with_cause(fit, fit.loss.plain), _scheduler(fit)
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
        sure_step_of(fit.state.optimizer)()
        if schedule is not None:
            schedule.step()
        tell(fit, "batch_end", batch, (outcomes[-1][0], heard), True)
    return outcomes


def _closure_steps(fit: Fit, batches: list[Any]) -> list[_Outcome]:
    """Take steps whose optimizer evaluates the loss several times; the first value is recorded."""
    loss_of, schedule = with_cause(fit, fit.loss.plain), _scheduler(fit)
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
