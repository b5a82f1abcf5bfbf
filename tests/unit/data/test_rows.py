"""Rows, dense or sparse: gathered for a step, sliced for a look, never written to."""

import numpy as np
import pytest
import scipy.sparse
import torch

from sktorch_acc.data.rows import as_rows, as_tensor

CPU = torch.device("cpu")
DENSE = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 4.0]])


@pytest.fixture(params=["dense", "sparse"])
def rows(request):
    return as_rows(DENSE if request.param == "dense" else scipy.sparse.csr_array(DENSE), torch.float32)


def test_there_are_as_many_as_in_the_source(rows):
    assert len(rows) == 4
    assert rows.elements_per_row == 2


def test_a_row_without_values_counts_as_one_element():
    assert as_rows(np.zeros((3, 0)), torch.float32).elements_per_row == 1
    assert as_rows(np.zeros(3), torch.float32).elements_per_row == 1


def test_rows_are_gathered_in_any_order(rows):
    gathered = rows.gather(torch.tensor([3, 0, 3]))
    assert gathered.tolist() == [[0.0, 4.0], [1.0, 0.0], [0.0, 4.0]]
    assert gathered.dtype == torch.float32


def test_a_chunk_is_consecutive_contiguous_and_a_copy(rows):
    chunk = rows.chunk(1, 3)
    assert chunk.tolist() == [[0.0, 2.0], [3.0, 0.0]]
    assert chunk.is_contiguous()
    chunk.zero_()
    assert rows.chunk(1, 3).tolist() == [[0.0, 2.0], [3.0, 0.0]]


def test_a_chunk_of_a_transposed_array_is_contiguous():
    rows = as_rows(np.asfortranarray(DENSE), torch.float64)
    assert rows.chunk(0, 4).is_contiguous()
    assert rows.chunk(0, 4).tolist() == DENSE.tolist()


def test_taken_rows_are_rows_of_their_own(rows):
    taken = rows.take(np.array([2, 1]))
    assert len(taken) == 2
    assert taken.chunk(0, 2).tolist() == [[3.0, 0.0], [0.0, 2.0]]


def test_rows_come_in_the_dtype_that_is_asked_for(rows):
    double = rows.on(CPU, torch.float64)
    assert double.chunk(0, 1).dtype == double.gather(torch.tensor([0])).dtype == torch.float64


def test_resident_rows_are_converted_once_where_they_can_be_held():
    rows = as_rows(DENSE, torch.float64).on(CPU, torch.float32)
    assert rows.source.dtype == torch.float64
    assert rows.resident().source.dtype == torch.float32
    sparse = as_rows(scipy.sparse.csr_array(DENSE), torch.float32)
    assert sparse.resident() is sparse


def test_integers_stay_integers():
    rows = as_rows(torch.tensor([[1], [2]]), torch.int64).on(CPU, torch.float32)
    assert rows.resident().chunk(0, 2).dtype == torch.int64


@pytest.mark.parametrize("sparse", [False, True])
def test_a_value_that_is_infinite_in_the_dtype_is_refused(sparse):
    large = np.array([[1.0], [-1e39]])
    rows = as_rows(scipy.sparse.csr_array(large) if sparse else large, torch.float64)
    with pytest.raises(ValueError, match=r"magnitude 1e\+39, which is infinite in float32"):
        rows.on(CPU, torch.float32)
    assert rows.on(CPU, torch.float64).chunk(0, 2).tolist() == large.tolist()


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (np.array([1, 2], dtype=np.uint16), torch.int32),
        (np.array([1, 2], dtype=np.uint64), torch.float64),
        (np.array([1, 2], dtype=">f8"), torch.float64),
        (np.array([2, 1], dtype=np.int64)[::-1], torch.int64),
    ],
)
def test_what_torch_does_not_know_is_converted(array, dtype):
    tensor = as_tensor(array)
    assert tensor.dtype == dtype
    assert tensor.tolist() == [1, 2]


def test_a_read_only_array_is_shared_without_a_warning():
    array = np.arange(3.0)
    array.flags.writeable = False
    assert as_tensor(array).data_ptr() == array.ctypes.data
