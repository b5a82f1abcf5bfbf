"""Build a module and give it stored values: to load a model, and to find out when saving whether that will work."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from sktorch_acc.data import FeatureSchema
from sktorch_acc.engine.build import build_module
from sktorch_acc.engine.settings import FitSettings
from sktorch_acc.exceptions import ModelFileError
from sktorch_acc.modules import MLP
from sktorch_acc.outputs import OutputSpec
from sktorch_acc.persistence.weights import build_and_fill, fill, settle_lazy_layers
from sktorch_acc.storage.tensors import Tensors


def rebuilt_module(
    settings: FitSettings,
    schema: FeatureSchema,
    spec: OutputSpec,
    dtype: torch.dtype,
    stored: Tensors,
    frozen: Sequence[str],
) -> nn.Module:
    """Return the module that the settings build, with stored values, on the CPU and in evaluation mode.

    Parameters
    ----------
    settings, schema, spec, dtype
        What decides which module is built, and the dtype in which it computes.
    stored : mapping of str to Tensor
        Its parameters and buffers.
    frozen : sequence of str
        The names of its parameters that are not trained.

    Raises
    ------
    ModelFileError
        If it cannot be built, or has other tensors than those stored.
    """
    module = _filled_module(settings, schema, spec, stored)
    _restore_frozen(module, frozen)
    settle_lazy_layers(module, schema.row_shape, torch.int64 if schema.integers else dtype)
    return module.eval()


def name_of_module(settings: FitSettings) -> str:
    """Return the name of what builds the module, for messages."""
    chosen = MLP if settings.module is None else settings.module
    name: str = getattr(getattr(chosen, "func", chosen), "__name__", type(chosen).__name__)
    return name


def _filled_module(settings: FitSettings, schema: FeatureSchema, spec: OutputSpec, stored: Tensors) -> nn.Module:
    given = settings.part("module")
    bundled = settings.module is None
    chosen = MLP if bundled else settings.module
    if bundled and (len(schema.row_shape) != 1 or len(given.get("hidden_sizes", ())) > len(stored)):
        raise ModelFileError("manifest.json: the parameters of the bundled MLP do not fit the stored tensors.")

    def build() -> nn.Module:
        return build_module(chosen, given, schema.row_shape, spec.n_classes, spec.one_column is True)

    name = name_of_module(settings)
    if not isinstance(chosen, nn.Module):
        return build_and_fill(build, stored, name, own=bundled)
    module = build()
    fill(module, stored, name)
    return module


def _restore_frozen(module: nn.Module, frozen: Sequence[str]) -> None:
    for name, parameter in module.named_parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(name not in frozen)
