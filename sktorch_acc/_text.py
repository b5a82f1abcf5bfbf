"""Format values for messages, reports and plots: short lists, short names."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any

import numpy as np
import numpy.typing as npt


def listed(values: Sequence[Any] | npt.NDArray[Any], limit: int = 5) -> str:
    """Format at most `limit` values, and the number of those left out."""
    shown = [v.item() if isinstance(v, np.generic) else v for v in values[:limit]]
    return f"{shown}{more(values, limit)}"


def more(values: Sized, limit: int = 5) -> str:
    """Return the end of a list of which `limit` values are shown; empty if these are all."""
    return f" and {len(values) - limit} more" if len(values) > limit else ""


def shorten(label: Any, width: int) -> str:
    """Shorten a name longer than `width` characters in the middle."""
    text = " ".join(str(label).split())
    if len(text) <= width:
        return text
    tail = width // 3
    return f"{text[: width - tail - 1].rstrip()}…{text[-tail:].lstrip()}"


def class_name(value: Any) -> str:
    """Return the name of a class, or of the class of an object."""
    return value.__name__ if isinstance(value, type) else type(value).__name__
