"""Outputs that look like probabilities, and logits that do so in part."""

import pytest
import torch
from torch import nn

from sktorch_acc.checks.outputs import OutputFacts, check_softmax_twice
from sktorch_acc.outputs import OutputSpec

PROBABILITIES = torch.tensor([[0.2, 0.3, 0.5], [0.0, 0.0, 1.0], [0.6, 0.3, 0.1]])


def found(output):
    spec = OutputSpec("logits", False, output.shape[1])
    return check_softmax_twice(
        OutputFacts(output, len(output), spec, "CrossEntropyLoss", nn.Linear(2, 3), "evaluation")
    )


def test_probabilities_of_all_samples_are_reported():
    assert found(PROBABILITIES).code == "ACC-C1"


@pytest.mark.parametrize("sample", [0, 1, 2])
@pytest.mark.parametrize("values", [[-0.5, 0.5, 1.0], [0.5, 0.5, 0.5]], ids=["sums to 1", "between 0 and 1"])
def test_one_sample_that_is_no_probability_is_enough_wherever_it_is(sample, values):
    output = PROBABILITIES.clone()
    output[sample] = torch.tensor(values)
    assert found(output) is None
