"""Module, criterion and optimizer from the constructor's parameters, sized by the data."""

from __future__ import annotations

import fnmatch
import functools
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from sktorch_acc._params import accepted_names, check_names
from sktorch_acc.checks.outputs import check_parameters
from sktorch_acc.data import FeatureSchema, Labels, Rows
from sktorch_acc.engine.arguments import Copies
from sktorch_acc.engine.device import computing_dtype, move
from sktorch_acc.engine.model import Model
from sktorch_acc.engine.optimizers import may_fuse, start_momentum
from sktorch_acc.engine.settings import FitSettings
from sktorch_acc.exceptions import ModuleOutputError
from sktorch_acc.modules import MLP
from sktorch_acc.outputs import OutputSpec, output_spec

_FEATURES = ("n_features", "in_features", "input_dim", "input_size", "n_inputs")
_CLASSES = ("n_classes", "num_classes")
_OUTPUTS = ("out_features", "output_dim", "output_size", "n_outputs")


def build_module(
    module: Any,
    given: Mapping[str, Any],
    row_shape: tuple[int, ...],
    n_classes: int,
    one_column: bool,
    copies: Copies | None = None,
) -> nn.Module:
    """Return a new module: built from a class or factory and copies of arguments, or a deep copy of an instance.

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
    copies : Copies or None
        Those of the build, which keep layers shared that the criterion has too; None: new ones.
    """
    copies = copies or Copies()
    if isinstance(module, nn.Module):
        if given:
            raise ValueError(
                f"module__{next(iter(given))} was set, but module is an instance of {type(module).__name__}, "
                "which is built already. Pass the class instead, or drop the parameter."
            )
        return copies.module(module)
    name = getattr(module, "__name__", repr(module))
    check_names(given, module, "module", exclude=("self",))
    module = copies.factory(module)
    arguments = {**sizes_from_data(module, row_shape, n_classes, one_column), **copies.arguments(given)}
    try:
        built = module(**arguments)
    except TypeError:
        _check_arguments(module, name, arguments)
        raise
    if not isinstance(built, nn.Module):
        raise TypeError(f"module={name} must make a torch.nn.Module, but made a {type(built).__name__}.")
    copies.refuse_shared(built, "module", given)
    return built


def _check_arguments(module: Any, name: str, arguments: Mapping[str, Any]) -> None:
    """Name the missing arguments, if a call failed because of them."""
    try:
        inspect.signature(module).bind(**arguments)
    except TypeError as err:
        raise TypeError(
            f"{name} cannot be built from the arguments {sorted(arguments)}: {err}. Set the missing ones as "
            "module__<name>=..."
        ) from err
    except ValueError:
        pass  # no signature to check against


def sizes_from_data(module: Any, row_shape: tuple[int, ...], n_classes: int, one_column: bool) -> dict[str, int]:
    """Return the sizes that follow from the data, for the names that the constructor has."""
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


def build_criterion(criterion: Any, given: Mapping[str, Any], copies: Copies | None = None) -> nn.Module:
    """Return a new criterion: built from a class or factory and copies of arguments, or a deep copy of an instance."""
    copies = copies or Copies()
    if isinstance(criterion, nn.Module):
        if given:
            raise ValueError(
                f"criterion__{next(iter(given))} was set, but criterion is an instance of "
                f"{type(criterion).__name__}. Pass the class instead, or drop the parameter."
            )
        return copies.module(criterion)
    name = getattr(criterion, "__name__", repr(criterion))
    check_names(given, criterion, "criterion", exclude=("self",))
    try:
        built = copies.factory(criterion)(**copies.arguments(given))
    except TypeError as err:
        raise TypeError(
            f"criterion={name} cannot be built from {sorted(given)}: {err}. Pass a class of torch.nn, an instance, "
            "or a factory that returns one; a plain function such as functional.cross_entropy is none of these."
        ) from err
    if not isinstance(built, nn.Module):
        raise TypeError(f"criterion={name} must make a torch.nn.Module, but made a {type(built).__name__}.")
    copies.refuse_shared(built, "criterion", given)
    return built


def initialize_lazy_layers(module: nn.Module, rows: Rows) -> None:
    """Initialize lazy layers with a forward pass over at most two rows."""
    uninitialized = (nn.parameter.UninitializedParameter, nn.parameter.UninitializedBuffer)
    tensors = [*module.parameters(), *module.buffers()]
    if not any(isinstance(tensor, uninitialized) for tensor in tensors):
        return
    module.eval()
    with torch.no_grad():
        module(rows.chunk(0, min(2, len(rows))))


def build_model(
    settings: FitSettings, schema: FeatureSchema, labels: Labels, device: torch.device, rows: Rows
) -> Model:
    """Build module and criterion from the constructor's parameters, on the device.

    Draws from the shared generators: to be called inside ``_global_state.isolated``.

    Raises
    ------
    ModuleOutputError
        If the module has nothing to train.
    """
    copies = Copies()
    criterion = build_criterion(settings.criterion, settings.part("criterion"), copies)
    spec = output_spec(criterion, settings.output, len(labels.classes))
    module = _built_module(settings, schema, spec, copies)
    dtype = _settle(module, settings, schema, device, rows)
    refuse_untrainable(module)
    move(device, module, criterion.to(dtype))
    return Model(module, criterion, spec, schema, labels, device, dtype)


def _built_module(settings: FitSettings, schema: FeatureSchema, spec: OutputSpec, copies: Copies) -> nn.Module:
    """Return a new module, on the CPU."""
    bundled = settings.module is None
    if bundled and (len(schema.row_shape) != 1 or schema.integers):
        kind = "integer tensors" if schema.integers else f"rows of shape {schema.row_shape}"
        raise ValueError(
            f"module=None is a plain MLP for two-dimensional floating X, but X has {kind}. Pass an nn.Module "
            "that takes such rows."
        )
    chosen, given = MLP if bundled else settings.module, settings.part("module")
    return build_module(chosen, given, schema.row_shape, spec.n_classes, spec.one_column is True, copies)


def _settle(
    module: nn.Module, settings: FitSettings, schema: FeatureSchema, device: torch.device, rows: Rows
) -> torch.dtype:
    """Settle shapes and dtype of a new module (still on the CPU); return its computing dtype."""
    bundled = settings.module is None
    dtype = computing_dtype(module, schema.dtype if bundled else None, device)
    if bundled or device.type != "cpu":
        module.to(dtype)
    initialize_lazy_layers(module, rows.on(torch.device("cpu"), dtype))
    return dtype


def refuse_untrainable(module: nn.Module) -> None:
    """Raise ModuleOutputError for a module without a parameter that can be trained."""
    finding = check_parameters(module)
    if finding is not None:
        raise ModuleOutputError(finding.text, finding.code)


def build_optimizer(settings: FitSettings, lr: float, model: Model) -> torch.optim.Optimizer:
    """Build the optimizer, with fused kernels where it and the device have them.

    Raises
    ------
    TypeError
        If what was given as `optimizer` makes none.
    ValueError
        If ``optimizer__<name>`` is not a parameter of it.
    """
    make, given = settings.optimizer, settings.part("optimizer")
    name = getattr(make, "__name__", repr(make))
    if given:
        _check_optimizer_names(make, given)
    if isinstance(make, type) and not issubclass(make, torch.optim.Optimizer):
        raise TypeError(f"optimizer={name} must make a torch optimizer: pass a class of torch.optim, or a factory.")
    groups = _parameter_groups(model, given.pop("param_groups", ()))
    arguments = {**given, "lr": lr}
    optimizer = _made(make, arguments, groups, _may_fuse(make, given, groups, model.module))
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"optimizer={name} must make a torch optimizer, but made a {type(optimizer).__name__}.")
    if "fused" not in given:
        start_momentum(optimizer)
    return optimizer


def _check_optimizer_names(make: Any, given: Mapping[str, Any]) -> None:
    if "lr" in given:
        raise ValueError(
            "optimizer__lr was set: the learning rate is the parameter lr, which schedules and history_ follow."
        )
    plain = [key for key in given if not key.startswith("param_groups__")]
    check_names(plain, make, "optimizer", exclude=("self", "params"), also=("param_groups",))


def _parameter_groups(model: Model, patterns: Iterable[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return the parameters of module and criterion in groups: a group for each pattern, then the others."""
    parameters: dict[nn.Parameter, str] = {}
    for part in (model.module, model.criterion):
        for name, parameter in part.named_parameters():
            parameters.setdefault(parameter, name)
    groups = []
    for pattern, options in patterns:
        matching = [p for p, name in parameters.items() if fnmatch.fnmatch(name, pattern)]
        if matching:  # in reverse, as skorch does: saved optimizer state goes by position
            groups.append({"params": matching[::-1], **options})
            parameters = {p: name for p, name in parameters.items() if not fnmatch.fnmatch(name, pattern)}
    return [*groups, {"params": list(parameters)}] if parameters else groups


def _made(make: Any, arguments: dict[str, Any], groups: list[dict[str, Any]], fused: bool) -> Any:
    """Return what `make` makes, in the plain form if there is no fused one of it."""
    if fused:
        try:
            return make([dict(group) for group in groups], **arguments, fused=True)
        except (RuntimeError, TypeError, ValueError):
            pass  # an error that has another cause is raised below
    return make(groups, **arguments)


def _may_fuse(make: Any, given: Mapping[str, Any], groups: list[dict[str, Any]], module: nn.Module) -> bool:
    accepted, _ = accepted_names(make)
    if "fused" not in accepted or {"fused", "foreach", "differentiable", "capturable"} & set(given):
        return False
    # The kernels take dense gradients alone, and say so only at the first step.
    sparse = any(getattr(layer, "sparse", False) is True for layer in module.modules())
    return not sparse and may_fuse(p for g in groups for p in g["params"])
