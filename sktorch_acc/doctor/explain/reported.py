"""Parse a printed accuracy: its value, its precision and its scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import torch

# Loops average in float32, whose relative spacing is up to 1.2e-7; a division and a sum stay within this.
FLOAT_NOISE = 4e-7


@dataclass(frozen=True)
class PrintedAccuracy:
    """An accuracy as a loop printed it.

    Parameters
    ----------
    value : float
        The printed number, at least 0.
    exponent : int
        Power of ten of its last digit, at most 0: -4 for ``"0.6830"``.
    text : str
        The printed text.
    percent : bool
        Whether the text ends with a percent sign.
    """

    value: float
    exponent: int
    text: str
    percent: bool

    @property
    def scales(self) -> tuple[int, ...]:
        """Scales to try: 100 with a percent sign; without one, a value above 1 may be in percent."""
        if self.percent:
            return (100,)
        return (1, 100) if self.value > 1 else (1,)

    @property
    def likely_scale(self) -> int:
        """The more probable scale."""
        return 100 if self.percent or 1 < self.value <= 100 else 1

    def width(self, scale: int) -> float:
        """Length of the interval of accuracies that print as this text."""
        return 2 * self.tolerance(scale)

    def tolerance(self, scale: int) -> float:
        """Largest distance, as a fraction, between the printed accuracy and a number that prints as it."""
        # An integer 0 or 1 (of `correct // total`) is exact; "32" of a format without decimals is not.
        half = 0.0 if scale == 1 and self.exponent == 0 and self.value <= 1 else 0.5 * 10.0**self.exponent
        return (half + FLOAT_NOISE * max(self.value, 1e-3)) / scale

    @property
    def decimals(self) -> int:
        """Number of decimals as a fraction: 4 for ``"0.6830"`` and for ``"68.30%"``."""
        return -self.exponent + (2 if self.likely_scale == 100 else 0)


def read_printed(reported: Any) -> PrintedAccuracy:
    """Parse a number or its printed text, or raise ValueError."""
    if isinstance(reported, (torch.Tensor, np.generic, np.ndarray)) and reported.ndim == 0:
        reported = reported.item()
    if isinstance(reported, bool) or not isinstance(reported, (int, float, str)):
        raise ValueError(_not_a_number(reported))
    text = reported.strip() if isinstance(reported, str) else repr(reported)
    percent = text.endswith("%")
    try:
        number = Decimal(text.removesuffix("%").strip())
    except InvalidOperation as err:
        raise ValueError(_not_a_number(reported)) from err
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(
            f"'reported' must be a finite number. Got {reported!r}. A NaN comes from 0 / 0: no sample was counted."
        )
    if number < 0:
        raise ValueError(f"'reported' must be an accuracy, which is at least 0. Got {reported!r}.")
    return PrintedAccuracy(value, min(int(number.as_tuple().exponent), 0), text, percent)


def _not_a_number(reported: Any) -> str:
    return (
        "'reported' must be the accuracy as a number or as the text that was printed, such as 0.683, "
        f"'0.6830' or '68.30%'. Got {reported!r} ({type(reported).__name__})."
    )
