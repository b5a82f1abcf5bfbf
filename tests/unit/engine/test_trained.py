"""What fits have trained: found by its memory, and only where it is moved again."""

import pytest
import torch
from torch import nn

from sktorch_acc.engine.trained import noting_trained, trained_further, trained_names


def step(module, frozen=False):
    """What a step of a fit does: a gradient, and statistics in training mode."""
    out = module(torch.randn(4, 3)).square().sum()
    if not frozen:
        out.backward()


def noted(module):
    with noting_trained(module):
        step(module)
    module.zero_grad(set_to_none=True)
    return module


def layers():
    return nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))


EVERYTHING = ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"]


def test_a_new_module_holds_nothing_that_was_trained():
    noted(layers())
    names = trained_further(layers(), nn.CrossEntropyLoss())
    assert names() == trained_names(layers()) == []


def test_what_is_trained_further_is_named_in_module_and_criterion():
    module = noted(layers())
    names = trained_further(module, nn.CrossEntropyLoss())
    assert names() == []
    step(module)
    assert names() == EVERYTHING
    assert trained_names(module) == EVERYTHING
    module = noted(layers())
    names = trained_further(nn.Linear(1, 1), module)
    step(module)
    assert names() == [f"criterion.{name}" for name in EVERYTHING]


@pytest.mark.parametrize("frozen", [False, True])
def test_buffers_are_named_only_if_they_move(frozen):
    module = noted(layers())
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    module.train(not frozen)
    names = trained_further(module, nn.CrossEntropyLoss())
    step(module, frozen=True)
    assert names() == ([] if frozen else EVERYTHING[-2:])
    assert trained_names(module) == []


def test_parameters_are_named_only_if_they_have_a_gradient_or_are_written_to():
    module = noted(layers())
    names = trained_further(module, nn.CrossEntropyLoss())
    with torch.no_grad():
        module.eval()(torch.ones(2, 3))
        assert names() == []
        module[0].bias.add_(1)
    assert names() == ["0.bias"]


def test_a_parameter_of_two_layers_is_named_once():
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    noted(module)
    assert trained_names(module) == ["0.weight", "0.bias", "1.bias"]
