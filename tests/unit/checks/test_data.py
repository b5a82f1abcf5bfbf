"""The statistics of X and y against slow ones, and the limits of each check."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from torch import nn

from sktorch_acc.checks.data import (
    check_aligned,
    check_finite_rows,
    check_grouped,
    check_known_labels,
    check_label_range,
    check_majority,
    check_scales,
    check_target_shape,
    column_scales,
    normalises_input,
)


@pytest.mark.parametrize(
    ("spreads", "reported"),
    [
        ([1.0, 2.0], False),
        ([1.0, 50.0], False),
        ([1.0, 51.0], True),
        ([51.0], True),
        ([0.01, 1.0], False),
        ([0.009, 1.0], True),
        ([0.001] + [1.0] * 9, False),  # one column that hardly varies
        ([1.0] + [0.001] * 9, True),
        ([np.nan, 1.0], False),
        ([np.nan], False),
        ([], False),
    ],
)
def test_scales(spreads, reported):
    names = [f"column {c}" for c in range(len(spreads))]
    found = check_scales(np.array(spreads, dtype=float), names)
    assert (found is not None) == reported


def test_spreads_ignore_columns_of_one_or_two_values_and_come_from_a_part_of_the_samples():
    rng = np.random.default_rng(0)
    X = np.c_[rng.normal(0, 7, 20_000), np.ones(20_000), 1e6 * (rng.random(20_000) > 0.5)]
    scales, names = column_scales(X)
    assert np.isnan(scales[1:]).all()
    assert scales[0] == pytest.approx(7, rel=0.05)
    assert names == ["column 0", "column 1", "column 2"]
    assert np.array_equal(column_scales(scipy.sparse.csr_array(X))[0], scales, equal_nan=True)
    assert column_scales(X, ["a", "b", "c"])[1] == ["a", "b", "c"]
    pixels = rng.integers(0, 256, (40, 3, 4, 4))
    assert column_scales(pixels)[0] == pytest.approx([pixels.std()])
    assert column_scales(np.zeros((9, 0)))[0].shape == (0,)


@pytest.mark.parametrize(
    ("module", "normalises"),
    [
        (nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)), True),
        (nn.Sequential(nn.Sequential(nn.LayerNorm(3)), nn.Linear(3, 2)), True),
        (nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), False),
        (nn.Linear(3, 2), False),
    ],
)
def test_a_first_layer_may_normalise(module, normalises):
    assert normalises_input(module) is normalises


@pytest.mark.parametrize(
    ("y", "code"),
    [
        (np.zeros(5), None),
        (np.zeros((5, 1)), None),
        (np.eye(3), "ACC-B3"),
        (np.eye(3, dtype=int), "ACC-B3"),
        (np.array([["a", "b"]]), "ACC-B3"),
        (np.full((4, 2), 0.5), "ACC-D11"),
    ],
)
def test_the_shape_of_targets(y, code):
    found = check_target_shape(y)
    assert (found and found.code) == code


@pytest.mark.parametrize(
    ("y", "columns", "reported"),
    [
        ([0, 1, 2], 3, False),
        ([0, 1], 3, False),
        ([0, 1, 2, 3], 3, False),  # consecutive: the columns are too few (C8)
        ([0, 1], 1, False),
        ([0.0, 1.0], 1, False),
        ([1, 2, 3], 3, True),
        ([-1, 0, 1], 3, True),
        ([0, 5], 2, True),
        ([0.5, 1.0], 2, True),
    ],
)
def test_class_indices(y, columns, reported):
    found = check_label_range(np.array(y), columns)
    assert (found is not None) == reported


def test_classes_without_samples_and_unseen_labels():
    assert check_known_labels(["a", "b"], np.array([1, 2]), None) is None
    assert "'a'" in check_known_labels(["a", "b"], np.array([0, 2]), None).message
    assert check_known_labels(["a"], np.array([2]), "y contains 1 label").message.startswith("y contains")


def test_alignment_needs_two_indices_of_the_same_values():
    X, y = pd.DataFrame({"a": [1, 2, 3]}), pd.Series([1, 2, 3])
    assert check_aligned(X, y) is None
    assert "2 of 3 rows differ" in check_aligned(X, y.loc[[2, 1, 0]]).message
    assert check_aligned(X, y.set_axis([7, 8, 9])) is None
    assert check_aligned(X.set_axis([0, 0, 1]), y) is None
    assert check_aligned(X, [3, 2, 1]) is None  # list.index is a method


def test_grouped_labels():
    y = np.repeat([0, 1, 2], 20)
    assert "3 runs; 41 are expected" in check_grouped(y, shuffled=False).message
    assert check_grouped(y, shuffled=True) is None
    assert check_grouped(np.random.default_rng(0).permutation(y), shuffled=False) is None
    assert check_grouped(np.zeros(50, dtype=int), shuffled=False) is None
    assert check_grouped(np.array([0, 0, 1, 1]), shuffled=False) is None
    assert check_grouped(np.array([0]), shuffled=False) is None


@pytest.mark.parametrize(
    ("facts", "start"),
    [
        ((2, 0, 9, 0), "X holds NaN or infinity in 2 of 9 samples"),
        ((0, 9, 9, 4), "4 parameter(s)"),
        ((0, 3, 9, 0), "The module returns NaN or infinity for 3 of 9 samples"),
    ],
)
def test_where_nan_comes_from(facts, start):
    found = check_finite_rows(*facts, "cat")
    assert found.message.startswith(start)
    assert "predicted as class 'cat'" in found.message
    assert check_finite_rows(0, 0, 9, 0, "cat") is None


@pytest.mark.parametrize(
    ("correct", "support", "reported"),
    [
        ([90, 0], [90, 10], True),
        ([75, 0], [75, 25], True),
        ([74, 0], [74, 26], False),  # not frequent enough
        ([0, 10], [90, 10], False),
        ([90, 1], [90, 10], False),
        ([89, 0], [90, 10], False),
        ([89, 1], [90, 10], False),
        ([90, 0], [90, 0], False),
        ([70, 0, 0], [70, 15, 15], True),
        ([200, 0, 0], [200, 50, 50], True),  # just the middle between 1 / 3 and 1
        ([199, 0, 0], [199, 51, 50], False),
        ([200, 0, 0], [200, 100, 0], True),  # a class without samples is one of the three
        ([199, 0, 0], [199, 101, 0], False),
    ],
)
def test_the_majority(correct, support, reported):
    found = check_majority(np.array(correct), np.array(support), list("abc"[: len(support)]))
    assert (found is not None) == reported
