"""Checks of whether the output for a sample is a function of that sample alone: codes E11 and B4."""

from __future__ import annotations

from sktorch_acc.findings import Finding

_ROUNDINGS = 100  # of the largest output; ordinary modules differ by some tens between batches of different sizes
_ROUNDINGS_REPEATED = 8  # one batch twice: equal bits, but for the order of sums on some devices
_WEAK = 0.01  # of the largest output
_ABOVE_NOISE = 30  # times what one rounding of the inputs and weights changes


def tolerance(eps: float, largest: float) -> float:
    """Return the difference allowed between a sample in one batch and in another.

    Parameters
    ----------
    eps : float
        Distance from 1 to the next number of the coarsest dtype in which the module computes.
    largest : float
        Largest magnitude of an output.
    """
    return _ROUNDINGS * eps * largest


def tolerance_repeated(eps: float, largest: float) -> float:
    """Return the difference allowed between two passes over one batch; arguments as for `tolerance`."""
    return _ROUNDINGS_REPEATED * eps * largest


def check_repeated(difference: float, allowed: float, who: str) -> Finding | None:
    """Report a module whose outputs for the same samples differ from call to call in evaluation mode (E11).

    Parameters
    ----------
    difference, allowed : float
        Largest difference between two passes over one batch, and `tolerance_repeated`.
    who : str
        Class name of the module.
    """
    if not difference > allowed:
        return None
    return Finding(
        "ACC-E11",
        "warning",
        f"{who}.forward is random in evaluation mode, or counts its calls: two passes over the same samples, in "
        f"evaluation mode and with the same weights, differ by up to {difference:.3g}. Predictions and accuracies "
        "differ from call to call, and no recorded accuracy can be reproduced.",
        "Pass training=self.training to F.dropout, make layers such as nn.Dropout in __init__, not in forward, and add "
        "noise only if self.training. diagnose='off' keeps fit silent where the noise is intended.",
    )


def check_parts(difference: float, allowed: float, noise: float, largest: float, who: str) -> Finding | None:
    """Report a module whose output for a sample depends on the other samples of its batch (B4).

    Parameters
    ----------
    difference, allowed : float
        Largest difference between samples in a batch and the same samples in a part of it, and `tolerance`.
    noise : float
        Largest change of an output when inputs and weights change by one rounding.
    largest : float
        Largest magnitude of an output. A difference of less than 1 % of it is a warning, not an error.
    who : str
        Class name of the module.
    """
    if not difference > max(allowed, _ABOVE_NOISE * noise):
        return None
    weak = difference < _WEAK * largest
    return Finding(
        "ACC-B4",
        "warning" if weak else "error",
        f"The samples of a batch influence each other in {who}.forward (in evaluation mode): the outputs of the same "
        f"samples in a smaller batch differ by up to {difference:.3g}. Predictions depend on which samples are "
        "predicted together.",
        "Axis 0 is the batch: compute softmax, means, sorting and attention over the other axes (dim=1, "
        "batch_first=True), and use batch norm with running statistics."
        + (" Let iterations end for each sample, or after a fixed number, not when the batch has converged." * weak),
    )
