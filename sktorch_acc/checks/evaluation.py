"""Checks of when and in which mode an accuracy was measured (family E)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sktorch_acc._rates import rates
from sktorch_acc._text import listed
from sktorch_acc.findings import Finding

__all__ = [
    "check_fitted_batches",
    "check_held_out",
    "check_kept_graphs",
    "check_left_in_evaluation",
    "check_moving_figure",
    "check_norm_statistics",
    "check_restored_epoch",
    "check_running_figure",
    "check_training_mode",
]

_NORM_GAP = 0.1
_RUNNING_GAP = 0.02
# Variables of a loop keep a graph or two, and a list of a few does no harm.
_FEWEST_GRAPHS = 5


def _noise(n_rows: int) -> float:
    """Three standard errors of the difference of two shares of so many rows, at its largest."""
    return 3 * math.sqrt(0.5 / n_rows) if n_rows else math.inf


def check_training_mode(
    training: bool, as_it_is: npt.NDArray[np.int64], evaluated: npt.NDArray[np.int64], targets: npt.NDArray[np.int64]
) -> Finding | None:
    """Name a module left in training mode that predicts something else than in evaluation mode (E1).

    Parameters
    ----------
    training : bool
        Whether the module is in training mode.
    as_it_is, evaluated, targets : ndarray of shape (n_rows,), int64
        Predictions in the mode in which it is, in evaluation mode, and the truth.
    """
    different = int((as_it_is != evaluated).sum())
    if not training or not different:
        return None
    a, b = ((predicted == targets).sum() / max(1, len(targets)) for predicted in (as_it_is, evaluated))
    return Finding(
        "ACC-E1",
        "warning",
        f"The module is in training mode, with dropout or batch norm active: {different} of {len(targets)} rows get "
        f"another prediction than in evaluation mode. Scored as it is now {a:.4f}, and each time differently; in "
        f"evaluation mode {b:.4f}.",
        "Call model.eval() before scoring, and model.train() before the next epoch.",
    )


def check_running_figure(running: float, held: float, n_rows: int) -> Finding | None:
    """Say that a figure measured while the weights moved is not that of the model (E2)."""
    if not abs(running - held) > max(_RUNNING_GAP, _noise(n_rows)):
        return None
    return Finding(
        "ACC-E2",
        "info",
        f"train_acc_running = {running:.4f} was measured while the weights moved; the model you hold scores "
        f"{held:.4f} on these rows.",
        "Use train_accuracy='exact', or quote score(X, y).",
    )


def check_norm_statistics(with_batch: float, with_running: float, n_rows: int) -> Finding | None:
    """Warn of batch norm whose running statistics lag behind (E5): accuracies with either, on the same rows."""
    if not with_batch - with_running > max(_NORM_GAP, _noise(n_rows)):
        return None
    return Finding(
        "ACC-E5",
        "warning",
        f"The running statistics of batch norm do not fit the data: accuracy {with_batch:.3f} with batch statistics, "
        f"{with_running:.3f} with the running ones, which evaluation mode uses.",
        "Train for more steps, on larger batches, or with a larger momentum of the batch-norm layers.",
    )


def check_restored_epoch(held: int, last: int, held_figure: float, last_figure: float) -> Finding | None:
    """Say that the model is that of an earlier epoch, whose figure is another (E6)."""
    if held == last or held_figure == last_figure:
        return None
    return Finding(
        "ACC-E6",
        "info",
        f"The estimator holds the weights of epoch {held}, with an accuracy of {held_figure:.4f}; the last epoch, "
        f"{last}, had {last_figure:.4f}.",
        "Quote history_.loc[best_epoch_], not the last row.",
    )


def check_held_out(n_given: int, n_fitted: int, validation_fraction: float | None) -> Finding | None:
    """Say that the training accuracy is over the rows that were not held out (E7)."""
    if validation_fraction is None or n_given - n_fitted != round(validation_fraction * n_given):
        return None
    return Finding(
        "ACC-E7",
        "info",
        f"train_acc is over {n_fitted} of these {n_given} rows: {n_given - n_fitted} "
        f"({float(rates(n_given - n_fitted, n_given)):.0%}) were held out by validation_fraction. score(X, y) on all "
        "of them is another figure.",
        "Pass X_val and y_val to keep the two apart.",
    )


# ------------------------------------------------------------------ what a loop does while it runs


def check_moving_figure(reported: float, right: int, rows: int, epoch: int) -> Finding | None:
    """Say that a figure was counted while the weights moved (E2), if that shows.

    Parameters
    ----------
    reported : float
        The figure, which is that of all batches of the epoch as they were trained on.
    right, rows : int
        Counts of its last batches alone, and of the first ones of the next epoch.
    epoch : int
        From 1.
    """
    late = float(rates(right, rows))
    if not abs(late - reported) > max(_RUNNING_GAP, 3 * math.sqrt(0.25 / max(1, rows))):
        return None
    return Finding(
        "ACC-E2",
        "info",
        f"The figure of epoch {epoch}, {reported:.4f}, was counted while the weights moved: over the {rows} rows "
        f"around its end it was {late:.4f}. It is the accuracy of no model.",
        "After the epoch, count once more over all rows, with model.eval() and torch.no_grad().",
    )


def check_fitted_batches(reported: float, before: float | None, batches: int, epoch: int) -> Finding | None:
    """Name a figure taken after the step on the very batch just fitted (E3)."""
    if batches < 2:
        return None
    than = "" if before is None else f" Before the steps, the same rows gave {before:.4f}."
    return Finding(
        "ACC-E3",
        "warning",
        f"The figure of epoch {epoch}, {reported:.4f}, was taken on each of its {batches} batches right after the step "
        f"on that batch: it shows how well a step fits its own rows, not how good the model is.{than}",
        "After the epoch, count over all rows, with model.eval() and torch.no_grad().",
    )


def check_left_in_evaluation(epoch: int, step: int, steps: int, layers: Sequence[str]) -> Finding | None:
    """Name steps in evaluation mode after others in training mode (E4).

    Parameters
    ----------
    epoch, step : int
        Where it began, both from 1.
    steps : int
        How many there were.
    layers : sequence of str
        Types of the layers that behave in another way then.
    """
    if not steps or not layers:
        return None
    start = f"at the start of epoch {epoch}" if step == 1 else f"at step {step} of epoch {epoch}"
    taken = "1 step was" if steps == 1 else f"{steps} steps were"
    return Finding(
        "ACC-E4",
        "warning",
        f"Module still in eval mode {start}: {taken} taken with {listed(layers)} as in evaluation, after others in "
        "training mode.",
        "If that is not meant: call model.train() at the start of each epoch, and again after each evaluation.",
    )


def check_kept_graphs(kept: int, made: int, reported_with_graph: bool) -> Finding | None:
    """Name outputs or losses that are kept with their graph (E9).

    Parameters
    ----------
    kept : int
        Most graphs that were alive at one time without being of use.
    made : int
        Forward passes that made one.
    reported_with_graph : bool
        Whether a figure that was reported hangs on a graph.
    """
    if kept < _FEWEST_GRAPHS and not reported_with_graph:
        return None
    what = f"The graphs of {kept} of {made} forward passes were alive at the same time, long after they were of use"
    if kept < _FEWEST_GRAPHS:
        what = "The reported figure requires a gradient, and keeps the graph that made it"
    return Finding(
        "ACC-E9",
        "warning",
        f"{what}: memory grows with each batch, as with total += loss or outputs.append(z).",
        "Detach or use .item(): total += loss.item(), outputs.append(z.detach()); evaluate under torch.no_grad().",
    )
