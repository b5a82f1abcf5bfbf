"""Restore a module that was run: its tensors, modes, attributes and gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

_TENSORS = ("_parameters", "_buffers")


@contextmanager
def untouched(*modules: nn.Module | None) -> Iterator[None]:
    """Restore everything that the body changed in the modules, also when it raises.

    These are parameters and buffers bit for bit (and the same tensor objects), ``.grad``,
    ``requires_grad``, the mode of every layer, and attributes that `forward` sets, such as a counter or a
    cached tensor.
    """
    layers = {id(layer): layer for module in modules if module is not None for layer in module.modules()}
    kept = [(layer, _Kept(layer)) for layer in layers.values()]
    try:
        yield
    finally:
        for layer, state in kept:
            state.restore(layer)


class _Kept:
    """The state of one layer, without that of the layers in it."""

    def __init__(self, layer: nn.Module) -> None:
        self.attributes = dict(vars(layer))
        self.training = layer.training  # a scripted layer does not have it among its attributes
        self.tables = {name: dict(getattr(layer, name)) for name in _TENSORS}
        self.tensors = [
            (t, t.detach().clone(), t.grad, None if t.grad is None else t.grad.detach().clone(), t.requires_grad)
            for table in self.tables.values()
            for t in table.values()
            if t is not None
        ]
        self.containers = [(v, v.copy()) for v in self.attributes.values() if type(v) in (list, dict, set)]

    def restore(self, layer: nn.Module) -> None:
        for container, content in self.containers:
            _refill(container, content)
        held = vars(layer)
        for name in held.keys() - self.attributes.keys():
            del held[name]
        held.update(self.attributes)
        layer.training = self.training
        for name, table in self.tables.items():
            now = getattr(layer, name)
            if {key: id(tensor) for key, tensor in now.items()} != {key: id(t) for key, t in table.items()}:
                _refill(now, table)
        for tensor, value, grad, grad_value, requires_grad in self.tensors:
            _write_back(tensor, value)
            if grad_value is not None:
                _write_back(grad, grad_value)
            tensor.grad = grad
            if tensor.is_leaf and tensor.requires_grad != requires_grad:
                tensor.requires_grad_(requires_grad)


def _refill(container: Any, content: Any) -> None:
    """Restore the content of a container in place."""
    if isinstance(container, list):
        container[:] = content
        return
    container.clear()
    container.update(content)


def _write_back(tensor: Any, value: torch.Tensor) -> None:
    """Restore the bits of a tensor, if they have changed."""
    if tensor.shape != value.shape:
        tensor.data = value
    elif not torch.equal(
        tensor.detach().contiguous().view(-1).view(torch.uint8), value.contiguous().view(-1).view(torch.uint8)
    ):
        with torch.no_grad():
            tensor.copy_(value)
