"""Rows that occur more than once: found as a dictionary finds them, dense or sparse."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sktorch_acc.checks import repeated
from sktorch_acc.checks.repeated import check_ceiling, check_leak, repeated_rows

FEW = st.sampled_from([0.0, -0.0, 1.0, -1.5, 3.0])
FORMS = [np.asarray, scipy.sparse.csr_array, scipy.sparse.csr_matrix]


def slow_facts(X, y):
    """Group rows by their values in a dictionary."""
    groups = {}
    for row, label in zip((X + 0).tolist(), y.tolist(), strict=True):
        groups.setdefault(tuple(row), []).append(label)
    counts = [pd.Series(labels).value_counts() for labels in groups.values()]
    mixed = [c for c in counts if len(c) > 1]
    return (
        len(mixed),
        sum(int(c.sum()) for c in mixed),
        sum(int(c.max()) for c in counts),
        sum(int((c - 1).sum()) for c in counts),
    )


@given(X=hnp.arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 3)), elements=FEW), seed=st.integers(0, 9))
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int8", "bool"])
def test_repeated_rows_are_those_that_a_dictionary_finds(dtype, X, seed):
    X = X.astype(dtype)
    y = np.random.default_rng(seed).integers(0, 3, len(X))
    for form in FORMS:
        if form is np.asarray or dtype != "float16":  # scipy has no sparse float16
            found = repeated_rows(form(X), y)
            assert (found.mixed_groups, found.mixed_rows, found.best, found.copies) == slow_facts(X, y)
            assert found.n_rows == len(X)


@pytest.mark.parametrize("form", FORMS)
def test_rows_that_differ_are_told_apart_though_their_keys_are_equal(monkeypatch, form):
    for name in ("_dense_keys", "_sparse_keys"):
        monkeypatch.setattr(repeated, name, lambda X: np.zeros(X.shape[0], dtype=np.uint64))
    X = np.array([[0.0, 1.0], [2.0, 3.0], [-0.0, 1.0], [4.0, 5.0]])
    found = repeated_rows(form(X), np.array([0, 0, 1, 1]))
    assert (found.mixed_groups, found.mixed_rows, found.best, found.copies) == (1, 2, 3, 0)


def test_a_sparse_matrix_that_says_a_value_in_parts_is_read_as_what_it_means_and_not_changed():
    parts = scipy.sparse.csr_array((np.array([1.0, 2.0, 3.0, 0.0]), [0, 0, 0, 1], [0, 2, 4]), shape=(2, 2))
    assert repeated_rows(parts, np.array([0, 1])).ceiling == 0.5
    assert parts.nnz == 4
    assert repeated_rows(scipy.sparse.csr_array((3, 4)), np.array([0, 1, 1])).best == 2


@pytest.mark.parametrize("value", [1.0, 2.0, -2.0, 2.0**-30])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_whose_low_bits_are_0_have_keys_of_their_own(value, dtype):
    X = (np.random.default_rng(0).random((4000, 60)) < 0.5).astype(dtype) * np.array(value, dtype)
    for keys in (repeated._dense_keys(X), repeated._sparse_keys(scipy.sparse.csr_array(X))):
        assert len(np.unique(keys & np.uint64(2**32 - 1))) > 3990  # also by half of the bits


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint8", "bool"])
@pytest.mark.parametrize("columns", [1, 2, 3, 8, 9])
def test_the_rows_given_are_not_changed(dtype, columns):
    X = np.random.default_rng(0).integers(0, 2, (50, columns)).astype(dtype)
    before = X.copy()
    for rows in (X, np.asfortranarray(X), X[::-1]):
        repeated_rows(rows, np.arange(50) % 2)
        assert (before == X).all()


def test_long_data_are_hashed_in_parts(monkeypatch):
    X = np.random.default_rng(0).integers(0, 4, (500, 3)).astype("float32")
    y = np.arange(500) % 2
    whole = repeated_rows(X, y)
    monkeypatch.setattr(repeated, "_AT_ONCE", 30)
    assert repeated_rows(X, y) == whole


def test_images_are_rows_too_and_no_rows_are_no_mistake():
    images = np.zeros((3, 2, 2))
    assert repeated_rows(images, np.array([0, 1, 0])).mixed_rows == 3
    assert repeated_rows(np.zeros((2, 0)), np.array([0, 1])).ceiling == 0.5


@pytest.mark.parametrize(
    ("labels", "severity", "ceiling"),
    [([0, 1], "warning", "0.5000"), ([0] * 99 + [1], "info", "0.9900"), ([0, 0], None, None)],
)
def test_the_ceiling(labels, severity, ceiling):
    found = check_ceiling(repeated_rows(np.ones((len(labels), 2)), np.array(labels)))
    assert (found and found.severity) == severity
    assert found is None or (found.code, f"exceed {ceiling}" in found.message) == ("ACC-D6", True)


def test_copies_matter_only_if_rows_are_held_out_and_only_if_they_are_many():
    many = repeated_rows(np.ones((10, 1)), np.zeros(10, dtype=int))
    assert check_leak(many, None) is None
    assert "9 of 10 rows repeat" in check_leak(many, 0.1).message
    few = repeated_rows(np.r_[np.arange(99.0), 0.0][:, None], np.zeros(100, dtype=int))
    assert check_leak(few, 0.1) is None
