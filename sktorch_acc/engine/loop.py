"""The epochs of a fit: train, evaluate, record, notify, check stopping."""

from __future__ import annotations

import cmath
import math
import time
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from sktorch_acc._global_state import epoch_seeds, seed_generators
from sktorch_acc.counts import AccuracyCounter, host_counts
from sktorch_acc.data import Examples
from sktorch_acc.engine.evaluate import each_output, nan_rows
from sktorch_acc.engine.history import EpochRow, monitored_value
from sktorch_acc.engine.observer import batch_observers, tell
from sktorch_acc.engine.snapshot import Snapshot
from sktorch_acc.engine.state import Fit
from sktorch_acc.engine.steps import train_epoch
from sktorch_acc.engine.trained import noting_trained
from sktorch_acc.exceptions import NonFiniteLossError


def run_epochs(fit: Fit) -> None:
    """Run the epochs; leave the module with the weights of `state.best_epoch`.

    An error or a real Ctrl-C brings back the last complete epoch (or the best one) and is raised again.
    """
    state, order = fit.state, torch.Generator()
    try:
        for epoch in range(fit.first_epoch, fit.first_epoch + fit.settings.max_epochs):
            if _run_epoch(fit, epoch, order):
                break
        _check_weights(fit)
    except BaseException:
        if state.last is not None:
            state.last.restore(state.model.module)
        raise
    finally:
        if state.best is not None:
            state.best.restore(state.model.module)
        state.model.module.eval()


def _run_epoch(fit: Fit, epoch: int, order: torch.Generator) -> bool:
    """Run one epoch; return whether the fit ends here."""
    state = fit.state
    module = state.model.module
    tell(fit, "epoch_begin", epoch)
    *shared, order_seed = epoch_seeds(state.seed, epoch)
    seed_generators((shared[0], shared[1], shared[2]), state.model.device)
    order.manual_seed(order_seed)
    noting = noting_trained(module, state.model.criterion) if epoch == fit.first_epoch else nullcontext()
    with noting, fit.interrupts.interruptible():
        row = _measure(fit, epoch, order)
    _keep(fit, row)
    tell(fit, "epoch_recorded", row)
    stop = any(tell(fit, "epoch_end", row))
    refuse_other_module(fit, module)
    if state.schedule is not None:
        state.schedule.end_epoch(_monitored(fit, row) if state.schedule.wants_metric else math.nan)
    exhausted = state.stopping is not None and state.stopping.exhausted
    return stop or fit.interrupts.stop_requested or exhausted


def refuse_other_module(fit: Fit, module: nn.Module) -> None:
    """Raise if an observer put another module in the place of the one whose parameters the optimizer moves."""
    if fit.state.model.module is not module:
        raise RuntimeError(
            "A callback replaced net.module_ during training, so the optimizer would go on with the parameters of the "
            "old one: change the module's weights in place instead (load_state_dict, copy_)."
        )


def _measure(fit: Fit, epoch: int, order: torch.Generator) -> EpochRow:
    """Train one epoch and evaluate the result; return its row."""
    start = time.perf_counter()
    lr = float(fit.state.optimizer.param_groups[0]["lr"])
    mode, n_classes = fit.settings.train_accuracy, fit.training.n_classes
    counted: dict[str, Any] = {}
    running = AccuracyCounter(n_classes) if mode else None
    loss = train_epoch(fit, order, running)
    if not math.isfinite(loss):
        raise _nonfinite(fit, f"The training loss became {loss:g}", epoch)
    values, sizes = {"train_loss": loss, "lr": lr}, {"train": (fit.fitted.targets.shape[0], fit.n_steps)}
    if mode == "exact":
        counted["train_acc"] = count_correct(fit, fit.fitted), fit.fitted.support
    if running is not None:
        counted["train_acc_running"] = running, fit.training.support
    if fit.validation is not None:
        counter = AccuracyCounter(n_classes) if mode else None
        values["valid_loss"] = _validate(fit, fit.validation, counter)
        sizes["valid"] = (len(fit.validation), 1)
        if counter is not None:
            counted["valid_acc"] = counter, fit.validation.support
    counts = host_counts(counted)
    values["seconds"] = time.perf_counter() - start
    return EpochRow(epoch, values, counts, sizes)


def count_correct(fit: Fit, examples: Examples) -> AccuracyCounter:
    """Count correct predictions in evaluation mode.

    No generator needs guarding for the training: each epoch seeds them anew. A module that draws in
    evaluation mode sees what `predict` would not, which is outside the promise.
    """
    state, counter = fit.state, AccuracyCounter(examples.n_classes)
    model = state.model

    def consume(start: int, stop: int, output: torch.Tensor) -> None:
        if nan_rows(output):
            raise _nonfinite(fit, "The module returns NaN", state.epoch + 1)
        counter.update(model.spec.classes(output), examples.targets[start:stop])

    each_output(model.module, examples.rows, consume)
    return counter


def _validate(fit: Fit, examples: Examples, counter: AccuracyCounter | None) -> float:
    """Return the mean loss in evaluation mode; count correct predictions if asked to, and tell of each chunk."""
    losses: list[torch.Tensor] = []
    sizes: list[float] = []
    told = bool(batch_observers(fit))
    state, model = fit.state, fit.state.model
    fit.loss.train(False)

    def consume(start: int, stop: int, output: torch.Tensor) -> None:
        if nan_rows(output):
            raise _nonfinite(fit, "The module returns NaN", state.epoch + 1)
        if counter is not None:
            counter.update(model.spec.classes(output), examples.targets[start:stop])
        heard = output.clone() if told else output  # the criterion may write to it
        loss, weight = _chunk_loss(fit, examples, output, start, stop)
        losses.append(loss.clone())  # which the criterion may return again for the next chunk
        sizes.append(weight)
        if told:
            batch = (examples.rows.chunk(start, stop), examples.targets[start:stop])
            tell(fit, "batch_begin", batch, False)
            tell(fit, "batch_end", batch, (losses[-1], heard), False)

    each_output(model.module, examples.rows, consume)
    total = torch.stack(losses).to(torch.float64).cpu() @ torch.tensor(sizes, dtype=torch.float64)
    return float(total / sum(sizes))


def _chunk_loss(
    fit: Fit, examples: Examples, output: torch.Tensor, start: int, stop: int
) -> tuple[torch.Tensor, float]:
    """Return the loss of a chunk and its weight: samples, or the sum of their weights."""
    targets = fit.loss.targets(examples.targets[start:stop])
    if examples.weights is None:
        return fit.loss.plain(output, targets), float(stop - start)
    weights = examples.weights[start:stop]
    weight = float(weights.sum(dtype=torch.float64))
    if weight == 0:
        return output.new_zeros(()), 0.0
    return fit.loss(output, (targets, weights)), weight


def _nonfinite(fit: Fit, what: str, epoch: int) -> NonFiniteLossError:
    """Return the error, with the likely cause."""
    chunk = fit.fitted.rows.chunk(0, min(len(fit.fitted), 1000))
    spread = float(chunk.to(torch.float64).abs().max())
    lr = float(fit.state.optimizer.param_groups[0]["lr"])
    cause = (
        f"X holds values up to {spread:.3g}: scale it (StandardScaler in a pipeline)"
        if spread > 50
        else f"lr={lr:g} is likely too high: try {min(lr / 10, 0.01):g}"
    )
    return NonFiniteLossError(f"{what} in epoch {epoch}. {cause}. The estimator is left unfitted.", "ACC-F3")


def _check_weights(fit: Fit) -> None:
    """Raise if the last step of all made weights that are not finite: no loss would tell any more."""
    state = fit.state
    for parameter in state.model.module.parameters() if state.best is None else ():
        values = parameter.detach()
        # A finite sum needs one pass; finite values whose sum overflows need the other.
        if not (cmath.isfinite(values.sum().item()) or bool(torch.isfinite(values).all())):
            raise _nonfinite(fit, "Weights became NaN or infinite", state.epoch)


def _keep(fit: Fit, row: EpochRow) -> None:
    """Make the epoch count: its row, its weights, and whether it is the best."""
    state = fit.state
    state.last = _taken(state.last, fit)
    state.rows.append(row)
    state.epoch = row.epoch
    if state.stopping is None:
        state.best_epoch = row.epoch
    elif state.stopping.update(row.epoch, _monitored(fit, row)):
        state.best_epoch = row.epoch
        state.best = _taken(state.best, fit)


def _taken(snapshot: Snapshot | None, fit: Fit) -> Snapshot:
    """Return a snapshot of the weights as they are now, in the memory of an earlier one if there is one."""
    if snapshot is None:
        return Snapshot(fit.state.model.module)
    snapshot.take(fit.state.model.module)
    return snapshot


def _monitored(fit: Fit, row: EpochRow) -> float:
    value = monitored_value(row, fit.monitor, fit.model.labels.classes)
    if math.isnan(value) and fit.state.stopping is not None and row.epoch == fit.first_epoch:
        raise ValueError(
            f"monitor={fit.monitor!r} is NaN in the first epoch, so it cannot say which epoch is best: the validation "
            "set has no row of that class, or its rows weigh 0. Validate on more rows, or monitor another column."
        )
    return value
