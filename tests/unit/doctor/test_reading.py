"""Outputs and targets that are accepted, how they are read, and what is refused."""

import re

import numpy as np
import pytest
import torch

from sktorch_acc.doctor.explain.reading import read_problem

SCORES = [[2.0, 1.0, 0.0], [0.0, 1.0, 3.0], [0.0, 5.0, 1.0], [0.0, 5.0, 1.0]]
TARGETS = [0, 2, 1, 2]


def read(outputs=SCORES, targets=TARGETS, batch_size=None, shuffled=None):
    return read_problem(outputs, targets, batch_size, shuffled)


@pytest.mark.parametrize(
    "outputs",
    [
        SCORES,
        np.array(SCORES),
        np.array(SCORES, dtype=np.float16),
        np.array(SCORES)[::-1][::-1],
        np.array(SCORES[::-1])[::-1],
        np.array(SCORES, dtype=np.int64),
        torch.tensor(SCORES),
        torch.tensor(SCORES, dtype=torch.bfloat16),
        torch.tensor(SCORES, requires_grad=True),
        [torch.tensor(scores) for scores in SCORES],
    ],
)
def test_scores_in_every_container_give_the_same_classes(outputs):
    problem = read(outputs)
    assert problem.predicted.tolist() == [0, 2, 1, 1]
    assert (problem.n_correct, problem.accuracy, problem.n_classes) == (3, 0.75, 3)


@pytest.mark.parametrize(
    "targets",
    [np.array(TARGETS, dtype=np.uint8), torch.tensor(TARGETS)[:, None], np.array(TARGETS, dtype=np.float32)],
)
def test_targets_may_be_a_column_or_whole_floats(targets):
    assert read(targets=targets).targets.tolist() == TARGETS
    assert read(targets=targets).targets.dtype == np.int64


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_one_column_is_logits_if_a_value_is_outside_the_unit_interval(shape):
    problem = read(torch.tensor([-1.0, 0.2, 0.6, 3.0]).reshape(shape), [0, 1, 1, 1])
    assert (problem.kind, problem.n_classes, problem.accuracy) == ("logits", 2, 1.0)


def test_one_column_is_probabilities_if_all_values_are_in_the_unit_interval():
    problem = read([0.1, 0.2, 0.6, 1.0], [0, 1, 1, 1])
    assert (problem.kind, problem.accuracy) == ("probabilities", 0.75)


def test_minus_infinity_is_a_valid_score():
    assert read([[0.0, -np.inf], [-np.inf, 0.0]], [0, 1]).accuracy == 1.0


def test_batches_are_consecutive_with_a_short_last_one():
    problem = read(batch_size=3)
    assert problem.batch_sizes.tolist() == [3, 1]
    assert problem.batch_correct.tolist() == [3, 0]
    assert (problem.n_batches, problem.short_batch_size, problem.last_batch_size) == (2, 1, 1)


def test_a_batch_larger_than_the_data_is_one_batch():
    problem = read(batch_size=100)
    assert (problem.n_batches, problem.short_batch_size, problem.last_batch_size) == (1, 0, 4)


@pytest.mark.parametrize(
    ("outputs", "targets", "match"),
    [
        (np.zeros((4, 2, 3)), TARGETS, r"ACC-B5.*\(4, 2, 3\)"),
        (np.zeros(()), TARGETS, r"Got \(\)"),
        (np.zeros((0, 3)), [], r"at least one sample.*\(0, 3\)"),
        ([], [], "at least one sample"),
        ([0, 2, 1, 1], TARGETS, "before argmax or a threshold.*class indices"),
        (np.zeros((4, 1), dtype=int), [0, 0, 0, 0], "before argmax or a threshold"),
        ([[0.0, np.nan, 1.0]] * 4, TARGETS, r"ACC-D5.*NaN or inf in 4 of 4 samples: \[0, 1, 2, 3\]"),
        ([[0.0, np.inf, 1.0]] * 4, TARGETS, "ACC-D5.*NaN or inf in 4 of 4 samples"),
        (["a", "b"], [0, 1], "'outputs' must be a tensor, an array or a list of numbers"),
        ([[1.0], [1.0, 2.0]], [0, 1], "'outputs' must be a tensor"),
        (SCORES, [0, 2, 1], "Got 4 outputs and 3 targets"),
        (SCORES, [0, 2, 1, -1], r"ACC-D1.*negative values: \[-1\]"),
        (SCORES, [0, 2, 1, 3], r"ACC-D1.*\[0, 2\].*3 columns.*Got \[3\].*ACC-C8"),
        ([-1.0, 2.0], [0, 2], "ACC-D1.*one column, so two classes"),
        (SCORES, [0.0, 0.5, 1.0, 2.0], r"ACC-D11.*not whole numbers: \[0.5\]"),
        (SCORES, [0.0, np.nan, 1.0, 2.0], r"ACC-D11.*not whole numbers: \[nan\]"),
        (SCORES, np.eye(4)[:, :3], r"ACC-B3.*\(4, 3\).*argmax"),
        (SCORES, ["a", "b", "c", "d"], "'targets' must be a tensor"),
        (SCORES, None, "'targets' must be a tensor"),
        (SCORES, np.ma.array([0, 2, 1, 1], mask=[0, 1, 0, 1]), "'targets' is masked in 2 places"),
    ],
)
def test_invalid_outputs_and_targets_are_refused_with_the_values_found(outputs, targets, match):
    with pytest.raises(ValueError, match=match) as refused:
        read(outputs, targets)
    code = re.match("ACC-[A-Z][0-9]+", match)
    assert refused.value.code == (code and code[0])


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, "32", True])
def test_a_batch_size_below_one_or_not_whole_is_refused(batch_size):
    with pytest.raises(ValueError, match=r"'batch_size' parameter of explain_accuracy.*\[1, inf\)"):
        read(batch_size=batch_size)


def test_shuffled_is_a_bool():
    assert read(shuffled=np.True_).shuffled is True
    with pytest.raises(ValueError, match=r"'shuffled' parameter of explain_accuracy.*'yes'"):
        read(shuffled="yes")


def test_at_most_five_invalid_samples_are_listed_and_the_others_counted():
    with pytest.raises(ValueError, match=r"\[0, 1, 2, 3, 4\] and 95 more"):
        read(np.full((100, 2), np.nan), np.zeros(100, dtype=int))
