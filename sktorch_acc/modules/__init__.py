"""Modules of the library."""

from sktorch_acc.modules.mlp import MLP

__all__ = ["MLP"]
