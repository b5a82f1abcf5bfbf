"""The epochs of a fit: train, evaluate, record, notify, check stopping."""

from __future__ import annotations

import cmath
import time
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from sktorch_acc._global_state import epoch_seeds, seed_generators
from sktorch_acc.counts import AccuracyCounter, host_counts
from sktorch_acc.data import Examples
from sktorch_acc.engine.diverged import nonfinite, refuse_unusable
from sktorch_acc.engine.evaluate import each_output
from sktorch_acc.engine.history import EpochRow
from sktorch_acc.engine.monitored import monitored
from sktorch_acc.engine.observer import tell
from sktorch_acc.engine.snapshot import Snapshot
from sktorch_acc.engine.state import Fit
from sktorch_acc.engine.steps import train_epoch
from sktorch_acc.engine.trained import noting_trained
from sktorch_acc.engine.validation import validate


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
        state.return_to_last_epoch()
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
        value = monitored(fit, row)
    _keep(fit, row, value)
    tell(fit, "epoch_recorded", row)
    stop = any(tell(fit, "epoch_end", row))
    refuse_other_module(fit, module)
    if state.schedule is not None:
        state.schedule.end_epoch(value)
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
    loss, n_unusable = train_epoch(fit, order, running), 0
    values, sizes = {"train_loss": loss, "lr": lr}, {"train": (fit.fitted.targets.shape[0], fit.n_steps)}
    if mode == "exact":
        counter, n_unusable = _evaluate(fit, fit.fitted)
        counted["train_acc"] = counter, fit.fitted.support
    if running is not None:
        counted["train_acc_running"] = running, fit.training.support
    if fit.validation is not None:
        validated = AccuracyCounter(n_classes) if mode else None
        values["valid_loss"], more = validate(fit, fit.validation, validated)
        n_unusable += more
        sizes["valid"] = (len(fit.validation), 1)
        if validated is not None:
            counted["valid_acc"] = validated, fit.validation.support
    counts = host_counts(counted)
    values["seconds"] = time.perf_counter() - start
    return EpochRow(epoch, values, counts, sizes, n_unusable)


def count_correct(fit: Fit, examples: Examples) -> AccuracyCounter:
    """Count correct predictions in evaluation mode."""
    return _evaluate(fit, examples)[0]


def _evaluate(fit: Fit, examples: Examples) -> tuple[AccuracyCounter, int]:
    """Count correct predictions in evaluation mode, and samples whose outputs are no probabilities.

    No generator needs guarding for the training: each epoch seeds them anew. A module that draws in
    evaluation mode sees what `predict` would not, which is outside the promise.
    """
    model, counter = fit.model, AccuracyCounter(examples.n_classes)
    n_unusable = 0

    def consume(start: int, stop: int, output: torch.Tensor) -> None:
        nonlocal n_unusable
        fit.first.evaluation_form.check(output, model.module)
        n_unusable += refuse_unusable(fit, output)
        counter.update(model.spec.classes(output), examples.targets[start:stop])

    each_output(model.module, examples.rows, consume)
    return counter, n_unusable


def _check_weights(fit: Fit) -> None:
    """Raise if the last step of all made weights that are not finite: no loss would tell any more."""
    state = fit.state
    for parameter in state.model.module.parameters() if state.best is None else ():
        values = parameter.detach()
        # A finite sum needs one pass; finite values whose sum overflows need the other.
        if not (cmath.isfinite(values.sum().item()) or bool(torch.isfinite(values).all())):
            raise nonfinite(fit, "Weights became NaN or infinite", epoch=state.epoch)


def _keep(fit: Fit, row: EpochRow, value: float) -> None:
    """Make the epoch count: its row, its weights, and whether it is the best by the monitored value."""
    state = fit.state
    if _may_be_undone(fit, row.epoch):
        state.keep_epoch()
    else:
        state.last = state.moved = None
    state.rows.append(row)
    state.epoch = row.epoch
    if state.stopping is None:
        state.best_epoch = row.epoch
    elif state.stopping.update(row.epoch, value):
        state.best_epoch = row.epoch
        if state.best is None:
            state.best = Snapshot(state.model.module)
        else:
            state.best.take(state.model.module)


def _may_be_undone(fit: Fit, epoch: int) -> bool:
    """Whether anything can move the weights after this epoch: another epoch, or foreign code."""
    last = fit.first_epoch + fit.settings.max_epochs - 1
    return epoch < last or any(observer.foreign for observer in fit.observers)
