"""The record of the epochs in a model file: counts to the last bit, and epochs that recorded different things."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from sktorch_acc import ModelFileError, TorchClassifier
from sktorch_acc.engine.history import EpochRow, history_frame
from sktorch_acc.persistence.epochs import epochs_from_json, epochs_to_json
from tests.saved import loaded, parts, saved, small, table, three_classes

X, Y = table(), three_classes()


def row(epoch, *, values=None, counts=None, sizes=None):
    values = {"train_loss": 0.5, "lr": 0.1, "seconds": 1.0, **(values or {})}
    counts = {name: tuple(np.array(part) for part in pair) for name, pair in (counts or {}).items()}
    return EpochRow(epoch, values, counts, sizes or {"train": (20, 4)})


def there_and_back(rows, n_classes=3):
    entry, tensors = epochs_to_json(rows)
    entry = json.loads(json.dumps(entry, allow_nan=False))
    return epochs_from_json(entry, tensors, n_classes)


def assert_same(rows, again):
    assert [r.epoch for r in again] == [r.epoch for r in rows]
    for ours, theirs in zip(again, rows, strict=True):
        names = sorted(theirs.values)
        assert sorted(ours.values) == names
        assert np.array_equal([ours.values[n] for n in names], [theirs.values[n] for n in names], equal_nan=True)
        assert set(ours.counts) == set(theirs.counts)
        for name, pair in theirs.counts.items():
            assert [part.tolist() for part in ours.counts[name]] == [part.tolist() for part in pair]
            assert all(part.dtype == np.int64 for part in ours.counts[name])
        assert ours.sizes == theirs.sizes


def test_no_epochs_come_back_as_none():
    assert there_and_back([]) == []


def test_values_counts_and_sizes_come_back():
    rows = [
        row(
            3,
            values={"valid_loss": 0.1 + 0.2},
            counts={"train_acc": ([1, 2, 0], [3, 2**53 + 1, 0]), "valid_acc": ([0, 0, 0], [1, 1, 1])},
            sizes={"train": (20, 4), "valid": (5, 1)},
        ),
    ]
    assert_same(rows, there_and_back(rows))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308, 0.1, -0.0])
def test_every_float_comes_back(value):
    [again] = there_and_back([row(1, values={"valid_loss": value})])
    assert np.array_equal([again.values["valid_loss"]], [value], equal_nan=True)
    assert math.copysign(1, again.values["valid_loss"]) == math.copysign(1, value)


def test_epochs_that_recorded_different_things_come_back_as_they_were():
    rows = [
        row(1, counts={"train_acc_running": ([1, 1, 1], [5, 5, 5])}),
        row(2, values={"valid_loss": 0.4}, sizes={"train": (15, 3), "valid": (5, 1)}),
        row(3, counts={"train_acc": ([2, 2, 2], [5, 5, 5]), "train_acc_running": ([0, 0, 0], [5, 5, 5])}),
    ]
    assert_same(rows, there_and_back(rows))


def test_counts_of_zero_are_counts():
    rows = [row(1, counts={"valid_acc": ([0, 0, 0], [0, 0, 0])}), row(2)]
    again = there_and_back(rows)
    assert "valid_acc" in again[0].counts
    assert "valid_acc" not in again[1].counts


COUNTS = st.integers(1, 4).flatmap(
    lambda n: st.lists(
        st.lists(st.integers(0, 2**62), min_size=2 * n, max_size=2 * n).map(lambda c: (c[:n], c[n:])),
        min_size=1,
        max_size=4,
    )
)


@given(COUNTS)
def test_counts_come_back_to_the_last_bit(counts):
    rows = [row(number, counts={"train_acc": pair}) for number, pair in enumerate(counts, start=1)]
    assert_same(rows, there_and_back(rows, len(counts[0][0])))


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (None, "no int64 counts"),
        (torch.zeros(1, 2, 3), "no int64 counts"),
        (torch.zeros(1, 2, 4, dtype=torch.int64), "no int64 counts"),
        (torch.zeros(2, 2, 3, dtype=torch.int64), "no int64 counts"),
    ],
)
def test_counts_of_another_shape_or_dtype_are_refused(tensor, message):
    entry, _ = epochs_to_json([row(1, counts={"train_acc": ([1, 1, 1], [2, 2, 2])})])
    with pytest.raises(ModelFileError, match=message):
        epochs_from_json(entry, {} if tensor is None else {"counts.train_acc": tensor}, 3)


# ------------------------------------------------------------ in a file


def test_the_history_is_stored_once_as_counts():
    clf = small(validation_fraction=0.25, max_epochs=3)
    manifest, _ = parts(saved(clf))
    assert "history" not in manifest
    assert set(manifest["epochs"]) == {"numbers", "values", "sizes", "measures"}
    assert set(manifest["epochs"]["values"]) == {"train_loss", "valid_loss", "lr", "seconds"}
    assert not [name for name in manifest["epochs"]["values"] if "_acc" in name]
    counts = {name: entry for name, entry in manifest["tensors"].items() if name.startswith("counts.")}
    shape = {"dtype": "int64", "shape": [3, 2, 3]}
    assert counts == {"counts.train_acc": shape, "counts.train_acc_running": shape, "counts.valid_acc": shape}


def test_the_accuracies_of_a_loaded_model_are_equal_to_the_last_bit():
    clf = small(validation_fraction=0.25, max_epochs=5, lr=0.1)
    again = loaded(saved(clf))
    assert_frame_equal(again.history_, clf.history_, check_exact=True)
    for ours, theirs in zip(again._state.rows, clf._state.rows, strict=True):
        assert ours.accuracies() == theirs.accuracies()
        for name, (correct, support) in theirs.counts.items():
            assert ours.counts[name][0].tolist() == correct.tolist()
            assert ours.counts[name][1].tolist() == support.tolist()


CHANGES = {
    "exact, running, none": [{"train_accuracy": "exact"}, {"train_accuracy": "running"}, {"train_accuracy": None}],
    "none, exact": [{"train_accuracy": None}, {"train_accuracy": "exact"}],
    "with and without validation": [{"validation_fraction": 0.25}, {"validation_fraction": None}],
    "without and with validation": [{}, {"validation_fraction": 0.25}, {}],
    "both": [{"validation_fraction": 0.25, "train_accuracy": None}, {"validation_fraction": None}],
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_fits_that_recorded_different_columns_come_back(changes):
    clf = TorchClassifier(max_epochs=2, warm_start=True, random_state=0)
    for change in changes:
        clf.set_params(**change).fit(X, Y)
    again = loaded(saved(clf))
    assert_frame_equal(again.history_, clf.history_, check_exact=True)
    assert_frame_equal(history_frame(again._state.rows, again.classes_), clf.history_, check_exact=True)
    assert list(again.net_.history) == list(clf.net_.history)
    assert_same(clf._state.rows, again._state.rows)


def test_a_loaded_model_records_on():
    clf = small(warm_start=True)
    again = loaded(saved(clf, with_optimizer=True)).set_params(validation_fraction=0.25).fit(X, Y)
    clf.set_params(validation_fraction=0.25).fit(X, Y)
    untimed = [name for name in clf.history_ if name != "seconds"]
    assert_frame_equal(again.history_[untimed], clf.history_[untimed], check_exact=True)
    assert again.history_["valid_acc"].isna().tolist() == [True, True, False, False]
