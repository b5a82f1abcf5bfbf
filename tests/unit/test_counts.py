"""`AccuracyCounter`: what it accepts and refuses, and that it does not synchronise."""

import math
import pickle
import re

import numpy as np
import pytest
import torch

from sktorch_acc import AccuracyCounter


def test_it_counts_scores_and_classes():
    counter = AccuracyCounter(3)
    counter.update(torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), torch.tensor([0, 1]))
    counter.update(torch.tensor([1, 1]), torch.tensor([1, 0], dtype=torch.int32))
    assert counter.correct.tolist() == [1, 1, 0]
    assert counter.support.tolist() == [2, 2, 0]
    assert counter.compute() == 0.5
    assert np.array_equal(counter.per_class(), [0.5, 0.5, np.nan], equal_nan=True)
    counter.reset()
    assert math.isnan(counter.compute())


def test_before_the_first_batch_there_is_no_accuracy():
    counter = AccuracyCounter(2)
    assert math.isnan(counter.compute())
    assert np.isnan(counter.per_class()).all()
    assert counter.support.dtype == counter.correct.dtype == np.int64


def test_an_empty_batch_counts_nothing():
    counter = AccuracyCounter(2)
    counter.update(torch.empty(0, 2), torch.empty(0, dtype=torch.int64))
    assert counter.support.tolist() == [0, 0]


@pytest.mark.parametrize("confusion", [False, True])
def test_update_does_not_synchronise_with_the_device(confusion):
    """On the meta device everything that reads a value raises."""
    counter = AccuracyCounter(3, confusion=confusion, device="meta")
    counter.update(torch.empty(8, 3, device="meta"), torch.empty(8, dtype=torch.int64, device="meta"))
    counter.update(torch.empty(8, dtype=torch.int64, device="meta"), torch.empty(8, dtype=torch.int64, device="meta"))
    counter.reset()


def test_counts_do_not_saturate():
    counter = AccuracyCounter(1)
    counter.update(torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    counter._counts.fill_(2**24)
    counter.update(torch.zeros(1, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    assert counter.correct.tolist() == [2**24 + 1]


SCORES, TARGETS = torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)


@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        (torch.zeros(4), TARGETS, r"ACC-C6.*update\(\(z > 0\)\.long\(\)"),
        (torch.zeros(4, 1), TARGETS, "ACC-C6"),
        (torch.zeros(4, 1, dtype=torch.int64), TARGETS, r"ACC-B1.*classes\.reshape\(-1\)"),
        (torch.zeros(4, 2, 3), TARGETS, r"ACC-B5.*softmax\(-1\)\.mean\(1\)"),
        (torch.zeros(4, 2), TARGETS, r"shape \(n, 3\).*got \(4, 2\) float32"),
        (torch.zeros(4, dtype=torch.bool), TARGETS, r"update\(classes\.long\(\), targets"),
        (torch.zeros(4, 1, dtype=torch.bool), TARGETS, r"update\(classes\.long\(\)\.reshape\(-1\), targets"),
        (torch.zeros(4, 3, dtype=torch.int64), TARGETS, "with the classes on axis 1"),
        (torch.tensor(0.0), TARGETS, "one score per class"),
        ([0, 1, 2, 0], TARGETS, "must be a torch.Tensor. Got list"),
        (SCORES, TARGETS.numpy(), "targets must be a torch.Tensor. Got ndarray"),
        (SCORES, TARGETS[:3], r"shape \(4,\), but got \(3,\)"),
        (SCORES, TARGETS[:, None], r"ACC-B1.*targets\.reshape\(-1\)"),
        (SCORES, torch.zeros(4, 3, dtype=torch.int64), r"ACC-B3.*argmax\(dim=1\)"),
        (SCORES, TARGETS.float(), r"targets\.long\(\)"),
        (SCORES, torch.zeros(4, 2, 2), "one target per sample"),
    ],
)
def test_anything_else_is_refused_with_the_code_to_write_instead(scores, targets, message):
    with pytest.raises(ValueError, match=message) as refused:
        AccuracyCounter(3).update(scores, targets)
    code = re.match("ACC-[A-Z][0-9]+", message)
    assert refused.value.code == (code and code[0])


@pytest.mark.parametrize("confusion", [False, True])
def test_targets_out_of_range_are_reported_when_the_result_is_computed(confusion):
    counter = AccuracyCounter(3, confusion=confusion)
    counter.update(torch.tensor([0, 1, 2, 2]), torch.tensor([-1, 1, 3, 2]))
    for ask in (counter.compute, counter.per_class):
        with pytest.raises(ValueError, match=r"ACC-D1.*2 targets are outside \[0, 3\)"):
            ask()


@pytest.mark.parametrize("n_classes", [0, -1, 2.0, True, "three"])
def test_the_number_of_classes_is_checked(n_classes):
    with pytest.raises(ValueError, match="n_classes must be an int"):
        AccuracyCounter(n_classes)


def test_counters_of_other_shape_do_not_merge():
    with pytest.raises(ValueError, match="3 and 2 classes"):
        AccuracyCounter(3).merge(AccuracyCounter(2))


def test_confusion_exists_only_if_it_was_counted():
    with pytest.raises(AttributeError, match="confusion=True"):
        _ = AccuracyCounter(3).confusion


def test_a_counter_pickles():
    counter = AccuracyCounter(3)
    counter.update(torch.tensor([0, 1]), torch.tensor([0, 2]))
    again = pickle.loads(pickle.dumps(counter))
    assert again.compute() == counter.compute() == 0.5


def test_gradients_are_not_kept():
    scores = torch.zeros(2, 3, requires_grad=True) * 2
    counter = AccuracyCounter(3)
    counter.update(scores, torch.tensor([0, 1]))
    assert not counter._counts.requires_grad


def test_a_sample_with_nan_scores_is_wrong_and_has_no_class():
    counter = AccuracyCounter(2, confusion=True)
    counter.update(torch.tensor([[torch.nan, 1.0], [1.0, torch.nan], [1.0, 0.0]]), torch.tensor([0, 1, 0]))
    assert counter.correct.tolist() == [1, 0]
    assert counter.support.tolist() == [2, 1]
    assert counter.confusion.tolist() == [[1, 0], [0, 0]]


def test_a_counter_first_used_in_inference_mode_can_be_used_outside_of_it():
    counter = AccuracyCounter(3)
    with torch.inference_mode():
        counter.update(torch.eye(3), torch.arange(3))
    counter.update(torch.eye(3), torch.tensor([0, 0, 0]))
    assert counter.compute() == 4 / 6
    counter.reset()
    assert counter.support.sum() == 0
