"""What `load_model` will build from a file, built when the file is saved: it must be what was trained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from sktorch_acc._global_state import isolated
from sktorch_acc.classifier import TorchClassifier
from sktorch_acc.engine.build import build_criterion, build_module, build_optimizer, sizes_from_data
from sktorch_acc.engine.interrupts import Interrupts
from sktorch_acc.engine.model import Model
from sktorch_acc.engine.settings import FitSettings
from sktorch_acc.exceptions import ModelFileError
from sktorch_acc.modules import MLP
from sktorch_acc.outputs import output_spec
from sktorch_acc.persistence.probe import OUTPUT, distance, outputs_of, probe_of, rounding_of
from sktorch_acc.persistence.rebuilding import rebuilt_module
from sktorch_acc.persistence.weights import frozen_names, mismatch
from sktorch_acc.storage.values import Writer

REFIT = "Before saving, fit again with the current parameters, or restore those of the fit."


def built_again(clf: TorchClassifier) -> torch.optim.Optimizer:
    """Build what `load_model` will build, without the values; return the new optimizer.

    The module is built without memory, where that is possible: `recorded_outputs` builds it with its values.

    Raises
    ------
    ModelFileError
        If criterion, optimizer or module cannot be built again, or would be others than those of the fit.
    """
    model, settings = clf._state.model, FitSettings.of(clf.get_params(deep=False), clf._nested)
    try:
        clf._validate_params()
        with Interrupts().watching() as interrupts, isolated(model.device), interrupts.interruptible():
            criterion = build_criterion(settings.criterion, settings.part("criterion"))
            spec = output_spec(criterion, settings.output, model.spec.n_classes)
            optimizer = build_optimizer(settings, settings.lr, replace(model, criterion=criterion))
    except (TypeError, ValueError) as err:
        raise ModelFileError(f"The estimator could not be built again from its parameters: {err} {REFIT}") from err
    if type(criterion) is not type(model.criterion) or spec != model.spec:
        raise ModelFileError(f"criterion or output is not what the estimator was fitted with. {REFIT}")
    if not isinstance(settings.module, nn.Module):
        _check_module(settings.module, settings.part("module"), model)
    changed = _changed(settings, clf._state.built_from, model)
    if changed:
        raise ModelFileError(
            f"{', '.join(changed)} changed since fit: with the stored weights, load_model would build something else "
            f"than what was trained. {REFIT}"
        )
    return optimizer


# Without optimizer and callbacks, which predictions do not need. What `output` leads to has been compared.
_OF_THE_MODEL = ("module", "criterion")


def _changed(settings: FitSettings, built_from: FitSettings, model: Model) -> list[str]:
    """Return the parameters of module and criterion that are not those of the fit, nor equal to them."""
    now, then = ({**_sizes(each, model), **vars(each), **each.nested} for each in (settings, built_from))
    names = [name for name in settings.ignored_changes(built_from) if name.startswith(_OF_THE_MODEL)]
    return [name for name in names if not (name in now and name in then and _stored_alike(now[name], then[name]))]


def _sizes(settings: FitSettings, model: Model) -> dict[str, Any]:
    """Return the parameters of the module that are filled in from the data."""
    if isinstance(settings.module, nn.Module):
        return {}
    module = MLP if settings.module is None else settings.module
    sizes = sizes_from_data(module, model.schema.row_shape, model.spec.n_classes, model.spec.one_column is True)
    return {f"module__{name}": size for name, size in sizes.items()}


def _stored_alike(a: Any, b: Any) -> bool:
    """Whether two values are stored as the same JSON and equal tensors."""
    first, second = Writer(), Writer()
    try:
        same = bool(first.encode(a, "it") == second.encode(b, "it"))
    except ModelFileError:  # one of them cannot be stored
        return False
    pairs = zip(first.tensors.values(), second.tensors.values(), strict=False)
    return same and all(one.dtype == other.dtype and torch.equal(one, other) for one, other in pairs)


def recorded_outputs(
    clf: TorchClassifier, tensors: dict[str, torch.Tensor]
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the extension with the outputs for a few rows, and its tensors; none if they cannot be compared.

    Raises
    ------
    ModelFileError
        If what `load_model` would build gives other outputs than the module of the estimator.
    """
    model, settings = clf._state.model, FitSettings.of(clf.get_params(deep=False), clf._nested)
    found = probe_of(model)
    again = None if isinstance(settings.module, nn.Module) else _trial(settings, model, tensors)
    if found is None:
        if again is not None:
            _compare_layers(again, model.module)
        return {}, {}
    entry, output = found
    if again is not None:
        loaded = outputs_of(again, model, entry)
        if loaded is None or loaded.shape != output.shape or distance(loaded, output)[0] > rounding_of(loaded, output):
            raise ModelFileError(
                "module and module__* do not build module_ again: with the same weights it gives other outputs. Either "
                "module_ was edited after fit, or it keeps values that are neither parameters nor buffers: register "
                f"them with self.register_buffer. {REFIT}"
            )
        if not torch.equal(loaded, output):  # weights of another memory layout: equal but for rounding
            entry["environment"] = None
    return {"probe": entry}, {OUTPUT: output}


def _trial(settings: FitSettings, model: Model, tensors: dict[str, torch.Tensor]) -> nn.Module | None:
    """Return the module that `load_model` will build; None if it cannot be built here and now."""
    stored = {name.removeprefix("module."): t.cpu() for name, t in tensors.items() if name.startswith("module.")}
    frozen = frozen_names(model.module)
    try:
        with Interrupts().watching() as interrupts, isolated(torch.device("cpu")), interrupts.interruptible():
            return rebuilt_module(settings, model.schema, model.spec, model.dtype, stored, frozen)
    except ModelFileError as err:
        if err.__cause__ is not None:  # the constructor failed, for reasons of its own
            return None
        raise ModelFileError(f"module and module__* do not build module_ again ({err}). {REFIT}") from err
    except Exception:
        return None


def _compare_layers(again: nn.Module, trained: nn.Module) -> None:
    """Raise an error for layers of other classes, where outputs cannot be compared."""
    layers = dict(again.named_modules())
    for name, layer in trained.named_modules():
        if name in layers and type(layers[name]) is not type(layer):
            here, there = type(layer).__name__, type(layers[name]).__name__
            raise ModelFileError(
                f"module and module__* do not build module_ again: its layer {name!r} is a {here}, but they build a "
                f"{there}. {REFIT}"
            )


def _check_module(module: Any, given: dict[str, Any], model: Model) -> None:
    cls = getattr(MLP if module is None else module, "cls_to_become", None) or (MLP if module is None else module)
    if isinstance(cls, type) and not isinstance(model.module, cls):
        raise ModelFileError(
            f"module_ is a {type(model.module).__name__}, but module is {cls.__name__}: it was wrapped or replaced "
            f"after fit. {REFIT}"
        )
    spec = model.spec
    try:
        with (
            Interrupts().watching() as interrupts,
            isolated(model.device),
            torch.device("meta"),
            interrupts.interruptible(),
        ):
            again = build_module(cls, given, model.schema.row_shape, spec.n_classes, spec.one_column is True)
    except Exception:
        return  # not every module can be built on the meta device; load_model builds it on the CPU
    difference = mismatch(again, {name: tuple(value.shape) for name, value in model.module.state_dict().items()})
    if difference:
        raise ModelFileError(f"module and module__* do not build module_ again ({difference}). {REFIT}")
