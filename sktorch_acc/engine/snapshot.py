"""Copies of the weights, to bring back the last complete or the best epoch, and digests to recognise them by."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import nn


class Snapshot:
    """A copy of a module's parameters and buffers by name, taken again and again into the same memory.

    `restore` brings back the module of that moment: values of tensors that are still there; tensors and layers that
    were registered since are removed, and those that were removed are registered again.
    """

    def __init__(self, module: nn.Module) -> None:
        self._copy(module, _values(module))

    def take(self, module: nn.Module) -> None:
        """Copy the live values."""
        live = _values(module)
        if [*live] != self._names or not self._same_kinds(live):
            self._copy(module, live)
        elif live:
            with torch.no_grad():
                torch._foreach_copy_(self._kept, [*live.values()])

    def _copy(self, module: nn.Module, live: dict[str, torch.Tensor]) -> None:
        self._names = [*live]
        self._kept = [tensor.detach().clone() for tensor in live.values()]
        self._registered = _registered(module)

    def _same_kinds(self, live: dict[str, torch.Tensor]) -> bool:
        pairs = zip(live.values(), self._kept, strict=True)
        return all(a.shape == b.shape and a.dtype is b.dtype for a, b in pairs)

    def restore(self, module: nn.Module) -> None:
        """Write the copy back."""
        live = _values(module)
        if [*live] != self._names:
            _register_again(self._registered)
            live = _values(module)
        with torch.no_grad():
            if [*live] == self._names and self._same_kinds(live):
                if live:
                    torch._foreach_copy_([*live.values()], self._kept)
                return
            for name, kept in zip(self._names, self._kept, strict=True):
                if name in live:  # not if it is another module
                    live[name].data = kept.clone()  # a buffer that grows

    def differs(self, module: nn.Module) -> bool:
        """Whether the module's values are no longer those of the copy."""
        live = _values(module)
        if [*live] != self._names:
            return True
        pairs = zip(live.values(), self._kept, strict=True)
        return not all(torch.equal(a, b) or _bytes(a) == _bytes(b) for a, b in pairs)


def _values(module: nn.Module) -> dict[str, torch.Tensor]:
    # Collected each time: a module may assign a new tensor to a buffer, a callback another module to the net.
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


_TABLES = ("_parameters", "_buffers", "_non_persistent_buffers_set", "_modules")
_Tables = list[tuple[nn.Module, str, Any]]


def _registered(module: nn.Module) -> _Tables:
    """Return the content of the tables of parameters, buffers and layers of every layer."""
    # In scripted layers, nothing can be registered, and the tables are of another type.
    layers = [layer for layer in module.modules() if not isinstance(layer, torch.jit.ScriptModule)]
    return [(layer, name, getattr(layer, name).copy()) for layer in layers for name in _TABLES]


def _register_again(tables: _Tables) -> None:
    """Restore the content of the tables."""
    for layer, name, content in tables:
        table = getattr(layer, name)
        table.clear()
        table.update(content)


def _bytes(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def fingerprint(module: nn.Module) -> bytes:
    """Return a digest of all parameters and buffers, to recognise weights that come back."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in _values(module).values():
        digest.update(_bytes(tensor))
    return digest.digest()
