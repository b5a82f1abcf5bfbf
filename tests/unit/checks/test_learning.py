"""The limits of the checks of learning."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from sktorch_acc.checks.learning import (
    check_constant_output,
    check_exploding_loss,
    check_flat,
    check_gradient_flow,
    check_memorised,
    check_optimizer,
    check_registered,
    check_still_loss,
    long_enough,
)


def flat(correct, support, epochs=10, steps=100):
    return check_flat(np.array(correct), np.array(support), epochs, steps, list("abcdef"))


@pytest.mark.parametrize(("n_samples", "share"), [(100, 0.5), (1000, 0.3), (20, 0.9)])
def test_flat_ends_at_the_quantile_of_the_binomial(n_samples, share):
    largest = round(n_samples * share)
    limit = int(scipy.stats.binom.ppf(0.975, n_samples, share))
    rest = np.full(3, (n_samples - largest) // 3)
    rest[0] += n_samples - largest - rest.sum()
    support = [largest, *rest]
    correct = min(limit, largest)
    assert flat([correct, 0, 0, 0], support) is not None
    more = limit + 1 - largest
    if more <= rest.sum():
        assert flat([largest, *np.minimum(rest, [more, max(0, more - rest[0]), 0])], support) is None


def test_a_module_below_the_majority_that_predicts_every_class_has_learnt():
    assert flat([70, 9], [90, 10]) is None  # 0.79 overall, but 0.84 on average: trained with class weights
    assert flat([45, 5], [90, 10]) is not None


def test_flat_needs_epochs_steps_and_two_classes():
    assert flat([50, 0], [50, 50], epochs=4) is None
    assert flat([50, 0], [50, 50], steps=49) is None
    assert flat([50, 0], [50, 0]) is None
    assert "always predicting 'a' (50.00% of the samples)" in flat([50, 0], [50, 50]).message
    assert flat([0, 0], [50, 50]) is not None
    assert long_enough(5, 50)


class Nested(nn.Module):
    def __init__(self, held):
        super().__init__()
        self.inner = nn.Linear(2, 2)
        self.inner.held = held
        self.note = ["text", 3]


def test_layers_in_containers_of_python():
    for held in ([nn.Linear(2, 2)], (nn.Linear(2, 2),), {"a": nn.Linear(2, 2)}):
        assert "'inner.held'" in check_registered(Nested(held)).message
    for held in ([], {"a": 1}, nn.ModuleList([nn.Linear(2, 2)])):
        assert check_registered(Nested(held)) is None
    model = nn.Sequential(nn.Linear(2, 2))
    model.also = [model[0]]  # registered elsewhere
    assert check_registered(model) is None


def test_optimizers():
    body, head, other = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)
    model = nn.Sequential(body, head)

    def over(*modules):
        return torch.optim.SGD([p for m in modules for p in m.parameters()], lr=0.1)

    assert check_optimizer(model, over(body, head)) is None
    assert check_optimizer(model, over(head)) is None
    assert check_optimizer(model, over(body, head, other)) is None
    assert "2 of the 4" in check_optimizer(model, over(body, other)).message
    assert "4 of the 4" in check_optimizer(model, over(other)).message
    body.requires_grad_(False)
    assert check_optimizer(model, over(head, other)) is None


def test_gradients_that_are_missing():
    assert check_gradient_flow([], 4) is None
    assert check_gradient_flow(["a", "b"], 4).severity == "warning"
    assert check_gradient_flow(["a", "b"], 2).severity == "error"


@pytest.mark.parametrize(
    ("losses", "reported"),
    [([1.0, 10.0], False), ([1.0, 10.1], True), ([1.0, math.nan], True), ([1.0, math.inf], True), ([5.0], False)],
)
def test_exploding_losses(losses, reported):
    assert (check_exploding_loss(losses, 0.1, 1.0) is not None) == reported


@pytest.mark.parametrize(
    ("losses", "reported"),
    [
        ([1.0986, 1.09859, 1.09858], True),
        ([1.0986, 1.0980, 1.0970], False),
        ([1.0986, 1.0986], False),
        ([0.1, 0.1, 0.1], False),  # learnt before
        ([0.0, 0.0, 0.0], False),
    ],
)
def test_losses_that_hardly_change(losses, reported):
    assert (check_still_loss(losses, 1e-8, 3) is not None) == reported


def test_constant_outputs_and_units_that_are_never_active():
    assert check_constant_output(0.5, 1.0, [("1", 0.9)]) is None
    assert check_constant_output(0.0, 1.0, []).severity == "error"
    dead = check_constant_output(0.5, 1.0, [("1", 0.95), ("3", 0.2)])
    assert (dead.severity, dead.message) == ("warning", "Layer 1: 95% of the units are 0 for every sample.")


def test_memorised():
    assert check_memorised(30, 30, 32, 200) is None
    assert "after 200 steps on them 20 predictions are correct" in check_memorised(20, 30, 32, 200).message
