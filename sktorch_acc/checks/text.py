"""How the messages of the checks write lists and shares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = ["percent", "some"]

_SHOWN = 5


def some(values: Sequence[Any]) -> str:
    """Show at most five values, and how many more there are."""
    shown = ", ".join(repr(value) for value in values[:_SHOWN])
    return shown if len(values) <= _SHOWN else f"{shown} and {len(values) - _SHOWN} more"


def percent(share: float) -> str:
    """Write a share as a percentage of two decimals."""
    return f"{share:.2%}"
