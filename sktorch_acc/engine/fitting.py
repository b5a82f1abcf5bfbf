"""One call of `fit` or `partial_fit`: rows to tensors, the probe, the epochs, and which epoch is held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from skorch.dataset import Dataset

from sktorch_acc._global_state import thread_limit
from sktorch_acc._params import split_nested
from sktorch_acc.data import Rows, stratified_holdout
from sktorch_acc.engine.device import resolve_threads, step_operations
from sktorch_acc.engine.fit_checks import FitChecks
from sktorch_acc.engine.history import check_monitor
from sktorch_acc.engine.loop import check_restored
from sktorch_acc.engine.loss import Loss
from sktorch_acc.engine.probe import probe
from sktorch_acc.engine.run import HeldRows, Plan, Run, epoch_seeds
from sktorch_acc.engine.schedules import Schedule, build_schedule
from sktorch_acc.engine.session import Session
from sktorch_acc.engine.steps import StepContext, TrainingRows
from sktorch_acc.engine.stopping import EarlyStopping, Snapshot, fingerprint, maximised
from sktorch_acc.exceptions import warn

__all__ = ["GivenRows", "prepare", "train"]

_SPLIT_SEED = -1  # the "epoch" whose seed decides the hold-out


@dataclass
class GivenRows:
    """Checked rows.

    Parameters
    ----------
    X : ndarray, CSR matrix or Tensor
        Checked features.
    indices : ndarray of shape (n_rows,), int64
        Class indices.
    weights : ndarray of shape (n_rows,) or None
        Weight of each row in training; None if all weigh the same.
    """

    X: Any
    indices: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64] | None = None


def prepare(
    session: Session,
    params: Mapping[str, Any],
    nested: Mapping[str, Any],
    given: GivenRows,
    valid: GivenRows | None,
    *,
    n_epochs: int,
    holdout: float | None,
) -> Run:
    """Split and move the rows, probe the module on them, and set up what the epochs need.

    Parameters
    ----------
    session : Session
        What is trained.
    params, nested : mapping
        The constructor's parameters.
    given, valid : GivenRows
        Rows to fit and rows to validate on (or None).
    n_epochs : int
        Epochs to run.
    holdout : float or None
        Share of `given` to hold out for validation.
    """
    rows = session.schema.rows(given.X, session.dtype, session.device).resident()
    fitted, held_out, weights, kept = _split(session, rows, given, valid, holdout)
    if params["early_stopping"] and held_out is None:
        raise ValueError(
            "early_stopping=True needs a validation set: set validation_fraction (0.1, say) or pass X_val and y_val."
        )
    objective = Loss(session.net.criterion_, session.spec, weights is not None)
    data = _training_rows(fitted, weights, objective, int(params["batch_size"]), session.dtype)
    found = probe(session.module, objective, session.spec, data)
    data.targets = objective.targets(data.indices)
    for held in (data, held_out):
        if held is not None and held.weights is not None:
            held.weights = held.weights.to(objective.dtype)
    operations = step_operations(session.module, found.row_operations, min(data.batch_size, len(data.rows)))
    session.n_threads = resolve_threads(params["n_threads"], operations, session.device)
    monitor, schedule, stopping = _deciders(session, params, nested, held_out is not None, n_epochs, data.n_steps)
    context = StepContext(
        data,
        objective.plain(),
        session.spec,
        found.columns,
        schedule.scheduler if schedule is not None and schedule.per_step else None,
        found.eval_layers,
    )
    plan = Plan(
        context=context,
        fitted=fitted,
        valid=held_out,
        objective=objective,
        train_accuracy=params["train_accuracy"],
        seed=session.seed,
        first_epoch=session.n_iter + 1,
        n_epochs=n_epochs,
        labels=session.labels.classes,
        monitor=monitor,
        stopping=stopping,
        schedule=schedule,
        kept=kept,
    )
    run = Run(plan, session.fingerprints if session.net.callbacks_ else None)
    if session.n_iter:  # an interrupt in the first epoch goes back to where this run began
        run.held = Snapshot(session.module)
    return run


def _deciders(
    session: Session,
    params: Mapping[str, Any],
    nested: Mapping[str, Any],
    validated: bool,
    n_epochs: int,
    n_steps: int,
) -> tuple[str, Schedule | None, EarlyStopping | None]:
    """Return the column that is followed, and what follows it: the schedule and early stopping."""
    monitor: str = params["monitor"]
    unvalidated = not validated and monitor.startswith("valid_")
    if unvalidated:
        monitor = "train_loss"  # for "plateau"; early stopping has a hold-out
    maximise = maximised(monitor)
    schedule = build_schedule(
        params["lr_scheduler"],
        split_nested(nested, "lr_scheduler"),
        session.net.optimizer_,
        lr=float(params["lr"]),
        max_epochs=n_epochs,
        n_steps=n_steps,
        maximise=maximise,
    )
    stopping = None
    if params["early_stopping"]:
        stopping = EarlyStopping(maximise, int(params["n_iter_no_change"]), float(params["tol"]))
    if stopping is not None or (schedule is not None and schedule.wants_metric):
        check_monitor(params["monitor"], params["train_accuracy"], validated or unvalidated, session.labels.classes)
    return monitor, schedule, stopping


def train(session: Session, run: Run, watch: FitChecks | None) -> None:
    """Run the epochs of a prepared run and let `watch` judge; `run.rows` and `run.best_epoch` say what came of it.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, with the net at the last complete epoch.
    NonFiniteLossError
        If the loss or the outputs became NaN or infinite.
    """
    if session.net.callbacks_:
        for held in filter(None, (run.plan.fitted, run.plan.valid)):
            held.dataset = Dataset(held.rows.source, held.indices.cpu())
    dataset = run.plan.fitted.dataset
    X, y = (None, None) if dataset is None else (dataset.X, dataset.y)
    try:
        with thread_limit(session.n_threads):
            session.net.partial_fit(X, y, run=run)
    finally:
        if run.rows:
            session.n_iter = run.rows[-1].epoch
            if session.net.callbacks_:  # whose on_train_end may have left another mode
                session.module.eval()
    _name_held_epoch(session, run)
    if watch is not None:
        watch.result(session.module, run)


def _split(
    session: Session, rows: Rows, given: GivenRows, valid: GivenRows | None, holdout: float | None
) -> tuple[HeldRows, HeldRows | None, npt.NDArray[np.float64] | None, npt.NDArray[np.int64] | None]:
    """Return the fitted rows, the hold-out, the weights of the fitted rows, and which rows these are."""
    n_classes = session.spec.n_classes
    if valid is not None:
        valid_rows = session.schema.rows(valid.X, session.dtype, session.device).resident()
        held_out = _held(valid_rows, valid.indices, None, n_classes, session.device)
        if given.weights is not None:
            own = np.ones(len(valid_rows)) if valid.weights is None else valid.weights
            held_out.weights = torch.from_numpy(own).to(session.device)
        return _held(rows, given.indices, None, n_classes, session.device), held_out, given.weights, None
    if holdout is None:
        return _held(rows, given.indices, None, n_classes, session.device), None, given.weights, None
    _, _, _, seed = epoch_seeds(session.seed, _SPLIT_SEED)
    kept, out = stratified_holdout(given.indices, holdout, seed)
    parts = []
    for chosen in (kept, out):
        weights = None
        if given.weights is not None:
            weights = torch.from_numpy(given.weights[chosen]).to(session.device, session.dtype)
        parts.append(_held(rows.take(chosen), given.indices[chosen], weights, n_classes, session.device))
    return parts[0], parts[1], None if given.weights is None else given.weights[kept], kept


def _held(
    rows: Rows,
    indices: npt.NDArray[np.int64],
    weights: torch.Tensor | None,
    n_classes: int,
    device: torch.device,
) -> HeldRows:
    support = np.bincount(indices, minlength=n_classes).astype(np.int64)
    return HeldRows(rows, torch.from_numpy(indices).to(device), support, weights)


def _training_rows(
    fitted: HeldRows,
    weights: npt.NDArray[np.float64] | None,
    objective: Loss,
    batch_size: int,
    dtype: torch.dtype,
) -> TrainingRows:
    """Return the rows that are trained on: those of weight 0 are not."""
    rows, indices = fitted.rows, fitted.indices
    row_weights = None
    if weights is not None:
        if (weights == 0).any():
            chosen = np.flatnonzero(weights)
            rows = rows.take(chosen)
            indices = indices[torch.from_numpy(chosen).to(indices.device)]
            weights = weights[chosen]
        row_weights = torch.from_numpy(weights).to(indices.device, dtype)
    return TrainingRows(rows, indices, indices, row_weights, batch_size)


def _name_held_epoch(session: Session, run: Run) -> None:
    """Set `run.best_epoch` to the epoch whose weights the net holds, after callbacks had their say."""
    held = run.best or run.held
    if held is None:
        return
    if not held.differs(session.module):
        if run.best is not None and not check_restored(session.net, run):
            _warn_of_other_weights(
                "The module keeps state outside of its parameters and buffers (a plain tensor attribute, say), which "
                "cannot be brought back with the best epoch's weights. Register it: self.register_buffer(...)."
            )
        return
    now = fingerprint(session.module)
    known = [epoch for epoch, recorded in session.fingerprints.items() if recorded == now]
    named = [getattr(callback, "best_epoch_", None) for _, callback in session.net.callbacks_]
    candidates = [epoch for epoch in named if epoch in known] or known[-1:]
    if candidates:
        run.best_epoch = int(candidates[0])
        return
    _warn_of_other_weights(
        "A callback changed the weights after an epoch was recorded, to none of the recorded epochs."
    )


def _warn_of_other_weights(cause: str) -> None:
    warn(f"{cause} history_ does not describe the weights that the estimator holds.", "ACC-E6")
