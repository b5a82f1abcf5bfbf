"""The epochs of a fit: train, look, record, tell, decide."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from sktorch_acc._global_state import guarded_generators, seed_generators
from sktorch_acc.counts import AccuracyCounter, host_counts
from sktorch_acc.engine.evaluate import each_output, nan_rows
from sktorch_acc.engine.history import EpochRow, monitored_value
from sktorch_acc.engine.run import HeldRows, Plan, Run, epoch_seeds
from sktorch_acc.engine.steps import train_epoch
from sktorch_acc.engine.stopping import Snapshot, fingerprint
from sktorch_acc.exceptions import NonFiniteLossError

if TYPE_CHECKING:
    from sktorch_acc.engine.net import Net

__all__ = ["check_restored", "run_epochs"]


def run_epochs(net: Net, run: Run) -> None:
    """Run the epochs; leave the net with the weights of `run.best_epoch`.

    An error or a real Ctrl-C goes back to the last complete epoch (or the best one) and is raised again.
    """
    order = torch.Generator()
    try:
        for epoch in range(run.plan.first_epoch, run.plan.first_epoch + run.plan.n_epochs):
            _run_epoch(net, run, epoch, order)
            if _decide_to_stop(net, run):
                break
        _check_weights(net, run)
    except BaseException:
        if run.held is not None:
            run.held.restore(net.module_)
        raise
    finally:
        if run.best is not None and run.rows:
            run.best.restore(net.module_)
        net.module_.eval()


def _run_epoch(net: Net, run: Run, epoch: int, order: torch.Generator) -> None:
    datasets = {
        "dataset_train": run.plan.fitted.dataset,
        "dataset_valid": None if run.plan.valid is None else run.plan.valid.dataset,
    }
    with _guarded(net, run):
        for listener in run.listeners:
            listener.begin_epoch(epoch)
    net.notify("on_epoch_begin", **datasets)
    *shared, order_seed = epoch_seeds(run.plan.seed, epoch)
    seed_generators((shared[0], shared[1], shared[2]), torch.device(net.device))
    order.manual_seed(order_seed)
    row, n_steps = _measure(net, run, epoch, order)
    with run.interrupts.shielded():
        _keep(net, run, row)
        _record_for_callbacks(net, run, row, n_steps)
    trained = net.module_
    net.notify("on_epoch_end", **datasets)
    if net.module_ is not trained:
        raise RuntimeError(
            "A callback replaced net.module_ during training, so the optimizer would go on with the parameters of the "
            "old one: change the module's weights in place instead (load_state_dict, copy_)."
        )


def _measure(net: Net, run: Run, epoch: int, order: torch.Generator) -> tuple[EpochRow, int]:
    """Train one epoch and look at the result; return its row and the number of steps."""
    start = time.perf_counter()
    lr = float(net.optimizer_.param_groups[0]["lr"])
    n_classes = len(run.plan.labels)
    counters: dict[str, AccuracyCounter] = {}
    running = AccuracyCounter(n_classes) if run.plan.train_accuracy else None
    loss, n_steps = train_epoch(net, run.plan.context, order, running)
    if not math.isfinite(loss):
        raise _nonfinite(run, epoch, lr, f"The training loss became {loss:g}")
    values = {"train_loss": loss, "lr": lr}
    if run.plan.train_accuracy == "exact":
        counters["train_acc"] = AccuracyCounter(n_classes)
        _count(net, run, run.plan.fitted, counters["train_acc"], epoch, lr)
    if running is not None:
        counters["train_acc_running"] = running
    if run.plan.valid is not None:
        valid = AccuracyCounter(n_classes) if run.plan.train_accuracy else None
        values["valid_loss"] = _count(net, run, run.plan.valid, valid, epoch, lr, with_loss=True)
        if valid is not None:
            counters["valid_acc"] = valid
    counts = host_counts(counters)
    values["seconds"] = time.perf_counter() - start
    return EpochRow(epoch, values, counts), n_steps


def _count(
    net: Net,
    run: Run,
    held: HeldRows,
    counter: AccuracyCounter | None,
    epoch: int,
    lr: float,
    *,
    with_loss: bool = False,
) -> float:
    """Count correct predictions on rows; return their mean loss if asked to (else NaN).

    No generator needs guarding for the training: each epoch seeds them anew. A module that draws in
    evaluation mode sees what `predict` would not, which is outside the promise.
    """
    losses: list[torch.Tensor] = []
    sizes: list[float] = []
    listening = with_loss and net.batch_listeners()
    net.criterion_.eval()

    def consume(start: int, stop: int, output: torch.Tensor) -> None:
        if nan_rows(output):
            raise _nonfinite(run, epoch, lr, "The module returns NaN")
        if counter is not None:
            counter.update(run.plan.context.spec.classes(output), held.indices[start:stop])
        if not with_loss:
            return
        loss, weight = _chunk_loss(run, held, output, start, stop)
        losses.append(loss)
        sizes.append(weight)
        if listening:
            batch = (held.rows.chunk(start, stop), held.indices[start:stop])
            net.notify("on_batch_begin", batch=batch, training=False)
            net.end_batch("valid", batch, loss, output)

    each_output(net.module_, held.rows, consume)
    if not with_loss:
        return math.nan
    total = torch.stack(losses).to(torch.float64).cpu() @ torch.tensor(sizes, dtype=torch.float64)
    return float(total / sum(sizes))


def _chunk_loss(run: Run, held: HeldRows, output: torch.Tensor, start: int, stop: int) -> tuple[torch.Tensor, float]:
    """Return the loss of a chunk and its weight: rows, or the sum of their weights."""
    targets: Any = run.plan.objective.targets(held.indices[start:stop])
    weight = float(stop - start)
    if run.plan.objective.weighted:
        weights = held.weights
        assert weights is not None
        targets = (targets, weights[start:stop])
        weight = float(weights[start:stop].sum(dtype=torch.float64))
        if weight == 0:
            return output.new_zeros(()), 0.0
    return run.plan.context.loss_of(output, targets), weight


def _nonfinite(run: Run, epoch: int, lr: float, what: str) -> NonFiniteLossError:
    chunk = run.plan.fitted.rows.chunk(0, min(len(run.plan.fitted.rows), 1000))
    spread = float(chunk.to(torch.float64).abs().max())
    cause = (
        f"X holds values up to {spread:.3g}: scale it (StandardScaler in a pipeline)"
        if spread > 50
        else f"lr={lr:g} is likely too high: try {min(lr / 10, 0.01):g}"
    )
    return NonFiniteLossError(f"{what} in epoch {epoch}. {cause}. The estimator is left unfitted.", "ACC-F3")


def _check_weights(net: Net, run: Run) -> None:
    """Raise if the last step of all made weights that are not finite: no loss would tell any more."""
    row = run.rows[-1]
    if run.best is None and not all(_finite(p.detach()) for p in net.module_.parameters()):
        raise _nonfinite(run, row.epoch, row.values["lr"], "Weights became NaN or infinite")


def check_restored(net: Net, run: Run) -> bool:
    """Whether the module, back at the best epoch, predicts as it did then; one more pass over the rows.

    Not if it keeps state outside of its parameters and buffers, which no snapshot holds.
    """
    row = next(row for row in run.rows if row.epoch == run.best_epoch)
    if "train_acc" not in row.counts or run.best_epoch == run.rows[-1].epoch:
        return True
    counter = AccuracyCounter(len(run.plan.labels))
    _count(net, run, run.plan.fitted, counter, row.epoch, row.values["lr"])
    return bool((host_counts({"train_acc": counter})["train_acc"][0] == row.counts["train_acc"][0]).all())


def _finite(values: torch.Tensor) -> bool:
    # A finite sum needs one pass; finite values whose sum overflows need the other.
    return math.isfinite(values.sum().item()) or bool(torch.isfinite(values).all())


def _keep(net: Net, run: Run, row: EpochRow) -> None:
    """Make the epoch count: its row, its weights, and whether it is the best."""
    if run.held is None:
        run.held = Snapshot(net.module_)
    else:
        run.held.take(net.module_)
    run.rows.append(row)
    if run.fingerprints is not None:
        run.fingerprints[row.epoch] = fingerprint(net.module_)
    if run.plan.stopping is None:
        run.best_epoch = row.epoch
    elif run.plan.stopping.update(row.epoch, _monitored(run.plan, row)):
        run.best_epoch = row.epoch
        if run.best is None:
            run.best = Snapshot(net.module_)
        else:
            run.best.take(net.module_)


def _monitored(plan: Plan, row: EpochRow) -> float:
    value = monitored_value(row, plan.monitor, plan.labels)
    if math.isnan(value) and plan.stopping is not None and row.epoch == plan.first_epoch:
        raise ValueError(
            f"monitor={plan.monitor!r} is NaN in the first epoch, so it cannot say which epoch is best: the validation "
            "set has no row of that class, or its rows weigh 0. Validate on more rows, or monitor another column."
        )
    return value


def _record_for_callbacks(net: Net, run: Run, row: EpochRow, n_steps: int) -> None:
    """Write the epoch into skorch's history under skorch's names, before user callbacks run."""
    record = net.history[-1]  # a dict; record() and record_batch() look it up anew for every value
    summary: dict[str, Any] = {}
    for prefix, held, count in (("train", run.plan.fitted, n_steps), ("valid", run.plan.valid, 1)):
        if held is None:
            continue
        loss = row.values[f"{prefix}_loss"]
        summary |= {f"{prefix}_loss": loss, f"{prefix}_batch_size": len(held.rows)}
        record[f"{prefix}_loss"] = loss
        record[f"{prefix}_loss_best"] = net.improves(f"{prefix}_loss", loss)
        record[f"{prefix}_batch_count"] = count
    if not net.batch_listeners():  # an empty batch list breaks Checkpoint and PassthroughScoring
        record["batches"].append(summary)
    record.update(row.accuracies())
    record["dur"] = row.values["seconds"]


def _guarded(net: Net, run: Run) -> AbstractContextManager[None]:
    """Guard the generators, if there is somebody who could draw from them."""
    return guarded_generators(torch.device(net.device)) if run.listeners else nullcontext()


def _decide_to_stop(net: Net, run: Run) -> bool:
    """Tell the listeners, step the schedule; return whether the fit ends here."""
    row = run.rows[-1]
    stop = run.stop_requested
    with _guarded(net, run):
        for listener in run.listeners:
            stop = bool(listener.end_epoch(row)) or stop
    schedule, stopping = run.plan.schedule, run.plan.stopping
    if schedule is not None:
        schedule.end_epoch(_monitored(run.plan, row) if schedule.wants_metric else math.nan)
    return stop or (stopping is not None and stopping.exhausted)
