"""Modules that come with the library."""

from sktorch_acc.modules.mlp import MLP

__all__ = ["MLP"]
