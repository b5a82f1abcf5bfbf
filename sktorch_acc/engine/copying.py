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


def copied(module: nn.Module, memo: dict[int, Any] | None = None) -> nn.Module:
    """Return a deep copy; tensors with a graph that the module keeps (an auxiliary loss) are detached in it.

    `memo` is that of deepcopy: what it holds already is not copied again, so that several modules can share parts.

    deepcopy spends most of its time on names and on the dozen empty dictionaries of hooks of every layer. Where
    a class does not define how it is copied, the attributes are copied here, to the same result.
    """
    memo = {} if memo is None else memo
    parts = [part for part in module.modules() if id(part) not in memo]
    plain = [part for part in parts if _is_plain(type(part))]  # type: ignore[arg-type]
    for part in plain:  # first: an attribute may refer to a module
        memo[id(part)] = object.__new__(type(part))
    for part in parts if len(plain) < len(parts) else ():
        for value in vars(part).values():
            if isinstance(value, torch.Tensor):
                copied_value(value, memo)
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
    if isinstance(value, torch.Tensor) and not value.is_leaf:
        memo[id(value)] = value.detach().clone()
    return copy.deepcopy(value, memo)


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
