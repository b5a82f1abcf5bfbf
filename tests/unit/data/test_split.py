"""The stratified hold-out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sktorch_acc.data import stratified_holdout


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
