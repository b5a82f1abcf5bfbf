"""Module, criterion and optimizer arguments from the constructor's parameters, sized by the data."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Mapping
from typing import Any

import torch
from skorch.callbacks import Callback
from torch import nn

from sktorch_acc._params import accepted_names, check_names, nearest
from sktorch_acc.data import Rows
from sktorch_acc.engine.copying import copied

__all__ = ["build_criterion", "build_module", "initialize_lazy_layers", "own_callbacks"]

_FEATURES = ("n_features", "in_features", "input_dim", "input_size", "n_inputs")
_CLASSES = ("n_classes", "num_classes")
_OUTPUTS = ("out_features", "output_dim", "output_size", "n_outputs")


def build_module(
    module: Any, given: Mapping[str, Any], row_shape: tuple[int, ...], n_classes: int, one_column: bool
) -> nn.Module:
    """Return a module of our own: built from a class or factory, or a deep copy of an instance.

    Parameters
    ----------
    module : nn.Module class, factory or instance
        The constructor's `module`.
    given : mapping
        Parameters under ``module__``; they win over sizes from the data.
    row_shape : tuple of int
        Shape of a row of X.
    n_classes : int
        Number of labels.
    one_column : bool
        Whether the criterion takes one column for two classes.
    """
    if isinstance(module, nn.Module):
        if given:
            raise ValueError(
                f"module__{next(iter(given))} was set, but module is an instance of {type(module).__name__}, "
                "which is built already. Pass the class instead, or drop the parameter."
            )
        return copied(module)
    name = getattr(module, "__name__", repr(module))
    check_names(given, module, "module", exclude=("self",))
    arguments = {**_sizes(module, row_shape, n_classes, one_column), **given}
    try:
        built = module(**arguments)
    except TypeError:
        _check_arguments(module, name, arguments)
        raise
    if not isinstance(built, nn.Module):
        raise TypeError(f"module={name} must make a torch.nn.Module, but made a {type(built).__name__}.")
    return built


def _check_arguments(module: Any, name: str, arguments: Mapping[str, Any]) -> None:
    """Say which arguments are missing, if it is that for which a call failed."""
    try:
        inspect.signature(module).bind(**arguments)
    except TypeError as err:
        raise TypeError(
            f"{name} cannot be built from the arguments {sorted(arguments)}: {err}. Set the missing ones as "
            "module__<name>=..."
        ) from err
    except ValueError:
        pass  # no signature to check against


def _sizes(module: Any, row_shape: tuple[int, ...], n_classes: int, one_column: bool) -> dict[str, int]:
    """Return the size arguments that the data decide, for the names that the constructor has."""
    names, _ = accepted_names(module)
    if isinstance(module, functools.partial):
        names -= set(module.keywords)
    known: dict[str, int] = dict.fromkeys(_CLASSES, n_classes)
    known |= dict.fromkeys(_OUTPUTS, 1 if one_column else n_classes)
    if len(row_shape) == 1:
        known |= dict.fromkeys(_FEATURES, row_shape[0])
    if len(row_shape) == 3:
        known["in_channels"] = row_shape[0]
    return {name: size for name, size in known.items() if name in names}


def build_criterion(criterion: Any, given: Mapping[str, Any]) -> nn.Module:
    """Return a criterion of our own: built from a class or factory, or a deep copy of an instance."""
    if isinstance(criterion, nn.Module):
        if given:
            raise ValueError(
                f"criterion__{next(iter(given))} was set, but criterion is an instance of "
                f"{type(criterion).__name__}. Pass the class instead, or drop the parameter."
            )
        return copy.deepcopy(criterion)
    name = getattr(criterion, "__name__", repr(criterion))
    check_names(given, criterion, "criterion", exclude=("self",))
    try:
        built = criterion(**given)
    except TypeError as err:
        raise TypeError(
            f"criterion={name} cannot be built from {sorted(given)}: {err}. Pass a class of torch.nn, an instance, "
            "or a factory that returns one; a plain function such as functional.cross_entropy is none of these."
        ) from err
    if not isinstance(built, nn.Module):
        raise TypeError(f"criterion={name} must make a torch.nn.Module, but made a {type(built).__name__}.")
    return built


def initialize_lazy_layers(module: nn.Module, rows: Rows) -> None:
    """Give lazy layers their shapes by one forward pass over at most two rows."""
    uninitialized = (nn.parameter.UninitializedParameter, nn.parameter.UninitializedBuffer)
    tensors = [*module.parameters(), *module.buffers()]
    if not any(isinstance(tensor, uninitialized) for tensor in tensors):
        return
    module.eval()
    with torch.no_grad():
        module(rows.chunk(0, min(2, len(rows))))


def own_callbacks(callbacks: Any, given: Mapping[str, Any]) -> list[Any]:
    """Return copies of the callbacks, so that training leaves the constructor's alone.

    Raises
    ------
    TypeError
        If one is not a callback of skorch.
    ValueError
        If ``callbacks__<name>__<parameter>`` names no callback, or no parameter of it.
    """
    own: list[Any] = []
    by_name: dict[str, Any] = {}
    # One deepcopy for all: a callback may hold another (LoadInitState its Checkpoint).
    for item in copy.deepcopy(list(callbacks or [])):
        named = isinstance(item, (tuple, list)) and len(item) == 2
        name, callback = item if named else (None, item)
        cls = callback if isinstance(callback, type) else type(callback)
        if callback is not None and not issubclass(cls, Callback):
            raise TypeError(
                f"callbacks must hold skorch callbacks (classes, instances or (name, callback) pairs), but got "
                f"{callback!r}. Callbacks of scikit-learn go to set_callbacks(...)."
            )
        by_name[name or cls.__name__] = cls
        own.append((name, callback) if named else callback)
    _check_callback_names(by_name, given)
    return own


def _check_callback_names(by_name: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for key in given:
        name, double, parameter = key.partition("__")
        base, _, number = name.rpartition("_")  # skorch numbers callbacks of one class: Name_1, Name_2
        cls = by_name.get(name) or (by_name.get(base) if number.isdigit() else None)
        if cls is None:
            raise ValueError(f"'callbacks__{key}': there is no callback {name!r}. {nearest(name, by_name)}")
        if double:
            check_names([parameter.partition("__")[0]], cls, f"callbacks__{name}", exclude=("self",))
