"""Split samples into batches, and join batches to blocks that are gathered in one call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

# Elements that are gathered in one call (8 MiB of float64): enough that the overhead of the call is negligible, and
# few enough that there is no shuffled copy of all data.
BLOCK_ELEMENTS = 2**20
# Bytes. Kernels may sum in another order if their input does not begin at a multiple of it.
ALIGNMENT = 64


def batch_sizes(n_rows: int, batch_size: int) -> list[int]:
    """Return the number of samples in each batch; a last batch of one sample is joined to the batch before it.

    Batch norm cannot be trained on one sample, and ``squeeze()`` removes its axis (ACC-B8).
    """
    full, tail = divmod(n_rows, batch_size)
    sizes = [batch_size] * full + ([tail] if tail else [])
    if tail == 1 and full:
        sizes[-2:] = [batch_size + 1]
    return sizes


def row_blocks(n_rows: int, batch_size: int, elements_per_row: int) -> Iterator[tuple[int, int, list[int]]]:
    """Yield (start, stop, batch sizes) of consecutive blocks of whole batches."""
    sizes = batch_sizes(n_rows, batch_size)
    per_block = max(1, BLOCK_ELEMENTS // max(1, elements_per_row * batch_size))
    start = 0
    for first in range(0, len(sizes), per_block):
        block = sizes[first : first + per_block]
        stop = start + sum(block)
        yield start, stop, block
        start = stop


def aligned_split(block: torch.Tensor, sizes: Sequence[int]) -> Sequence[torch.Tensor]:
    """Split a newly allocated block into contiguous batches that begin at multiples of 64 bytes.

    The bits of a step then do not depend on the position of its batch in the block. All sizes but the last are equal.
    """
    block = block.contiguous()  # targets that are repeated over columns are not
    length = sizes[0] * (block.numel() // max(1, len(block)))  # elements of a batch
    per_line = ALIGNMENT // block.element_size()
    if len(sizes) == 1 or length % per_line == 0:
        return block.split(sizes)  # type: ignore[no-any-return]
    stride = -(-length // per_line) * per_line
    full, tail = block[: -sizes[-1]], block[-sizes[-1] :]  # the last batch may have another size
    n_full = len(sizes) - 1
    spaced = block.new_empty(n_full * stride + tail.numel())
    batches = spaced.as_strided((n_full, sizes[0], *block.shape[1:]), (stride, *block.stride()))
    batches.copy_(full.view(batches.shape))
    last = spaced[n_full * stride :].view(tail.shape)
    last.copy_(tail)
    return [*batches.unbind(0), last]
