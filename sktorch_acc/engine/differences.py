"""By how much outputs differ, where some of them may be infinite."""

from __future__ import annotations

import math

import torch


def difference_of(outputs: torch.Tensor, others: torch.Tensor) -> float:
    """Return the largest difference; NaN if there is a NaN, which has codes of its own.

    An infinity, which masks a class, differs from all but itself.
    """
    if torch.equal(outputs, others):
        return 0.0
    difference = float(_wide(outputs).sub(_wide(others)).abs().max())
    if math.isfinite(difference) or bool(outputs.isnan().any() or others.isnan().any()):
        return difference
    a, b = outputs.masked_fill(outputs.isfinite(), 0), others.masked_fill(others.isfinite(), 0)
    if not torch.equal(a, b):
        return math.inf
    return float(_wide(_finite(outputs)).sub(_wide(_finite(others))).abs().max())


def largest_of(outputs: torch.Tensor) -> float:
    """Return the largest magnitude, of the values that are finite if there are any."""
    largest = float(_wide(outputs).abs().max())
    return float(_wide(_finite(outputs)).abs().max()) if largest == math.inf else largest


def _finite(outputs: torch.Tensor) -> torch.Tensor:
    return outputs.masked_fill(outputs.isinf(), 0)


def _wide(values: torch.Tensor) -> torch.Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values
