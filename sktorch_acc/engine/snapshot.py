"""Copies of the weights, to bring back the last complete or the best epoch, and digests to recognise them by."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


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
    # Collected each time: a module may assign a new tensor to a buffer, a callback another module to the net.
    return [*module.parameters(), *module.buffers()]


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def fingerprint(module: nn.Module) -> bytes:
    """Return a digest of all parameters and buffers, to recognise weights that come back."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in _values(module):
        digest.update(_bytes(tensor))
    return digest.digest()
