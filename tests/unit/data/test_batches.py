"""Batches and their tail, blocks, and where in memory a batch begins."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sktorch_acc.data import aligned_split, batch_sizes, batches, row_blocks


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "sizes"),
    [(10, 5, [5, 5]), (11, 5, [5, 6]), (12, 5, [5, 5, 2]), (1, 5, [1]), (3, 1, [1, 1, 1]), (4, 9, [4])],
)
def test_a_tail_of_one_row_joins_the_batch_before_it(n_rows, batch_size, sizes):
    assert batch_sizes(n_rows, batch_size) == sizes


@given(st.integers(1, 500), st.integers(1, 60), st.integers(1, 40))
def test_blocks_hold_every_row_once_in_whole_batches(n_rows, batch_size, block_elements):
    before, batches.BLOCK_ELEMENTS = batches.BLOCK_ELEMENTS, block_elements
    try:
        blocks = list(row_blocks(n_rows, batch_size, elements_per_row=3))
    finally:
        batches.BLOCK_ELEMENTS = before
    assert [start for start, _, _ in blocks] == [0, *(stop for _, stop, _ in blocks[:-1])]
    assert blocks[-1][1] == n_rows
    assert [size for _, _, sizes in blocks for size in sizes] == batch_sizes(n_rows, batch_size)


DTYPES = (torch.float32, torch.float64, torch.int64)
SHAPES = ((), (1,), (3,), (7,), (16,), (3, 5), (2, 3, 3))
SIZES = {
    "one batch": [7],
    "one batch of one row": [1],
    "equal batches": [5, 5, 5],
    "a smaller last batch": [6, 6, 2],
    "a last batch of one row more": [5, 5, 6],
    "batches of one row": [1, 1, 1],
    "two rows in the last batch of batches of one": [1, 1, 2],
    "batches of whole lines": [16, 16, 9],
}


def block_of(sizes, shape, dtype):
    n = sum(sizes)
    return torch.arange(n * torch.Size(shape).numel()).reshape(n, *shape).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_batches_are_the_rows_and_each_begins_at_a_multiple_of_64_bytes(sizes, shape, dtype):
    block = block_of(sizes, shape, dtype)
    parts = aligned_split(block.clone(), sizes)
    assert [len(part) for part in parts] == sizes
    assert all(torch.equal(a, b) for a, b in zip(parts, block.split(sizes), strict=True))
    assert all(part.dtype == dtype for part in parts)
    assert [part.data_ptr() % 64 for part in parts] == [0] * len(sizes)
    assert all(part.is_contiguous() for part in parts)


def test_batches_do_not_overlap():
    parts = aligned_split(torch.zeros(17, 3), [5, 5, 7])
    for number, part in enumerate(parts):
        part.fill_(number)
    assert [part.unique().tolist() for part in parts] == [[0.0], [1.0], [2.0]]


def test_a_block_whose_batches_are_whole_lines_is_not_copied():
    block = torch.zeros(32, 16)
    assert aligned_split(block, [16, 16])[1].data_ptr() == block[16].data_ptr()


@pytest.mark.parametrize("sizes", [[5, 5, 6], [16, 16]], ids=str)
def test_targets_that_are_repeated_over_columns_are_split_too(sizes):
    repeated = torch.arange(float(sum(sizes))).reshape(-1, 1).expand(-1, 3)
    parts = aligned_split(repeated, sizes)
    assert torch.equal(torch.cat(list(parts)), repeated)
    assert all(part.is_contiguous() and part.data_ptr() % 64 == 0 for part in parts)
