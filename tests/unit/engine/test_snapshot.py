"""Copies of the weights, and digests to recognise them by."""

import math

import pytest
import torch
from torch import nn

from sktorch_acc.engine.snapshot import Snapshot, fingerprint


class Counts(nn.Module):
    """A parameter, a buffer of integers, one that grows, and one with NaN."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("seen", torch.zeros(1))
        self.register_buffer("unknown", torch.full((2,), math.nan))

    def train_a_step(self):
        with torch.no_grad():
            self.layer.weight += 1
            self.count += 1


def values(module):
    return [tensor.clone() for tensor in module.state_dict().values()]


def assert_holds(module, expected):
    for a, b in zip(module.state_dict().values(), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def test_what_was_taken_comes_back_parameters_and_buffers():
    module = Counts()
    before = values(module)
    snapshot = Snapshot(module)
    module.train_a_step()
    assert snapshot.differs(module)
    snapshot.restore(module)
    assert_holds(module, before)
    assert not snapshot.differs(module)


def test_a_snapshot_can_be_taken_again_in_the_same_memory():
    module = Counts()
    snapshot = Snapshot(module)
    memory = [tensor.data_ptr() for tensor in snapshot._kept]
    module.train_a_step()
    snapshot.take(module)
    later = values(module)
    module.train_a_step()
    snapshot.restore(module)
    assert_holds(module, later)
    assert [tensor.data_ptr() for tensor in snapshot._kept] == memory


def test_parameters_keep_their_identity():
    module = Counts()
    parameters = [id(parameter) for parameter in module.parameters()]
    snapshot = Snapshot(module)
    module.train_a_step()
    snapshot.restore(module)
    assert [id(parameter) for parameter in module.parameters()] == parameters
    assert module.layer.weight.requires_grad


def test_a_buffer_that_grew_comes_back_in_its_old_shape():
    module = Counts()
    snapshot = Snapshot(module)
    module.seen = torch.ones(5)
    assert snapshot.differs(module)
    snapshot.restore(module)
    assert module.seen.tolist() == [0.0]
    module.seen.add_(1)  # the module's own memory, not the snapshot's
    snapshot.restore(module)
    assert module.seen.tolist() == [0.0]


def test_a_snapshot_follows_a_buffer_that_grew():
    module = Counts()
    snapshot = Snapshot(module)
    module.seen = torch.ones(5)
    snapshot.take(module)
    module.seen = torch.zeros(2)
    snapshot.restore(module)
    assert module.seen.tolist() == [1.0] * 5


def test_nan_equals_nan_and_nothing_else():
    module = Counts()
    snapshot = Snapshot(module)
    assert not snapshot.differs(module)
    module.unknown[0] = 0.0
    assert snapshot.differs(module)


def test_another_number_of_tensors_is_a_difference():
    module = Counts()
    snapshot = Snapshot(module)
    module.register_buffer("more", torch.zeros(1))
    assert snapshot.differs(module)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.complex64])
def test_a_fingerprint_is_the_same_for_the_same_bits_alone(dtype):
    module = nn.Linear(2, 2, dtype=dtype)
    first = fingerprint(module)
    assert fingerprint(module) == first
    with torch.no_grad():
        module.bias[0] += 1
        changed = fingerprint(module)
        module.bias[0] -= 1
    assert changed != first


def test_a_fingerprint_covers_buffers_and_nan():
    module = Counts()
    first = fingerprint(module)
    module.count += 1
    assert fingerprint(module) != first
    module.count -= 1
    assert fingerprint(module) == first


def test_zero_and_minus_zero_are_other_bits_for_a_fingerprint():
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.zero_()
        first = fingerprint(module)
        module.weight.neg_()
    assert fingerprint(module) != first


class Registers(nn.Module):
    """A buffer that is None at first, and layers in a container."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
        self.register_buffer("scale", None)
        self.register_buffer("mask", torch.ones(2), persistent=False)


def register_late(module):
    module.register_buffer("shift", torch.ones(2))
    module.layers[0].register_parameter("gain", nn.Parameter(torch.ones(2)))


def grow(module):
    module.layers.append(nn.Linear(2, 2))


def set_what_was_none(module):
    module.scale = torch.full((2,), 3.0)


def delete(module):
    del module.mask
    del module.layers[1]


def replace_by_a_parameter(module):
    del module.mask
    module.mask = nn.Parameter(torch.zeros(2))


def register_again(module):
    module.register_buffer("mask", torch.zeros(2), persistent=False)
    module.layers[0].weight = nn.Parameter(torch.zeros(2, 2))


def tie(module):
    module.layers[1].weight = module.layers[0].weight


CHANGES = [register_late, grow, set_what_was_none, delete, replace_by_a_parameter, register_again, tie]


def described(module):
    tensors = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    return {name: (type(tensor), tensor.tolist()) for name, tensor in tensors}, [*module.state_dict()]


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_registered_or_removed_since_is_undone(change):
    module = Registers()
    before, snapshot = described(module), Snapshot(module)
    change(module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 1
    assert snapshot.differs(module)
    snapshot.restore(module)
    assert described(module) == before
    assert not snapshot.differs(module)
    assert module.scale is None


@pytest.mark.parametrize("change", CHANGES)
def test_a_snapshot_that_is_taken_again_holds_what_is_registered_then(change):
    module = Registers()
    snapshot = Snapshot(module)
    change(module)
    before = described(module)
    snapshot.take(module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 1
    snapshot.restore(module)
    assert described(module) == before


def test_of_another_module_the_tensors_of_the_same_names_are_restored():
    snapshot = Snapshot(nn.Sequential(nn.Linear(2, 2)))
    other = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    last = other[1].weight.clone()
    snapshot.restore(other)
    assert torch.equal(other[0].weight, snapshot._kept[0])
    assert torch.equal(other[1].weight, last)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_a_scripted_layer_comes_back():
    module = nn.Sequential(torch.jit.script(nn.Linear(2, 2)), nn.BatchNorm1d(2))
    before, snapshot = values(module), Snapshot(module)
    module.register_buffer("late", torch.ones(1))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 1
    snapshot.restore(module)
    assert_holds(module, before)


def test_a_module_without_tensors_is_no_difference():
    module = nn.ReLU()
    snapshot = Snapshot(module)
    snapshot.take(module)
    snapshot.restore(module)
    assert not snapshot.differs(module)
