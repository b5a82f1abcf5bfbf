"""Tensors to safetensors and back, and what is verified before a value is used."""

import pytest
import torch

from sktorch_acc import ModelFileError
from sktorch_acc.storage.tensors import pack, table_of, unpack

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8, torch.bool]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3)], ids=str)
def test_tensors_of_every_dtype_and_shape_come_back(dtype, shape):
    tensors = {"a.b": torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype)}
    again = unpack(pack(tensors), table_of(tensors))
    assert list(again) == ["a.b"]
    assert again["a.b"].dtype == dtype
    assert torch.equal(again["a.b"], tensors["a.b"])


def test_bits_come_back():
    tensors = {"x": torch.tensor([float("nan"), float("inf"), -0.0, 1e-45])}
    again = unpack(pack(tensors), table_of(tensors))["x"]
    assert again.view(torch.int32).tolist() == tensors["x"].view(torch.int32).tolist()


def test_tensors_that_share_memory_or_are_not_contiguous_are_stored_in_full():
    whole = torch.arange(6.0).reshape(2, 3)
    tensors = {
        "whole": whole,
        "same": whole,
        "part": whole[1],
        "turned": whole.T,
        "grad": whole.clone().requires_grad_(),
    }
    again = unpack(pack(tensors), table_of(tensors))
    assert all(torch.equal(again[name], value) for name, value in tensors.items())


def test_the_same_tensors_give_the_same_bytes():
    tensors = {"b": torch.ones(3), "a": torch.zeros(2)}
    assert pack(tensors) == pack(tensors)


def test_a_table_is_what_json_can_hold():
    assert table_of({"x": torch.zeros(2, 3, dtype=torch.bfloat16)}) == {"x": {"dtype": "bfloat16", "shape": [2, 3]}}


def test_a_tensor_that_safetensors_cannot_store_is_an_error():
    with pytest.raises(ModelFileError, match="cannot be stored"):
        pack({"x": torch.zeros(2, dtype=torch.complex128)})


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"x": {"dtype": "float32", "shape": [3]}},
        {"x": {"dtype": "float64", "shape": [2]}},
        {"y": {"dtype": "float32", "shape": [2]}},
        {"x": {"dtype": "float32", "shape": [2]}, "y": {"dtype": "float32", "shape": [2]}},
    ],
)
def test_tensors_that_are_not_those_of_the_table_are_refused(table):
    with pytest.raises(ModelFileError, match=r"does not hold the tensors that manifest.json lists: \[.*\] differ"):
        unpack(pack({"x": torch.zeros(2)}), table)


def test_what_is_no_safetensors_is_refused():
    with pytest.raises(ModelFileError, match="cannot be read"):
        unpack(b"not safetensors", {})
