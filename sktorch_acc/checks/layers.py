"""The layers of a module, whatever their classes define."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn


def leaf_layers(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers without layers in them; the truth value of a layer is not asked for: it may have a length."""
    return (layer for layer in module.modules() if next(iter(layer.children()), None) is None)
