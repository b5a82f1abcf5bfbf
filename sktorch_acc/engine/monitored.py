"""The value of an epoch that early stopping and schedules follow, and why there is none."""

from __future__ import annotations

import math

from sktorch_acc.engine.history import EpochRow, monitored_value
from sktorch_acc.engine.state import Fit
from sktorch_acc.engine.validation import infinite_losses


def monitored(fit: Fit, row: EpochRow) -> float:
    """Return the value that the epoch is judged by; NaN if nothing follows one.

    Raises
    ------
    ValueError
        If it is not finite in the first epoch, so that it cannot decide anything.
    """
    schedule, stopping = fit.state.schedule, fit.state.stopping
    if stopping is None and (schedule is None or not schedule.wants_metric):
        return math.nan
    value = monitored_value(row, fit.monitor, fit.model.labels.classes)
    trained = not math.isnan(row.values["train_loss"])  # else nothing has moved
    if math.isfinite(value) or row.epoch != fit.first_epoch or not trained:
        return value
    decides = "when to lower the learning rate" if stopping is None else "which epoch is best"
    raise ValueError(
        f"monitor={fit.monitor!r} is {_name(value)} in the first epoch, so it cannot say {decides}: {_cause(fit)}"
    )


def _name(value: float) -> str:
    return "NaN" if math.isnan(value) else "infinite"


def _cause(fit: Fit) -> str:
    """Return why the monitored value is not finite, and what to do."""
    column, _, label = fit.monitor.partition("[")
    if column == "valid_loss":
        return _of_validation(fit)
    if label and column == "valid_acc":
        return "the validation set has no row of that class. Validate on more rows, or monitor another column."
    weighing = " with a weight" if column == "train_acc_running" else ""
    return f"the samples to train on have no row of that class{weighing}. Monitor another column."


def _of_validation(fit: Fit) -> str:
    assert fit.validation is not None
    criterion, n_samples = type(fit.loss.criterion).__name__, len(fit.validation)
    n_infinite = infinite_losses(fit, fit.validation)
    if n_infinite:
        return (
            f"{n_infinite} of the {n_samples} validation samples have a loss of {criterion} that is not finite. Are "
            "their classes masked by the module (-inf), or the outputs too large? Validate on other samples, or "
            "monitor valid_acc."
        )
    return (
        f"{criterion} is not a finite number for the {n_samples} validation samples together, as if it divided by 0: "
        "does it count none of them? Validate on other samples, or monitor valid_acc."
    )
