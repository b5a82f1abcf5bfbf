"""Samples with targets and weights: what is taken, moved or weighed stays together."""

import numpy as np
import pytest
import scipy.sparse
import torch

from sktorch_acc.data import Examples
from sktorch_acc.data.rows import as_rows

CPU = torch.device("cpu")
X = np.arange(15, dtype="float32").reshape(5, 3)
Y = np.array([0, 2, 0, 0, 2])
W = np.array([1.0, 0.0, 2.5, 0.0, 3.0])


def examples(weights=W, X=X):
    return Examples.of(as_rows(X, torch.float32), Y, 4, weights)


def test_there_are_as_many_samples_as_targets():
    assert len(examples()) == 5
    assert examples().targets.dtype == torch.int64
    assert examples(None).weights is None


def test_the_support_counts_the_samples_of_every_class():
    support = examples().support
    assert support.tolist() == [3, 0, 2, 0]
    assert support.dtype == np.int64


@pytest.mark.parametrize("X", [X, scipy.sparse.csr_array(X)], ids=["dense", "sparse"])
def test_what_is_taken_keeps_rows_targets_and_weights_together(X):
    taken = examples(X=X).take(np.array([4, 0, 4]))
    assert taken.rows.chunk(0, 3).tolist() == [[12.0, 13.0, 14.0], [0.0, 1.0, 2.0], [12.0, 13.0, 14.0]]
    assert taken.targets.tolist() == [2, 0, 2]
    assert taken.weights.tolist() == [3.0, 1.0, 3.0]
    assert taken.n_classes == 4


def test_what_is_taken_has_a_support_of_its_own():
    whole = examples()
    assert whole.support.tolist() == [3, 0, 2, 0]
    assert whole.take(np.array([1])).support.tolist() == [0, 0, 1, 0]


def test_without_weights_none_are_taken():
    assert examples(None).take(np.array([0])).weights is None


def test_samples_of_weight_zero_are_left_out():
    kept = examples().with_weight()
    assert kept.targets.tolist() == [0, 0, 2]
    assert kept.weights.tolist() == [1.0, 2.5, 3.0]
    assert kept.rows.chunk(0, 3)[:, 0].tolist() == [0.0, 6.0, 12.0]


def test_where_every_sample_has_a_weight_nothing_is_copied():
    for whole in (examples(None), examples(W + 1)):
        assert whole.with_weight() is whole


def test_other_weights_for_the_same_samples():
    whole = examples()
    other = whole.weighing(torch.ones(5))
    assert other.rows is whole.rows
    assert other.weights.tolist() == [1.0] * 5
    assert whole.weights.tolist() == W.tolist()
    assert whole.weighing(whole.weights) is whole
    assert whole.weighing(None).weights is None


def test_rows_and_weights_take_the_dtype_of_the_module_and_targets_do_not():
    moved = examples().on(CPU, torch.float64)
    assert moved.rows.chunk(0, 1).dtype == moved.weights.dtype == torch.float64
    assert moved.targets.dtype == torch.int64


def test_rows_and_weights_go_to_the_device_of_the_module():
    moved = examples().on(torch.device("meta"), torch.float32)
    assert moved.targets.device.type == moved.weights.device.type == moved.rows.source.device.type == "meta"


def test_arrays_on_the_host_are_not_copied():
    given = examples()
    assert given.rows.source.data_ptr() == X.ctypes.data
    assert given.targets.data_ptr() == Y.ctypes.data
