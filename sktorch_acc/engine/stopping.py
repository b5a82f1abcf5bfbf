"""Early stopping, and the copies of the weights that it and an interrupt go back to."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import nn

__all__ = ["EarlyStopping", "Snapshot", "fingerprint", "maximised"]


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


class Snapshot:
    """A copy of a module's parameters and buffers, taken again and again into the same memory."""

    def __init__(self, module: nn.Module) -> None:
        self._kept: list[torch.Tensor] = []
        self.take(module)

    def take(self, module: nn.Module) -> None:
        """Copy the live values."""
        live = _values(module)
        with torch.no_grad():
            if [t.shape for t in live] == [t.shape for t in self._kept]:
                torch._foreach_copy_(self._kept, live)
            else:
                self._kept = [tensor.detach().clone() for tensor in live]

    def restore(self, module: nn.Module) -> None:
        """Write the copy back."""
        live = _values(module)
        with torch.no_grad():
            if [t.shape for t in live] == [t.shape for t in self._kept]:
                torch._foreach_copy_(live, self._kept)
            else:  # a buffer that grows
                for tensor, kept in zip(live, self._kept, strict=True):
                    tensor.data = kept.clone()

    def differs(self, module: nn.Module) -> bool:
        """Whether the module's values are no longer those of the copy."""
        live = _values(module)
        if len(live) != len(self._kept):
            return True
        return not all(torch.equal(a, b) or _bytes(a) == _bytes(b) for a, b in zip(live, self._kept, strict=True))


def _values(module: nn.Module) -> list[torch.Tensor]:
    # Collected each time: a module may assign a new tensor to a buffer, a callback a new module to the net.
    return [*module.parameters(), *module.buffers()]


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def fingerprint(module: nn.Module) -> bytes:
    """Return a digest of all parameters and buffers, to recognise weights that come back."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in _values(module):
        digest.update(_bytes(tensor))
    return digest.digest()


class EarlyStopping:
    """Follow one figure: which epoch was best, and whether to go on.

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
        """Take one epoch's figure; return whether it is the best so far. NaN never is."""
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
