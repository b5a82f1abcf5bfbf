"""Labels and weights in any container, and the input that is refused."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import LogisticRegression

from sktorch_acc.labels import as_labels, check_labels, check_weights, read_weights, sorted_union

READERS = {"a fit": lambda y: check_labels(y, LogisticRegression()), "metrics": lambda y: as_labels(y, "y")}
BOTH = pytest.mark.parametrize("read", READERS.values(), ids=READERS)

REFUSED_BY_BOTH = {
    "None among objects": (np.array(["a", None, None], dtype=object), "2 of 3 labels are missing, the first at row 1"),
    "None in a list": (["a", None], "Input y contains NaN or None: 1 of 2 labels are missing"),
    "NA": (pd.Series(["a", pd.NA, "b"]), "1 of 3 labels are missing"),
    "NA among integers": (pd.Series([1, None], dtype="Int64"), "1 of 2 labels are missing, the first at row 1"),
    "no category": (pd.Series(["a", None], dtype="category"), "1 of 2 labels are missing"),
    "NaN": (np.array([1.0, np.nan]), "1 of 2 labels are missing"),
    "NA among strings of variable width": (
        np.array(["a", None], dtype=np.dtypes.StringDType(na_object=None)),
        "1 of 2 labels are missing, the first at row 1",
    ),
    "records": (np.zeros(2, dtype="V4"), "y must hold one label per sample. Got records of dtype"),
    "long doubles beyond float64": (np.array([2**53, 1]) + np.longdouble("1e4000"), "that float64 cannot hold"),
    "NaT": (np.array(["2026-01-01", "NaT"], dtype="M8[D]"), "1 of 2 labels are missing"),
    "masked": (np.ma.array([0, 1], mask=[False, True]), "1 of 2 labels are missing, the first at row 1"),
    "objects of two kinds": (np.array([1, "a", 2], dtype=object), "y must hold labels of one kind.* Got int and str"),
    "a list of two kinds": ([1, "a"], "y must hold labels of one kind.* Got int and str"),
    "beyond 64 bits": ([10**30, 1], "y must hold labels of one kind.* Got int"),
    "bytes": (np.array([b"a", b"b"], dtype=object), "y must hold labels of one kind.* Got bytes"),
    "lists": ([[1], [0, 1]], "y must hold labels of one kind.* Got list"),
    "fractions": (np.array([0.5, 1.7, 2.2]), "continuous"),
    "one-hot": (np.eye(3), r"ACC-B3.*y has shape \(3, 3\).*argmax"),
    "a list of one-hot rows": ([[1, 0], [0, 1]], r"ACC-B3.*y has shape \(2, 2\).*argmax"),
    "a one-hot tensor": (torch.eye(3), r"ACC-B3.*y has shape \(3, 3\).*argmax"),
    "three dimensions": (np.zeros((2, 2, 2)), r"y should be a 1d array of labels. Got shape \(2, 2, 2\)"),
    "a number": (5, "y should be a 1d array of labels. Got int; pass a list"),
    "a set": ({0, 1}, "y should be a 1d array of labels. Got set; pass a list or an array"),
    "a sparse matrix": (scipy.sparse.csr_matrix([[1, 0]]), "y should be a 1d array of labels. Got csr_matrix"),
}


@BOTH
@pytest.mark.parametrize("case", REFUSED_BY_BOTH)
def test_invalid_labels_are_refused_with_the_reason(read, case):
    y, message = REFUSED_BY_BOTH[case]
    with pytest.raises(ValueError, match=message):
        read(y)


def test_a_fit_raises_the_errors_of_scikit_learn_if_y_is_missing_infinite_or_continuous():
    with pytest.raises(ValueError, match="LogisticRegression estimator requires y to be passed, but the target y is"):
        check_labels(None, LogisticRegression())
    with pytest.raises(ValueError, match="Input y contains infinity"):
        check_labels(np.array([1.0, np.inf]), None)
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        check_labels(np.array([0.5, 1.7, 2.2]), None)


def test_a_fit_warns_as_scikit_learn_of_a_column_and_of_labels_that_may_be_a_regression_target():
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        assert check_labels([[1], [0]], None).tolist() == [1, 0]
    with pytest.warns(UserWarning, match="greater than 50%"):
        check_labels(np.arange(30), None)


def test_metrics_flatten_a_column_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert as_labels([[1], [0]], "y").tolist() == [1, 0]
        with pytest.raises(ValueError, match="1 of 2 labels are missing, the first at row 1"):
            as_labels(np.ma.array([[0], [1]], mask=[[False], [True]]), "y")


def test_a_fit_accepts_dates_and_metrics_refuse_them():
    dates = np.array(["2026-01-01", "2026-01-02"], dtype="M8[D]")
    assert check_labels(dates, None).dtype == dates.dtype
    with pytest.raises(ValueError, match=r"y must hold class labels: strings.* Got dtype datetime64\[D\]"):
        as_labels(dates, "y")


@pytest.mark.parametrize(
    "y",
    [
        np.array(["b", "a"]),
        np.array(["b", "a"], dtype=object),
        np.array([2, 1], dtype=np.uint8),
        np.array([2.0, 1.0], dtype=np.float32),
        np.array([True, False]),
    ],
    ids=str,
)
def test_a_fit_keeps_the_dtype_of_the_labels(y):
    assert check_labels(y, None).dtype == y.dtype
    assert check_labels(pd.Series(y), None).tolist() == y.tolist()


@pytest.mark.parametrize("dtype", ["U1", object, np.dtypes.StringDType()], ids=str)
def test_metrics_return_all_strings_as_objects(dtype):
    assert as_labels(np.array(["b", "a"], dtype=dtype), "y").dtype == object


@BOTH
@pytest.mark.parametrize(
    ("y", "kind"),
    [
        (np.array([2, 1], dtype=object), "i"),
        (np.array([True, False], dtype=object), "b"),
        (np.array([np.True_, np.False_], dtype=object), "b"),
        (np.array([True, 2], dtype=object), "i"),
        (np.array([2.0, 1.0], dtype=object), "f"),
        (pd.Series([2, 1], dtype="Int8"), "i"),
        (pd.Series([True, False], dtype="boolean"), "b"),
        (pl.Series([2, 1]), "i"),
        (torch.tensor([2, 1]), "i"),
        (torch.tensor([2.0, 1.0], requires_grad=True), "f"),
        ([torch.tensor(2), torch.tensor(1)], "i"),
        (np.array([2, 1], dtype=">i4"), "i"),
        ((2, 1), "i"),
    ],
    ids=str,
)
def test_numbers_in_any_container_become_an_array_of_native_numbers(read, y, kind):
    values = read(y)
    assert values.dtype.kind == kind
    assert values.dtype.isnative
    assert values.tolist() == [value.item() if hasattr(value, "item") else value for value in y]


def test_labels_of_several_arrays_are_sorted_and_distinct():
    named = {"a": as_labels(["b", "a"], "a"), "b": as_labels(["c", "b"], "b"), "none": as_labels([], "none")}
    assert sorted_union(named).tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"a holds strings \(\['b', 'a'\]\) and b holds numbers \(\[0\]\)"):
        sorted_union({"a": named["a"], "b": as_labels([0], "b")})


REFUSED_WEIGHTS = {
    "too few": ([1, 2], r"one weight per sample, shape \(3,\). Got shape \(2,\)"),
    "a column": ([[1], [2], [3]], r"Got shape \(3, 1\)"),
    "negative": ([1, -1, 1], r"finite and not negative. Got \[-1.0\] \(first at row 1\)"),
    "NaN": ([1, np.nan, 1], r"finite and not negative. Got \[nan\] \(first at row 1\)"),
    "infinite": ([1, 1, np.inf], r"finite and not negative. Got \[inf\] \(first at row 2\)"),
    "text": (["a"] * 3, "sample_weight must hold numbers. Got list: could not convert"),
    "dates": (np.array([1, 2, 3], dtype="M8[s]"), "Got ndarray: they are dates or durations"),
    "durations": (np.array([1, 2, 3], dtype="m8[s]"), "Got ndarray: they are dates or durations"),
    "masked": (
        np.ma.array([1.0, 1, 1], mask=[0, 1, 0]),
        r"sample_weight is masked in 1 of 3 samples \(first at row 1\)",
    ),
    "complex": (np.array([1j, 1, 1]), "sample_weight must hold numbers. Got ndarray: they are complex"),
    "a sparse matrix": (scipy.sparse.csr_matrix([[1, 0]]), "sample_weight must hold numbers. Got csr_matrix"),
}


@pytest.mark.parametrize("read", [check_weights, read_weights], ids=["a fit", "metrics"])
@pytest.mark.parametrize("case", REFUSED_WEIGHTS)
def test_invalid_weights_are_refused_with_the_reason(read, case):
    weights, message = REFUSED_WEIGHTS[case]
    with pytest.raises(ValueError, match=message):
        read(weights, 3)


@pytest.mark.parametrize("read", [check_weights, read_weights], ids=["a fit", "metrics"])
def test_weights_may_be_lists_series_and_tensors(read):
    for weights in ([1, 2, 3], pd.Series([1, 2, 3], dtype="Int64"), torch.tensor([1.0, 2, 3], requires_grad=True)):
        assert read(weights, 3).dtype == np.float64
        assert read(weights, 3).tolist() == [1.0, 2.0, 3.0]


def test_a_fit_accepts_one_weight_for_all_samples_and_none_but_not_only_zeros():
    assert check_weights(2, 3).tolist() == [2.0, 2.0, 2.0]
    assert check_weights(None, 3) is None
    with pytest.raises(ValueError, match="only zeros"):
        check_weights([0, 0, 0], 3)


def test_metrics_accept_only_zeros_but_not_one_weight_for_all_samples():
    assert read_weights([0, 0, 0], 3).tolist() == [0.0, 0.0, 0.0]
    with pytest.raises(ValueError, match=r"Got shape \(\)"):
        read_weights(2, 3)


@BOTH
def test_labels_of_odd_dtypes_are_read(read):
    words = np.array(["fox", "cat", "fox"])
    assert read(words.astype(np.dtypes.StringDType())).tolist() == words.tolist()
    assert read(words.astype(">U3")).tolist() == words.tolist()
    numbers = np.array([3, 1, 3])
    for dtype in (np.longdouble, ">i8", ">f4", np.float16, np.uint64):
        assert read(numbers.astype(dtype)).tolist() == numbers.tolist()
        assert read(numbers.astype(dtype)).dtype.isnative
    for dtype in (torch.bfloat16, torch.float16, torch.uint16, torch.uint64):
        assert read(torch.tensor(numbers).to(dtype)).tolist() == numbers.tolist()
    assert read(np.ma.array(numbers)).tolist() == numbers.tolist()


@pytest.mark.parametrize("dtype", [np.longdouble, ">f8", np.float16, int, bool, object])
def test_weights_of_odd_dtypes_are_read(dtype):
    assert read_weights(np.ones(3).astype(dtype), 3).tolist() == [1.0, 1.0, 1.0]
    assert read_weights(torch.ones(3).bfloat16(), 3).tolist() == [1.0, 1.0, 1.0]
