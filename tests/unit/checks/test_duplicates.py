"""Samples that occur more than once: counted as a dictionary counts them, dense or sparse."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sktorch_acc.checks import duplicates
from sktorch_acc.checks.duplicates import check_ceiling, check_leak, repeated_rows

FEW = st.sampled_from([0.0, -0.0, 1.0, -1.5, 3.0])
FORMS = [np.asarray, scipy.sparse.csr_array, scipy.sparse.csr_matrix]


def slow_facts(X, y):
    """Group samples by their values in a dictionary."""
    groups = {}
    for sample, label in zip((X + 0).tolist(), y.tolist(), strict=True):
        groups.setdefault(tuple(sample), []).append(label)
    counts = [pd.Series(labels).value_counts() for labels in groups.values()]
    mixed = [c for c in counts if len(c) > 1]
    return (
        len(mixed),
        sum(int(c.sum()) for c in mixed),
        sum(int(c.max()) for c in counts),
        sum(int((c - 1).sum()) for c in counts),
    )


def facts(X, y):
    found = repeated_rows(X, y)
    assert found.n_samples == X.shape[0]
    return found.mixed_groups, found.mixed_samples, found.best, found.copies


@given(X=hnp.arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 3)), elements=FEW), seed=st.integers(0, 9))
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "int8", "bool"])
def test_repeated_samples_are_those_that_a_dictionary_finds(dtype, X, seed):
    X = X.astype(dtype)
    y = np.random.default_rng(seed).integers(0, 3, len(X))
    for form in FORMS:
        if form is np.asarray or dtype != "float16":  # scipy has no sparse float16
            assert facts(form(X), y) == slow_facts(X, y)


@pytest.mark.parametrize("form", FORMS)
def test_samples_that_differ_are_told_apart_even_if_their_hashes_are_equal(monkeypatch, form):
    monkeypatch.setattr(duplicates, "hash", lambda _: 0, raising=False)
    X = np.array([[0.0, 1.0], [2.0, 3.0], [-0.0, 1.0], [4.0, 5.0]])
    assert facts(form(X), np.array([0, 0, 1, 1])) == (1, 2, 3, 0)


def test_sparse_entries_that_are_summed_or_zero_are_read_as_their_value_and_left_as_they_are():
    parts = scipy.sparse.csr_array((np.array([1.0, 2.0, 3.0, 0.0]), [0, 0, 0, 1], [0, 2, 4]), shape=(2, 2))
    assert repeated_rows(parts, np.array([0, 1])).ceiling == 0.5
    assert parts.nnz == 4
    assert repeated_rows(scipy.sparse.csr_array((3, 4)), np.array([0, 1, 1])).best == 2


def test_many_columns():
    X = np.random.default_rng(0).standard_normal((40, 70_000)).astype("float32")
    X[20:] = X[:20]
    X[39, -1] += 1
    assert facts(X, np.arange(40) // 20) == (19, 38, 21, 0)
    assert facts(X, np.zeros(40, dtype=int)) == (0, 0, 40, 19)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint8", "bool"])
@pytest.mark.parametrize("columns", [1, 2, 3, 8, 9])
def test_the_data_given_are_not_changed(dtype, columns):
    X = np.random.default_rng(0).integers(0, 2, (50, columns)).astype(dtype)
    before = X.copy()
    for samples in (X, np.asfortranarray(X), X[::-1]):
        repeated_rows(samples, np.arange(50) % 2)
        assert (before == X).all()


def test_long_data_are_read_in_parts(monkeypatch):
    X = np.random.default_rng(0).integers(0, 4, (500, 3)).astype("float32")
    y = np.arange(500) % 2
    whole = repeated_rows(X, y)
    monkeypatch.setattr(duplicates, "_AT_ONCE", 30)
    assert repeated_rows(X, y) == whole


def test_images_are_samples_too_and_columns_may_be_missing():
    images = np.zeros((3, 2, 2))
    assert repeated_rows(images, np.array([0, 1, 0])).mixed_samples == 3
    assert repeated_rows(np.zeros((2, 0)), np.array([0, 1])).ceiling == 0.5
    assert repeated_rows(np.zeros((0, 2)), np.array([], dtype=int)).copies == 0


@pytest.mark.parametrize(
    ("labels", "severity", "ceiling"),
    [([0, 1], "warning", "0.5000"), ([0] * 99 + [1], "info", "0.9900"), ([0, 0], None, None)],
)
def test_the_ceiling(labels, severity, ceiling):
    found = check_ceiling(repeated_rows(np.ones((len(labels), 2)), np.array(labels)))
    assert (found and found.severity) == severity
    assert found is None or (found.code, f"exceed {ceiling}" in found.message) == ("ACC-D6", True)


def test_duplicates_matter_only_with_a_validation_split_and_only_if_they_are_many():
    many = repeated_rows(np.ones((10, 1)), np.zeros(10, dtype=int))
    assert check_leak(many, None) is None
    assert "9 of 10 samples are duplicates" in check_leak(many, 0.1).message
    few = repeated_rows(np.r_[np.arange(99.0), 0.0][:, None], np.zeros(100, dtype=int))
    assert check_leak(few, 0.1) is None
