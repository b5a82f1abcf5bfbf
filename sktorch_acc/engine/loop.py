"""The epochs of a fit: train, look, record, tell, decide."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch

from sktorch_acc._state import guarded_generators, seed_generators
from sktorch_acc.counts import AccuracyCounter, host_counts
from sktorch_acc.data import Rows
from sktorch_acc.engine.evaluate import each_output, nan_rows
from sktorch_acc.engine.history import EpochRow, monitored_value
from sktorch_acc.engine.interrupts import Interrupts
from sktorch_acc.engine.objective import Objective
from sktorch_acc.engine.schedules import Schedule
from sktorch_acc.engine.steps import StepContext, train_epoch
from sktorch_acc.engine.stopping import EarlyStopping, Snapshot, fingerprint
from sktorch_acc.exceptions import NonFiniteLossError

if TYPE_CHECKING:
    from sktorch_acc.engine.net import Net
    from sktorch_acc.engine.watch import Watch

__all__ = ["EpochListener", "HeldRows", "Run", "check_restored", "epoch_seeds", "run_epochs"]

_GOLDEN = 0x9E3779B97F4A7C15  # spreads consecutive epochs over the seeds


class EpochListener(Protocol):
    """Who wants to know of epochs, after skorch's callbacks."""

    def begin_epoch(self, epoch: int) -> None:
        """Hear that the first step of an epoch is next."""

    def end_epoch(self, row: EpochRow) -> bool:
        """Hear that the epoch is recorded; a true answer stops the fit."""


@dataclass
class HeldRows:
    """Rows to look at after an epoch: the fitted rows, or the hold-out.

    Parameters
    ----------
    rows : Rows
        Features, in the order in which they were given.
    indices : Tensor of shape (n_rows,), int64
        Class indices, on the device.
    support : ndarray of shape (n_classes,), int64
        Rows of each class.
    weights : Tensor of shape (n_rows,) or None
        For the loss alone; accuracies are counts.
    dataset : object
        The skorch dataset that callbacks get; made only if there are callbacks.
    """

    rows: Rows
    indices: torch.Tensor
    support: npt.NDArray[np.int64]
    weights: torch.Tensor | None = None
    dataset: Any = None


@dataclass
class Run:
    """One call of `fit` or `partial_fit`: what the epochs need, and what they leave.

    Parameters
    ----------
    context : StepContext
        What a step needs.
    fitted, valid : HeldRows
        The fitted rows and the hold-out (or None).
    objective : Objective
        The loss.
    train_accuracy : {"exact", "running"} or None
        What to record.
    seed : int
        Every epoch's randomness is a function of the seed and the epoch's number, so that continuing a
        fit is the same as not having stopped.
    first_epoch, n_epochs : int
        Number of the first epoch (from 1), and how many to run.
    labels : ndarray of shape (n_classes,)
        For the names of per-class columns.
    monitor : str
        Column that early stopping and ``"plateau"`` follow.
    stopping : EarlyStopping or None
        Early stopping.
    schedule : Schedule or None
        Learning-rate schedule.
    kept : ndarray of int64 or None
        Which of the rows given are the fitted rows; None: all.
    listeners : list of EpochListener
        Told of every epoch.
    watch : Watch or None
        What judges the result.
    """

    context: StepContext
    fitted: HeldRows
    valid: HeldRows | None
    objective: Objective
    train_accuracy: Literal["exact", "running"] | None
    seed: int
    first_epoch: int
    n_epochs: int
    labels: npt.NDArray[Any]
    monitor: str
    stopping: EarlyStopping | None
    schedule: Schedule | None
    kept: npt.NDArray[np.int64] | None = None
    listeners: list[EpochListener] = field(default_factory=list)
    watch: Watch | None = None
    interrupts: Interrupts = field(default_factory=Interrupts)
    stop_requested: bool = False
    rows: list[EpochRow] = field(default_factory=list)
    best_epoch: int = 0
    held: Snapshot | None = None  # weights of the last complete epoch
    best: Snapshot | None = None  # weights of the best epoch, with early stopping
    fingerprints: dict[int, bytes] | None = None  # of each epoch's weights, if callbacks might bring some back


def epoch_seeds(seed: int, epoch: int) -> tuple[int, int, int, int]:
    """Return the seeds of an epoch: torch, numpy, Python, order of the rows. Epoch 0 builds the module."""
    mixed = (seed + epoch * _GOLDEN) % 2**64
    return mixed % 2**63, mixed % 2**32, mixed >> 1, (mixed ^ _GOLDEN) % 2**63


def run_epochs(net: Net, run: Run) -> None:
    """Run the epochs; leave the net with the weights of `run.best_epoch`.

    An error or a real Ctrl-C goes back to the last complete epoch (or the best one) and is raised again.
    """
    order = torch.Generator()
    try:
        for epoch in range(run.first_epoch, run.first_epoch + run.n_epochs):
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
        "dataset_train": run.fitted.dataset,
        "dataset_valid": None if run.valid is None else run.valid.dataset,
    }
    with _guarded(net, run):
        for listener in run.listeners:
            listener.begin_epoch(epoch)
    net.notify("on_epoch_begin", **datasets)
    *shared, order_seed = epoch_seeds(run.seed, epoch)
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
    n_classes = len(run.labels)
    counters: dict[str, AccuracyCounter] = {}
    running = AccuracyCounter(n_classes) if run.train_accuracy else None
    loss, n_steps = train_epoch(net, run.context, order, running)
    if not math.isfinite(loss):
        raise _nonfinite(run, epoch, lr, f"The training loss became {loss:g}")
    values = {"train_loss": loss, "lr": lr}
    if run.train_accuracy == "exact":
        counters["train_acc"] = AccuracyCounter(n_classes)
        _count(net, run, run.fitted, counters["train_acc"], epoch, lr)
    if running is not None:
        counters["train_acc_running"] = running
    if run.valid is not None:
        valid = AccuracyCounter(n_classes) if run.train_accuracy else None
        values["valid_loss"] = _count(net, run, run.valid, valid, epoch, lr, with_loss=True)
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
            counter.update(run.context.meaning.classes(output), held.indices[start:stop])
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
    targets: Any = run.objective.targets(held.indices[start:stop])
    weight = float(stop - start)
    if run.objective.weighted:
        weights = held.weights
        assert weights is not None
        targets = (targets, weights[start:stop])
        weight = float(weights[start:stop].sum(dtype=torch.float64))
        if weight == 0:
            return output.new_zeros(()), 0.0
    return run.context.loss_of(output, targets), weight


def _nonfinite(run: Run, epoch: int, lr: float, what: str) -> NonFiniteLossError:
    chunk = run.fitted.rows.chunk(0, min(len(run.fitted.rows), 1000))
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
    counter = AccuracyCounter(len(run.labels))
    _count(net, run, run.fitted, counter, row.epoch, row.values["lr"])
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
    if run.stopping is None:
        run.best_epoch = row.epoch
    elif run.stopping.update(row.epoch, _monitored(run, row)):
        run.best_epoch = row.epoch
        if run.best is None:
            run.best = Snapshot(net.module_)
        else:
            run.best.take(net.module_)


def _monitored(run: Run, row: EpochRow) -> float:
    value = monitored_value(row, run.monitor, run.labels)
    if math.isnan(value) and row.epoch == run.first_epoch:
        raise ValueError(
            f"monitor={run.monitor!r} is NaN in the first epoch, so it cannot say which epoch is best: the validation "
            "set has no row of that class, or its rows weigh 0. Validate on more rows, or monitor another column."
        )
    return value


def _record_for_callbacks(net: Net, run: Run, row: EpochRow, n_steps: int) -> None:
    """Write the epoch into skorch's history under skorch's names, before user callbacks run."""
    record = net.history[-1]  # a dict; record() and record_batch() look it up anew for every value
    summary: dict[str, Any] = {}
    for prefix, held, count in (("train", run.fitted, n_steps), ("valid", run.valid, 1)):
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
    if run.schedule is not None:
        metric = math.nan
        if run.schedule.wants_metric:
            missing = run.valid is None and run.monitor.startswith("valid_")
            name = "train_loss" if missing else run.monitor
            metric = monitored_value(row, name, run.labels)
        run.schedule.end_epoch(metric)
    return stop or (run.stopping is not None and run.stopping.exhausted)
