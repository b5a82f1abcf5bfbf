"""A process-wide register of the memory that fits have trained, held weakly.

A factory that closes over a layer, or finds it in a class attribute or a global, hands out the same layer at every
call: the next fit begins with weights that are trained already. Nothing can be copied there, but it can be noticed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

_FEWEST = 1024  # entries before those of memory that was freed are looked for

_lock = threading.Lock()
_memory: dict[int, StorageWeakRef] = {}  # by the address of the first element
_prune_at = _FEWEST


@contextmanager
def noting_trained(*parts: nn.Module) -> Iterator[None]:
    """Note the parameters and buffers of modules that the body trains, also if it raises.

    Parameters are those that have a gradient or were written to: layers that run without gradients are not among them.
    Buffers are those that were written to or replaced. Batch norm moves its statistics without a trace, but counts
    its batches in another buffer.
    """
    layers = [layer for part in parts for layer in part.modules()]
    own = [p for layer in layers if layer._parameters for p in layer._parameters.values() if p is not None]
    parameters = [(p, _version(p)) for p in own if p.requires_grad]
    before = [(layer, _versions(layer)) for layer in layers if layer._buffers]
    try:
        yield
    finally:
        moved: list[torch.Tensor] = [p for p, version in parameters if p.grad is not None or _version(p) != version]
        for layer, versions in before:
            moved += _moved_buffers(layer, versions)
        _note(moved)


def trained_names(module: nn.Module) -> list[str]:
    """Return the names of the parameters and buffers of a module that a fit has trained."""
    if not _any_noted(module):  # names take longer
        return []
    named = (*module.named_parameters(), *module.named_buffers())
    with _lock:
        return [name for name, tensor in named if _moves(tensor) and _is_noted(tensor)]


def _any_noted(module: nn.Module) -> bool:
    if not _memory:
        return False
    for layer in module.modules():
        for table in (layer._parameters, layer._buffers):
            # A freed tensor may have been at the same address.
            if table and any(tensor is not None and _is_noted(tensor) for tensor in table.values()):
                return True
    return False


def _versions(layer: nn.Module) -> dict[str, tuple[int, int]]:
    return {name: (id(buffer), _version(buffer)) for name, buffer in layer._buffers.items() if buffer is not None}


def _moved_buffers(layer: nn.Module, before: dict[str, tuple[int, int]]) -> list[torch.Tensor]:
    now = _versions(layer)
    names = {name for name, version in now.items() if before.get(name) != version}
    if "num_batches_tracked" in names:
        names |= {"running_mean", "running_var"} & now.keys()
    buffers = [layer._buffers[name] for name in names]
    return [buffer for buffer in buffers if buffer is not None and buffer.is_floating_point()]


def _moves(tensor: torch.Tensor) -> bool:
    """Whether a fit can move it: frozen parameters stay as they are."""
    return tensor.requires_grad or not isinstance(tensor, nn.Parameter)


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _address(tensor: torch.Tensor) -> int:
    """Return where the first element is; 0 if there is none, or no memory of its own (sparse, meta, lazy)."""
    try:
        return tensor.data_ptr()
    except (RuntimeError, ValueError):
        return 0


def _note(tensors: Iterable[torch.Tensor]) -> None:
    global _prune_at
    with _lock:
        for tensor in tensors:
            address = _address(tensor)
            if address:
                _memory[address] = StorageWeakRef(tensor.untyped_storage())
        if len(_memory) > _prune_at:
            for address in [address for address, storage in _memory.items() if storage.expired()]:
                del _memory[address]
            _prune_at = max(_FEWEST, 2 * len(_memory))


def _is_noted(tensor: torch.Tensor) -> bool:
    storage = _memory.get(_address(tensor))
    return storage is not None and not storage.expired()
