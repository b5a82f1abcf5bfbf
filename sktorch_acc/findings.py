"""What a check returns: one mistake, named by its catalogue code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake that a check found.

    Parameters
    ----------
    code : str or None
        Catalogue code, such as ``"ACC-C1"``; None if the catalogue has none.
    severity : {"error", "warning", "info"}
        ``"error"``: the result would be wrong; ``"warning"``: usable but surprising.
    message : str
        What is wrong, what was expected and what came.
    advice : str
        What to do about it.
    """

    code: str | None
    severity: Literal["error", "warning", "info"]
    message: str
    advice: str

    def __str__(self) -> str:
        prefix = "" if self.code is None else f"[{self.code}] "
        return f"{prefix}{self.text}"

    @property
    def text(self) -> str:
        """Message and advice as one paragraph, without the code."""
        return f"{self.message} {self.advice}".strip()
