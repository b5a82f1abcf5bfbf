"""How rows are cut into batches, and batches into blocks that are gathered at once."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["batch_sizes", "row_blocks"]

# Elements gathered at once (8 MiB of float64): large enough that the gather's overhead vanishes,
# small enough that a shuffled second copy of the data never exists.
BLOCK_ELEMENTS = 2**20


def batch_sizes(n_rows: int, batch_size: int) -> list[int]:
    """Return the rows of each batch; a tail of one row joins the batch before it.

    Batch norm cannot train on one row, and ``squeeze()`` drops its axis (ACC-B8).
    """
    full, tail = divmod(n_rows, batch_size)
    sizes = [batch_size] * full + ([tail] if tail else [])
    if tail == 1 and full:
        sizes[-2:] = [batch_size + 1]
    return sizes


def row_blocks(n_rows: int, batch_size: int, elements_per_row: int) -> Iterator[tuple[int, int, list[int]]]:
    """Yield (start, stop, batch sizes) of consecutive blocks, each holding whole batches."""
    sizes = batch_sizes(n_rows, batch_size)
    per_block = max(1, BLOCK_ELEMENTS // max(1, elements_per_row * batch_size))
    start = 0
    for first in range(0, len(sizes), per_block):
        block = sizes[first : first + per_block]
        stop = start + sum(block)
        yield start, stop, block
        start = stop
