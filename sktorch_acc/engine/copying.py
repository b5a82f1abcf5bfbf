"""Deep copies of modules, also of modules that keep tensors with a graph, which deepcopy refuses."""

from __future__ import annotations

import copy
import functools
from collections import OrderedDict
from typing import Any

import torch
from torch import nn

_ATOMS = frozenset((bool, int, float, str, type(None)))
_OF_TORCH = frozenset(vars(nn.Module()))
_MAY_HOLD_TENSORS = (torch.Tensor, list, tuple, dict, torch.jit.ScriptModule)
_COPYING = ("__deepcopy__", "__reduce_ex__", "__reduce__", "__getstate__", "__setstate__")


def copied(module: nn.Module, memo: dict[int, Any] | None = None) -> nn.Module:
    """Return a deep copy; tensors with a graph that the module keeps (an auxiliary loss) are detached in it.

    Views of parameters are views of the copied parameters. `memo` is that of deepcopy: what it holds already is not
    copied again, so that several modules can share parts.

    deepcopy spends most of its time on names and on the dozen empty dictionaries of hooks of every layer. Where
    no class defines how it is copied, the attributes are copied here, to the same result.
    """
    memo = {} if memo is None else memo
    parts = list(module.modules())
    if all(_is_of_torch(type(part)) for part in parts):  # type: ignore[arg-type]
        before = dict(memo)
        try:
            return _copied_by_parts(module, [part for part in parts if id(part) not in memo], memo)
        except Exception:  # an attribute's way to be copied may look at a layer that is not filled yet
            memo.clear()
            memo.update(before)
    _copy_tensors(module, memo)
    return copy.deepcopy(module, memo)


def _copied_by_parts(module: nn.Module, parts: list[nn.Module], memo: dict[int, Any]) -> nn.Module:
    """Copy the attributes of those layers that are plain; the others are deepcopy's, after the tensors in them."""
    plain = [part for part in parts if _is_plain(type(part))]  # type: ignore[arg-type]
    for part in plain:  # first: an attribute may refer to a module
        memo[id(part)] = object.__new__(type(part))
    for part in parts if len(plain) < len(parts) else ():
        for name, value in vars(part).items():
            if (name not in _OF_TORCH or name == "_buffers") and isinstance(value, _MAY_HOLD_TENSORS):
                _copy_tensors(value, memo)
    for part in plain:
        own = memo[id(part)].__dict__
        for name, value in vars(part).items():
            if type(value) in _ATOMS:
                own[name] = value
            elif name in _OF_TORCH and not value:  # the hooks of a layer, a dozen dictionaries
                own[name] = type(value)()
            else:
                own[name] = copied_value(value, memo)
    return copy.deepcopy(module, memo)


def copied_value(value: Any, memo: dict[int, Any]) -> Any:
    """Return a deep copy of an attribute; a tensor with a graph is detached."""
    known = memo.get(id(value))
    if known is not None:
        return known
    kind = type(value)
    if kind is dict or (kind is OrderedDict and not value and not value.__dict__):
        known = memo[id(value)] = kind()
        for key, item in value.items():
            known[copy.deepcopy(key, memo)] = item if type(item) in _ATOMS else copied_value(item, memo)
        return known
    if kind is nn.Parameter:
        return value.__deepcopy__(memo)  # all that deepcopy would do, for an object that the caller keeps
    if kind not in _ATOMS and isinstance(value, _MAY_HOLD_TENSORS):
        _copy_tensors(value, memo)
    return copy.deepcopy(value, memo)


def _copy_tensors(value: Any, memo: dict[int, Any]) -> None:
    """Copy what deepcopy refuses or copies wrongly: tensors with a graph, and modules of TorchScript."""
    waiting, seen = [value], set()
    while waiting:
        item = waiting.pop()
        if id(item) in seen or id(item) in memo:
            continue
        seen.add(id(item))
        if isinstance(item, torch.Tensor):
            if not item.is_leaf:
                view = _same_view(item, memo)
                memo[id(item)] = item.detach().clone() if view is None else view
        elif isinstance(item, torch.jit.ScriptModule):
            memo[id(item)] = _copied_script(item)
        elif isinstance(item, nn.Module):
            waiting.extend(vars(item).values())
        elif isinstance(item, dict):
            waiting.extend(item.values())
        elif type(item) in (list, tuple):
            waiting.extend(item)


def _same_view(value: torch.Tensor, memo: dict[int, Any]) -> torch.Tensor | None:
    """Return what a view of a parameter (``self.w.t()``) is of the parameter's copy; None if it is none."""
    base = value._base
    if not isinstance(base, nn.Parameter) or value.layout is not torch.strided or value.dtype is not base.dtype:
        return None
    new = copied_value(base, memo)
    if new.stride() != base.stride() or value.is_conj() or value.is_neg():
        return None
    offset = value.storage_offset() - base.storage_offset() + new.storage_offset()
    with torch.enable_grad():
        return new.as_strided(value.size(), value.stride(), offset)  # type: ignore[no-any-return]


def _copied_script(module: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """Return a deep copy; with gradients enabled its parameters would be results, which no optimizer takes."""
    with torch.no_grad():
        new: torch.jit.ScriptModule = copy.deepcopy(module)
    for parameter, given in zip(new.parameters(), module.parameters(), strict=True):
        parameter.requires_grad_(given.requires_grad)
    return new


def double(module: nn.Module) -> tuple[nn.Module, bool]:
    """Return a copy to run, as a forward pass may change flags and statistics, and whether it may share parts.

    A module that cannot be copied runs itself.
    """
    try:
        return copied(module), not is_plain(module)
    except Exception:
        return module, True


def is_plain(module: nn.Module) -> bool:
    """Whether no class among the layers defines how it is copied: then a copy shares nothing with the module."""
    return all(_is_plain(type(part)) for part in module.modules())  # type: ignore[arg-type]


@functools.lru_cache(maxsize=256)
def _is_plain(cls: type[nn.Module]) -> bool:
    """Whether deepcopy makes an object of this class and copies its ``__dict__``, and does nothing else."""
    return (
        not hasattr(cls, "__deepcopy__")
        and cls.__new__ is object.__new__
        and cls.__reduce_ex__ is object.__reduce_ex__
        and cls.__reduce__ is object.__reduce__
        and cls.__getstate__ is nn.Module.__getstate__
        and cls.__setstate__ is nn.Module.__setstate__
        and not hasattr(cls, "__slots__")
    )


@functools.lru_cache(maxsize=256)
def _is_of_torch(cls: type[nn.Module]) -> bool:
    """Whether a class is plain, or is copied as torch defines it for its layers: without a look at a child layer."""
    return _is_plain(cls) or (  # type: ignore[arg-type]
        cls.__new__ is object.__new__
        and not hasattr(cls, "__slots__")
        and all(_defined_by_torch(cls, name) for name in _COPYING)
    )


def _defined_by_torch(cls: type[nn.Module], name: str) -> bool:
    method = getattr(cls, name, None)
    return method is getattr(object, name, None) or getattr(method, "__module__", "").startswith("torch.nn.")
