"""The outputs of a module for rows, in evaluation mode, chunk by chunk.

The pass that measures the training accuracy inside `fit` and `predict` afterwards both come through
here, with one chunk rule, so that they see the same bits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from sktorch_acc.data import Rows, batch_sizes
from sktorch_acc.exceptions import ModuleOutputError

CHUNK_ELEMENTS = 2**22
# With 256 hidden units three activations of 4,096 rows are more memory than glibc keeps: it is returned to the
# system, and every chunk causes page faults. With 2,048 rows it is not; small modules are hardly slower.
CHUNK_ROWS = 2048


def chunk_rows(elements_per_row: int) -> int:
    """Return how many rows are evaluated at once."""
    return min(max(CHUNK_ELEMENTS // elements_per_row, 1), CHUNK_ROWS)


def each_output(
    module: nn.Module, rows: Rows, consume: Callable[[int, int, torch.Tensor], None], *, keep_mode: bool = False
) -> None:
    """Call ``consume(start, stop, output)`` for consecutive chunks of rows.

    The module is put in evaluation mode, unless `keep_mode`. ``no_grad``, not ``inference_mode``: the latter
    breaks modules that cache a tensor for a later training step.
    """
    if not keep_mode:
        module.eval()
    gradients = torch.is_grad_enabled()
    try:
        with torch.no_grad():
            _each_chunk(module, rows, consume)
    finally:
        if torch.is_grad_enabled() is not gradients:  # Ctrl-C while no_grad was left
            torch.set_grad_enabled(gradients)


def _each_chunk(module: nn.Module, rows: Rows, consume: Callable[[int, int, torch.Tensor], None]) -> None:
    start = 0
    for size in batch_sizes(len(rows), chunk_rows(rows.elements_per_row)):  # with the rule for a tail of one row too
        stop = start + size
        output = module(rows.chunk(start, stop))
        if not isinstance(output, torch.Tensor) or output.ndim == 0 or output.shape[0] != stop - start:
            came = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
            raise ModuleOutputError(
                f"{type(module).__name__}.forward returned {came} for {stop - start} rows, but one row of output "
                "per row of input is needed. A squeeze() without dim does this to a batch of one row.",
                "ACC-B8" if stop - start == 1 else "ACC-B4",
            )
        consume(start, stop, output)
        start = stop


def nan_rows(output: torch.Tensor) -> int:
    """Return the number of rows with a NaN; one sum if there is none."""
    # The sum is NaN for inf - inf too, so the rows are looked at.
    if not bool(torch.isnan(output.sum())):
        return 0
    return int(torch.isnan(output).reshape(len(output), -1).any(dim=1).sum())
