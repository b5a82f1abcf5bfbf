"""Format values for messages, reports and plots: short lists, short names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["listed", "shorten"]


def listed(values: Sequence[Any] | npt.NDArray[Any], limit: int = 5) -> str:
    """Format at most `limit` values, then how many more there are."""
    shown = [v.item() if isinstance(v, np.generic) else v for v in values[:limit]]
    return str(shown) if len(values) <= limit else f"{shown} and {len(values) - limit} more"


def shorten(label: Any, width: int) -> str:
    """Cut a name longer than `width` in the middle, so that its beginning and its end are kept."""
    text = " ".join(str(label).split())
    if len(text) <= width:
        return text
    tail = width // 3
    return f"{text[: width - tail - 1].rstrip()}…{text[-tail:].lstrip()}"
