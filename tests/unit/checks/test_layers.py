"""The leaf layers of modules, also of those whose layers have a length or a truth value of their own."""

import torch
from torch import nn

from sktorch_acc.checks.data import normalises_input
from sktorch_acc.checks.layers import leaf_layers


class WithoutTruth(nn.Linear):
    def __bool__(self):
        raise TypeError("no truth value")


def test_leaf_layers_are_those_without_layers():
    a, b, empty = nn.Linear(1, 1), nn.ReLU(), nn.Sequential()
    assert list(leaf_layers(nn.Sequential(a, nn.Sequential(b, empty)))) == [a, b, empty]
    assert list(leaf_layers(a)) == [a]


def test_layers_are_not_asked_for_their_truth_value():
    inner = WithoutTruth(1, 1)
    assert list(leaf_layers(nn.Sequential(inner))) == [inner]
    norm = nn.BatchNorm1d(2)
    assert list(leaf_layers(nn.Sequential(torch.compile(norm, backend="eager")))) == [norm]
    assert normalises_input(nn.Sequential(torch.compile(norm, backend="eager")))
    empty = nn.ModuleList()  # a layer that is falsy is a layer
    assert list(leaf_layers(nn.Sequential(nn.Sequential(empty)))) == [empty]
