"""Early stopping: which epoch is best, and whether to go on."""

from __future__ import annotations

import math


def maximised(monitor: str) -> bool:
    """Whether a column is better when larger: accuracies are, losses are not.

    Raises
    ------
    ValueError
        If the name says neither.
    """
    column = monitor.partition("[")[0]
    if "loss" in column:
        return False
    if "acc" in column:
        return True
    raise ValueError(
        f"monitor={monitor!r} says neither 'loss' (minimised) nor 'acc' (maximised). Use a column of history_, "
        "such as 'valid_loss', 'valid_acc' or 'valid_acc[<label>]'."
    )


class EarlyStopping:
    """Follow one value: which epoch was best, and whether to go on.

    Parameters
    ----------
    maximise : bool
        Whether larger is better.
    patience : int
        Epochs without an improvement of more than `tol` after which to stop.
    tol : float
        What counts as an improvement for the patience; the best epoch is the best by any margin.
    """

    def __init__(self, maximise: bool, patience: int, tol: float) -> None:
        self._sign = 1.0 if maximise else -1.0
        self._patience, self._tol = patience, tol
        self.best = self._reference = -math.inf
        self.best_epoch = 0
        self._waited = 0

    def update(self, epoch: int, value: float) -> bool:
        """Take one epoch's value; return whether it is the best so far. NaN never is."""
        score = self._sign * value
        if score > self._reference + self._tol:
            self._reference, self._waited = score, 0
        else:
            self._waited += 1
        if score > self.best or self.best_epoch == 0:
            self.best = score if not math.isnan(score) else -math.inf
            self.best_epoch = epoch
            return True
        return False

    @property
    def exhausted(self) -> bool:
        """Whether the patience is used up."""
        return self._waited >= self._patience
