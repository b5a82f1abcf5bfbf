"""Batches and their tail, blocks, and the stratified hold-out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sktorch_acc.data import batch_sizes, batches, row_blocks, stratified_holdout


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


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.floats(0.05, 0.9), st.integers(0, 9))
def test_the_holdout_is_stratified_and_leaves_each_class_a_row(counts, fraction, seed):
    indices = np.repeat(np.arange(len(counts)), counts)
    wanted = min(round(fraction * len(indices)), sum(c - 1 for c in counts))
    if wanted == 0:
        with pytest.raises(ValueError, match="holds out no sample"):
            stratified_holdout(indices, fraction, seed)
        return
    kept, held = stratified_holdout(indices, fraction, seed)
    assert sorted([*kept, *held]) == list(range(len(indices)))
    assert len(held) == wanted
    assert (np.bincount(indices[kept], minlength=len(counts)) >= 1).all()
    share = np.minimum(np.array(counts) * fraction, np.array(counts) - 1)
    assert (np.bincount(indices[held], minlength=len(counts)) >= np.floor(share)).all()


def test_the_holdout_follows_its_seed():
    indices = np.repeat([0, 1], 50)
    first, again, other = (stratified_holdout(indices, 0.2, seed)[1].tolist() for seed in (1, 1, 2))
    assert first == again != other
