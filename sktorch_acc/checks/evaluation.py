"""Checks of when, in which mode and on which samples an accuracy was measured (family E)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sktorch_acc._rates import rates
from sktorch_acc._text import listed
from sktorch_acc.findings import Finding

Ints = npt.NDArray[np.int64]

_NORM_GAP = 0.1
_RUNNING_GAP = 0.02
# Variables of a loop keep a graph or two, and a list of a few does no harm.
_FEWEST_GRAPHS = 5


def _noise(n_samples: int) -> float:
    """Return three standard errors, at most, of the difference of two accuracies on so many samples."""
    return 3 * math.sqrt(0.5 / n_samples) if n_samples else math.inf


def check_training_mode(as_it_is: Ints, evaluated: Ints, targets: Ints) -> Finding | None:
    """Report a module in training mode that predicts something else in evaluation mode (E1).

    Parameters
    ----------
    as_it_is, evaluated, targets : ndarray of shape (n_samples,), int64
        Predictions in training mode and in evaluation mode, and the true classes.
    """
    different = int((as_it_is != evaluated).sum())
    if not different:
        return None
    now, then = ((predicted == targets).mean() for predicted in (as_it_is, evaluated))
    return Finding(
        "ACC-E1",
        "warning",
        f"The module is in training mode, with dropout or batch norm active: the predictions of {different} of "
        f"{len(targets)} samples differ from those in evaluation mode. The accuracy is {now:.4f} now, and another one "
        f"each time; in evaluation mode it is {then:.4f}.",
        "Call model.eval() before scoring, and model.train() before the next epoch.",
    )


def check_running_accuracy(running: float, held: float, n_samples: int) -> Finding | None:
    """Report a training accuracy that was measured while the weights changed (E2)."""
    if not abs(running - held) > max(_RUNNING_GAP, _noise(n_samples)):
        return None
    return Finding(
        "ACC-E2",
        "info",
        f"train_acc_running = {running:.4f} was measured while the weights changed; the accuracy of the final weights "
        f"on these samples is {held:.4f}.",
        "Use train_accuracy='exact', or score(X, y).",
    )


def check_norm_statistics(with_batch: float, with_running: float, n_samples: int) -> Finding | None:
    """Warn of batch norm whose running statistics lag behind (E5): accuracies with either, on the same samples."""
    if not with_batch - with_running > max(_NORM_GAP, _noise(n_samples)):
        return None
    return Finding(
        "ACC-E5",
        "warning",
        f"The running statistics of batch norm do not fit the data: accuracy {with_batch:.3f} with batch statistics, "
        f"{with_running:.3f} with the running ones, which evaluation mode uses.",
        "Train for more steps, on larger batches, or with a larger momentum of the batch-norm layers.",
    )


def check_restored_epoch(held: int, last: int, held_accuracy: float, last_accuracy: float) -> Finding | None:
    """Report that the weights are those of an earlier epoch, with another accuracy (E6)."""
    if held == last or held_accuracy == last_accuracy:
        return None
    return Finding(
        "ACC-E6",
        "info",
        f"The estimator holds the weights of epoch {held}, with an accuracy of {held_accuracy:.4f}; the last epoch, "
        f"{last}, had {last_accuracy:.4f}.",
        "Use history_.loc[best_epoch_], not the last row.",
    )


def check_held_out(n_given: int, n_fitted: int, validation_fraction: float | None) -> Finding | None:
    """Report that the training accuracy excludes the validation samples (E7)."""
    if validation_fraction is None or n_given - n_fitted != round(validation_fraction * n_given):
        return None
    return Finding(
        "ACC-E7",
        "info",
        f"train_acc is over {n_fitted} of these {n_given} samples: {n_given - n_fitted} "
        f"({float(rates(n_given - n_fitted, n_given)):.0%}) were held out by validation_fraction. score(X, y) is over "
        "all of them.",
        "Pass X_val and y_val to keep the two apart.",
    )


def check_new_module(trained: Sequence[str]) -> Finding | None:
    """Report a newly built module that holds layers which an earlier fit has trained (E10).

    Parameters
    ----------
    trained : sequence of str
        Names of its parameters and buffers that share memory with those of an earlier fit.
    """
    if not trained:
        return None
    what = "a value" if len(trained) == 1 else f"{len(trained)} parameters and buffers"
    return Finding(
        "ACC-E10",
        "warning",
        f"The new module is not new: it holds {what} that an earlier fit in this process has trained "
        f"({listed(trained)}). The factory or class that makes it uses layers that were made outside of it, the same "
        "at every call: each fit starts where the last one ended and changes that estimator, and cross-validation "
        "scores samples that were trained on.",
        "Make the layers inside of it, copy them there with copy.deepcopy, or pass them as module__<name> (also in a "
        "list or dict), which fit copies. What is to stay as it is can be frozen: requires_grad_(False).",
    )


# ------------------------------------------------------------------ what a loop does while it runs


def check_moving_accuracy(reported: float, correct: int, samples: int, epoch: int) -> Finding | None:
    """Report an accuracy that was counted while the weights changed (E2), if that makes a difference.

    Parameters
    ----------
    reported : float
        The accuracy over all batches of the epoch as they were trained on.
    correct, samples : int
        Counts of its last batches alone, and of the first ones of the next epoch.
    epoch : int
        From 1.
    """
    late = float(rates(correct, samples))
    if not abs(late - reported) > max(_RUNNING_GAP, 3 * math.sqrt(0.25 / max(1, samples))):
        return None
    return Finding(
        "ACC-E2",
        "info",
        f"The accuracy of epoch {epoch}, {reported:.4f}, was counted while the weights changed: over the {samples} "
        f"samples around its end it was {late:.4f}. It is not the accuracy of any one model.",
        "After the epoch, count once more over all samples, with model.eval() and torch.no_grad().",
    )


def check_fitted_batches(reported: float, before: float | None, batches: int, epoch: int) -> Finding | None:
    """Report an accuracy that is counted on each batch after the step on that batch (E3)."""
    if batches < 2:
        return None
    than = "" if before is None else f" Before the steps it was {before:.4f} on the same batches."
    return Finding(
        "ACC-E3",
        "warning",
        f"The accuracy of epoch {epoch}, {reported:.4f}, was counted on each of its {batches} batches right after the "
        f"step on that batch: it shows how well a step fits its own batch, not how good the model is.{than}",
        "After the epoch, count over all samples, with model.eval() and torch.no_grad().",
    )


def check_left_in_evaluation(epoch: int, step: int, steps: int, layers: Sequence[str]) -> Finding | None:
    """Report steps in evaluation mode after others in training mode (E4).

    Parameters
    ----------
    epoch, step : int
        The first of them, both from 1.
    steps : int
        How many there were.
    layers : sequence of str
        Types of the layers that compute something else in evaluation mode.
    """
    if not steps or not layers:
        return None
    start = f"at the start of epoch {epoch}" if step == 1 else f"at step {step} of epoch {epoch}"
    taken = "1 step was" if steps == 1 else f"{steps} steps were"
    return Finding(
        "ACC-E4",
        "warning",
        f"Module still in eval mode {start}: {taken} taken with {listed(layers)} in evaluation mode, after others in "
        "training mode.",
        "If that is not intended, call model.train() at the start of each epoch, and again after each evaluation.",
    )


def check_kept_graphs(kept: int, made: int, reported_with_graph: bool) -> Finding | None:
    """Report outputs or losses that are kept with their graph (E9).

    Parameters
    ----------
    kept : int
        Most graphs that were alive at one time without being needed.
    made : int
        Forward passes that made one.
    reported_with_graph : bool
        Whether a reported accuracy requires a gradient.
    """
    if kept < _FEWEST_GRAPHS and not reported_with_graph:
        return None
    what = f"The graphs of {kept} of {made} forward passes were alive at the same time, after they were needed"
    if kept < _FEWEST_GRAPHS:
        what = "The reported accuracy requires a gradient, and keeps the graph that computed it"
    return Finding(
        "ACC-E9",
        "warning",
        f"{what}: memory grows with each batch, as with total += loss or outputs.append(z).",
        "Detach or use .item(): total += loss.item(), outputs.append(z.detach()); evaluate under torch.no_grad().",
    )
