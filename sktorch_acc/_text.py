"""Write labels for people: short lists for messages, short names for reports and pictures."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["class_name", "listed", "more", "shorten"]


def listed(values: Sequence[Any] | npt.NDArray[Any], limit: int = 5) -> str:
    """Write at most `limit` values, then how many more there are."""
    shown = [v.item() if isinstance(v, np.generic) else v for v in values[:limit]]
    return "[" + ", ".join(repr(v) for v in shown) + "]" + more(values, limit)


def more(values: Sized, limit: int = 5) -> str:
    """Return how a list ends of which only `limit` values were written: empty if these are all."""
    return f" and {len(values) - limit} more" if len(values) > limit else ""


def shorten(label: Any, width: int) -> str:
    """Cut a name longer than `width` in the middle, so that its beginning and its end still show."""
    text = " ".join(str(label).split())
    if len(text) <= width:
        return text
    tail = width // 3
    return f"{text[: width - tail - 1].rstrip()}…{text[-tail:].lstrip()}"


def class_name(value: Any) -> str:
    """Return the name of a class, or of the class of an object."""
    return value.__name__ if isinstance(value, type) else type(value).__name__
