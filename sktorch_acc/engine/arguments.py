"""Copies of the arguments of a module and a criterion: training must not change what the caller handed in."""

from __future__ import annotations

import functools
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import (
    BuiltinFunctionType,
    FunctionType,
    GeneratorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from sktorch_acc.engine.copying import copied, copied_value
from sktorch_acc.engine.trained import address

_VALUES = (nn.Module, torch.Tensor, np.ndarray, pd.Series, pd.DataFrame, bytearray)
_ATOMS = frozenset((bool, int, float, complex, str, bytes, type(None)))
# Never looked into: they are names of something, and deepcopy keeps most of them as they are.
_NAMES = (type, FunctionType, BuiltinFunctionType, ModuleType, torch.dtype, torch.device, np.generic)
_SEQUENCES: dict[type, Callable[[Iterator[Any]], Any]] = {tuple: tuple, set: set, frozenset: frozenset}
_EMPTY: tuple[dict[Any, Any], ...] = ({}, OrderedDict())
_VIEWS: dict[type, str] = {type(getattr(d, name)()): name for d in _EMPTY for name in ("keys", "values", "items")}
_ITERABLE: tuple[Any, ...] = ([], (), set(), {}, {}.values(), {}.items())
_ITERATORS: tuple[type, ...] = (
    *(type(iter(several)) for several in _ITERABLE),
    *(zip, map, filter, enumerate, reversed, type(reversed([]))),
)
_MOST_OBJECTS = 100_000  # looked at in one argument


class Copies:
    """Deep copies for one build, with one memo: layers that several arguments share stay shared.

    Only what holds a module, a tensor or an array is copied; all else is passed on as it is, so that an argument may
    be compared by identity. Containers are copied element by element: one that cannot be copied does not keep the
    others from it. An object that deepcopy refuses is passed on, and `refuse_shared` says so if it would be trained.
    """

    def __init__(self) -> None:
        self._memo: dict[int, Any] = {}
        self._passed_on: list[_PassedOn] = []

    def module(self, module: nn.Module) -> nn.Module:
        """Return a deep copy of a module; errors of its own ``__deepcopy__`` are raised."""
        known: nn.Module | None = self._memo.get(id(module))
        return copied(module, self._memo) if known is None else known

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return named arguments, each copied where that is needed."""
        return {name: self.of(value) for name, value in given.items()}

    def refuse_shared(self, built: nn.Module, part: str, given: Mapping[str, Any]) -> None:
        """Raise ValueError if a fit would train what was handed in and could not be copied.

        Parameters
        ----------
        built : nn.Module
            What was built from the arguments.
        part : str
            The prefix of the arguments, ``"module"`` or ``"criterion"``.
        given : mapping
            The arguments by name.
        """
        if not self._passed_on:
            return
        trainable = {address(p) for p in built.parameters() if p.requires_grad}
        for passed in self._passed_on:
            if trainable & passed.memory:
                name = next((name for name, value in given.items() if _reaches(value, passed.value)), None)
                raise ValueError(
                    f"{f'An argument of {part}' if name is None else f'{part}__{name}'} holds an object of type "
                    f"{_refusing(passed.value).__name__} that cannot be copied ({passed.reason}): fit would train the "
                    "layers or tensors in it in place. Give its class a __deepcopy__, pass the layers in a list or "
                    "dict, make them inside of the module, or freeze them with requires_grad_(False)."
                )

    def factory(self, make: Any) -> Any:
        """Return a class or factory; of a ``functools.partial`` with copies of its arguments."""
        return self._partial(make) if type(make) is functools.partial and _holds(make) else make

    def of(self, value: Any) -> Any:
        """Return a copy of an argument, or the argument itself if nothing in it can be trained."""
        if type(value) in _ATOMS or not _holds(value):
            return value
        known = self._memo.get(id(value))
        if known is None:
            known = self._new(value)
            self._memo[id(value)] = known
        return known

    def _new(self, value: Any) -> Any:
        kind = type(value)
        if kind in (dict, OrderedDict):
            return self._filled(value, kind())
        if kind is defaultdict:
            return self._filled(value, defaultdict(value.default_factory))
        if kind is list or kind is deque:
            new = self._memo[id(value)] = [] if kind is list else deque(maxlen=value.maxlen)
            new.extend(self.of(item) for item in value)
            return new
        if kind is functools.partial:
            return self._partial(value)
        if kind is MappingProxyType:
            return MappingProxyType(self._filled(value, {}))
        if kind in _VIEWS:
            mapping: dict[Any, Any] = OrderedDict() if kind.__name__.startswith("odict") else {}
            return getattr(self._filled(value.mapping, mapping), _VIEWS[kind])()
        if kind is pd.Series and value.dtype == object:
            return pd.Series([self.of(item) for item in value], value.index, dtype=object, name=value.name)
        make = _SEQUENCES.get(kind) or (getattr(kind, "_make", None) if isinstance(value, tuple) else None)
        if make is None:
            return self._attempt(value)
        new = make(self.of(item) for item in value)
        return self._memo.get(id(value), new)  # a list in the tuple may hold the tuple

    def _filled(self, value: Any, new: Any) -> Any:
        self._memo[id(value)] = new
        for key, item in value.items():
            new[self.of(key)] = self.of(item)
        return new

    def _partial(self, value: functools.partial[Any]) -> functools.partial[Any]:
        new = functools.partial(self.of(value.func), *map(self.of, value.args), **self.arguments(value.keywords))
        vars(new).update(vars(value))
        return new

    def _attempt(self, value: Any) -> Any:
        """Return a deep copy; the value itself, and the memo as it was before, if there can be none."""
        before = dict(self._memo)
        try:
            return copied(value, self._memo) if isinstance(value, nn.Module) else copied_value(value, self._memo)
        except Exception as err:
            self._memo.clear()
            self._memo.update(before)
            self._passed_on.append(_PassedOn(value, str(err), frozenset(_memory(value))))
            return value


@dataclass(frozen=True, eq=False)
class _PassedOn:
    """A value that could not be copied, why, and where the tensors in it begin."""

    value: Any
    reason: str
    memory: frozenset[int]


def _holds(value: Any) -> bool:
    """Whether a module, a tensor or an array can be reached from a value, through containers and attributes."""
    return any(isinstance(item, _VALUES) for item in _reached(value))


def _refusing(value: Any) -> type:
    """Return the type of what cannot be copied: of a module, that of the innermost layer."""
    for layer in reversed(list(value.modules()) if isinstance(value, nn.Module) else []):
        try:
            copied(layer)
        except Exception:
            return type(layer)
    return type(value)


def _reaches(value: Any, other: Any) -> bool:
    return any(item is other for item in _reached(value, into=(nn.Module,)))


def _memory(value: Any) -> Iterator[int]:
    """Yield where the tensors and arrays begin that can be reached from a value; an empty one begins nowhere."""
    for item in _reached(value):
        if isinstance(item, nn.Module):
            yield from filter(None, map(address, item.parameters()))
        elif isinstance(item, torch.Tensor) and address(item):
            yield address(item)
        elif isinstance(item, np.ndarray) and item.size:
            yield item.ctypes.data


def _reached(value: Any, into: tuple[type, ...] = ()) -> Iterator[Any]:
    """Yield what a value holds, itself first; of modules, tensors and arrays those alone, unless they are `into`."""
    waiting, seen = [value], {id(value): value}  # kept: an address must not be used again meanwhile
    while waiting and len(seen) <= _MOST_OBJECTS:
        item = waiting.pop()
        yield item
        if isinstance(item, _VALUES) and not isinstance(item, into):
            continue
        for part in _parts(item):
            if type(part) not in _ATOMS and id(part) not in seen:
                seen[id(part)] = part
                waiting.append(part)


def _parts(item: Any) -> Iterator[Any]:
    """Yield what an object holds directly, without running its code where that can be avoided."""
    if isinstance(item, _NAMES):
        return
    if isinstance(item, MethodType):  # one of a module is copied with it; others are passed on
        if isinstance(item.__self__, nn.Module):
            yield item.__self__
        return
    if isinstance(item, functools.partial):
        yield from (item.func, *item.args, *item.keywords.values())
    elif isinstance(item, dict):
        yield from dict.keys(item)
        yield from dict.values(item)
    elif isinstance(item, (list, tuple, set, frozenset, deque)):
        yield from item
    elif type(item) is MappingProxyType or type(item) in _VIEWS:
        mapping = item if type(item) is MappingProxyType else item.mapping
        yield from (*mapping.keys(), *mapping.values())
    elif isinstance(item, _ITERATORS):
        yield from item.__reduce__()[1]  # what is left, without a step
    elif isinstance(item, GeneratorType):
        yield from ({} if item.gi_frame is None else item.gi_frame.f_locals).values()
    yield from _attributes(item)


def _attributes(item: Any) -> Iterator[Any]:
    yield from list(getattr(item, "__dict__", {}).values())
    for cls in type(item).__mro__:
        for name, descriptor in list(vars(cls).items()) if "__slots__" in vars(cls) else ():
            if isinstance(descriptor, MemberDescriptorType):
                yield getattr(item, name, None)
