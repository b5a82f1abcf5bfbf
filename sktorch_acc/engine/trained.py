"""A process-wide register of the memory that fits have trained, held weakly.

A factory that closes over a layer, or finds it in a class attribute or a global, hands out the same layer at every
call: the next fit begins with weights that are trained already. Nothing can be copied there, but it can be noticed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator
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
    moved = _moving(parts)
    try:
        yield
    finally:
        _note(moved())


def trained_further(module: nn.Module, criterion: nn.Module) -> Callable[[], list[str]]:
    """Return a function that names what an earlier fit has trained and was moved since this call.

    What is noted and stays as it is, because it is frozen or runs in evaluation mode, is nobody's harm.
    """
    noted = {id(tensor): (name, tensor) for name, tensor, _ in _noted(module)}
    noted |= {id(tensor): (f"criterion.{name}", tensor) for name, tensor, _ in _noted(criterion)}
    if not noted:
        return list
    moved = _moving((module, criterion))

    def names() -> list[str]:
        found = {id(tensor) for tensor in moved()}
        return [name for key, (name, _) in noted.items() if key in found]

    return names


def trained_names(module: nn.Module, fixed: Collection[str] = ()) -> list[str]:
    """Return the names of what a fit has trained and another one can move.

    Frozen parameters stay as they are, and so do those named in `fixed`, which get no gradient; the buffers of a layer
    without other parameters are taken to stay, too.
    """
    return [name for name, _, trainable in _noted(module, fixed) if trainable]


def _moving(parts: Iterable[nn.Module]) -> Callable[[], list[torch.Tensor]]:
    """Return a function that finds the parameters and buffers that were moved since this call."""
    layers = [layer for part in parts for layer in part.modules()]
    own = [p for layer in layers if layer._parameters for p in layer._parameters.values() if p is not None]
    parameters = [(p, _version(p)) for p in own if p.requires_grad]
    before = [(layer, _versions(layer)) for layer in layers if layer._buffers]

    def moved() -> list[torch.Tensor]:
        found: list[torch.Tensor] = [p for p, version in parameters if p.grad is not None or _version(p) != version]
        for layer, versions in before:
            found += _moved_buffers(layer, versions)
        return found

    return moved


def _noted(module: nn.Module, fixed: Collection[str] = ()) -> list[tuple[str, torch.Tensor, bool]]:
    """Return names and tensors that an earlier fit has trained, and whether they, or their layer, can be trained."""
    if not _any_noted(module):  # names take longer
        return []
    found: dict[int, tuple[str, torch.Tensor, bool]] = {}
    with _lock:
        for prefix, layer in module.named_modules():
            start = f"{prefix}." if prefix else ""
            trainable = {
                name
                for name, p in layer._parameters.items()
                if p is not None and p.requires_grad and start + name not in fixed
            }
            for name, tensor in (*layer._parameters.items(), *layer._buffers.items()):
                if tensor is not None and id(tensor) not in found and _is_noted(tensor):
                    moves = name in trainable if name in layer._parameters else bool(trainable)
                    found[id(tensor)] = (start + name, tensor, moves)
    return list(found.values())


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


def _version(tensor: torch.Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def address(tensor: torch.Tensor) -> int:
    """Return where the first element is; 0 if there is none, or no memory of its own (sparse, meta, lazy)."""
    try:
        return tensor.data_ptr()
    except (RuntimeError, ValueError):
        return 0


def _note(tensors: Iterable[torch.Tensor]) -> None:
    global _prune_at
    with _lock:
        for tensor in tensors:
            first = address(tensor)
            if first:
                _memory[first] = StorageWeakRef(tensor.untyped_storage())
        if len(_memory) > _prune_at:
            for first in [first for first, storage in _memory.items() if storage.expired()]:
                del _memory[first]
            _prune_at = max(_FEWEST, 2 * len(_memory))


def _is_noted(tensor: torch.Tensor) -> bool:
    storage = _memory.get(address(tensor))
    return storage is not None and not storage.expired()
