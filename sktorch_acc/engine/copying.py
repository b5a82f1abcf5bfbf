"""Copies of modules, also of such as deepcopy alone refuses."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import Any

import torch
from torch import nn

__all__ = ["copied"]

_ATOMS = (bool, int, float, str, type(None))


def copied(module: nn.Module) -> nn.Module:
    """Return a deep copy; tensors with a graph that the module keeps (an auxiliary loss) are detached in it.

    deepcopy spends most of its time on the names and the empty hooks of every layer, a dozen each: where it
    would do no more than copy the attributes, they are copied here.
    """
    memo: dict[int, Any] = {}
    parts = list(module.modules())
    plain = [part for part in parts if _is_plain(type(part))]
    for part in plain:  # before the attributes, which may lead back to a module
        memo[id(part)] = object.__new__(type(part))
    for part in parts:
        for value in vars(part).values():
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
            elif type(value) in (dict, OrderedDict) and not value and not getattr(value, "__dict__", None):
                memo[id(value)] = type(value)()
    for part in plain:
        state = part.__getstate__().items()
        memo[id(part)].__dict__.update(
            {name: value if type(value) in _ATOMS else copy.deepcopy(value, memo) for name, value in state}
        )
    return copy.deepcopy(module, memo)


def _is_plain(cls: type[nn.Module]) -> bool:
    """Whether deepcopy would make an object of this class and copy its ``__dict__``, no more."""
    return (
        not hasattr(cls, "__deepcopy__")
        and cls.__new__ is object.__new__
        and cls.__reduce_ex__ is object.__reduce_ex__
        and cls.__reduce__ is object.__reduce__
        and cls.__getstate__ is nn.Module.__getstate__
        and cls.__setstate__ is nn.Module.__setstate__
        and not hasattr(cls, "__slots__")
    )
