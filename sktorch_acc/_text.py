"""Format values for messages, reports and plots: short lists, short names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["listed", "shorten"]


def listed(values: Sequence[Any] | npt.NDArray[Any], limit: int = 5, *, brackets: bool = True) -> str:
    """Format at most `limit` values, and the number of those left out."""
    shown = [v.item() if isinstance(v, np.generic) else v for v in values[:limit]]
    text = ", ".join(repr(v) for v in shown)
    text = f"[{text}]" if brackets else text
    return text if len(values) <= limit else f"{text} and {len(values) - limit} more"


def shorten(label: Any, width: int) -> str:
    """Shorten a name longer than `width` characters in the middle."""
    text = " ".join(str(label).split())
    if len(text) <= width:
        return text
    tail = width // 3
    return f"{text[: width - tail - 1].rstrip()}…{text[-tail:].lstrip()}"
