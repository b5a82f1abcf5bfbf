"""Labels as class indices, and the weights of samples in training."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from sktorch_acc.data import Labels, check_labels, class_factors, relative_weights, row_weights

KINDS = {
    "str": np.array(["b", "a", "b"]),
    "object": np.array(["b", "a", "b"], dtype=object),
    "bool": np.array([True, False, True]),
    "gaps": np.array([9, 3, 9]),
    "uint8": np.array([9, 3, 9], dtype=np.uint8),
    "float": np.array([1.0, 0.0, 1.0]),
    "list": ["b", "a", "b"],
    "series": pd.Series(["b", "a", "b"], index=[7, 8, 9]),
    "category": pd.Series(pd.Categorical(["b", "a", "b"], categories=["c", "b", "a"])),
    "polars": pl.Series(["b", "a", "b"]),
    "tensor": torch.tensor([5, 2, 5]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_returns_the_encoded_labels(kind):
    y = check_labels(KINDS[kind], LogisticRegression())
    labels, indices = Labels.learn(y)
    assert indices.tolist() == [1, 0, 1]
    assert indices.dtype == np.int64
    assert labels.decode(indices).tolist() == list(np.asarray(KINDS[kind]).tolist())
    assert labels.encode(y).tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "y",
    [
        np.array([1, 2, 3, 1, 2, 3] * 4, dtype=">i4"),
        np.array([1.0, 2, 3, 1, 2, 3] * 4, dtype=">f8"),
        pd.array([1, 2, 3, 1, 2, 3] * 4, dtype="Int8"),
        pd.array(["a", "b", "c"] * 8, dtype="string"),
    ],
)
def test_labels_of_any_byte_order_and_nullable_ones_are_encoded(y):
    checked = check_labels(y, None)
    labels, indices = Labels.learn(checked)
    assert labels.classes.dtype.kind in ("i", "f", "O", "T")
    assert (labels.classes.dtype.kind == "f") == (getattr(y.dtype, "kind", "") == "f")
    assert labels.encode(check_labels(y, None)).tolist() == indices.tolist() == [0, 1, 2] * 8


def test_half_precision_labels_are_encoded():
    y = np.array([2.0, 0.5, 2.0], dtype=np.float16)
    labels, indices = Labels.learn(y)
    assert indices.tolist() == labels.encode(y).tolist() == [1, 0, 1]
    assert labels.decode(indices).dtype == np.float16


def test_bools_and_the_integers_they_equal_are_one_label():
    labels, _ = Labels.learn(np.array([False, True]))
    assert labels.encode(np.array([1, 0, 2])).tolist() == [1, 0, -1]


def test_unseen_labels_are_counted_and_named():
    labels, _ = Labels.learn(np.array(["cat", "dog"]))
    y = np.array(["lynx", "cat", "otter", "lynx"])
    text = labels.unseen(y, labels.encode(y))
    assert text == (
        "y contains 2 label(s) not seen in fit: ['lynx', 'otter'] (3 of 4 samples). Known labels: ['cat', 'dog']."
    )


def test_constant_weights_are_those_of_the_samples():
    labels, indices = Labels.learn(np.array(["a", "b", "b"]))
    assert row_weights(labels, indices, None, None) is None
    assert row_weights(labels, indices, np.full(3, 0.3), None).tolist() == [0.3, 0.3, 0.3]
    assert row_weights(labels, indices, None, {"a": 2, "b": 2}).tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([1.0, 2.0, 0.0], [1, 2, 0]),
        ([1e39, 5e38, 1e3], [1, 0.5, 0]),
        ([1e-48, 2e-48, 0], [0.5, 1, 0]),
        ([1e-31, 1.0, 2.0], [0, 1, 2]),
        ([0.0, 0.0], [0, 0]),
    ],
)
def test_relative_weights_are_in_the_range_of_float32(weights, expected):
    np.testing.assert_allclose(relative_weights(np.array(weights)), expected, rtol=1e-15)


def test_class_weights_multiply_sample_weights():
    labels, indices = Labels.learn(np.array(["a", "b", "b"]))
    got = row_weights(labels, indices, np.array([1.0, 2.0, 3.0]), {"a": 10})
    assert got.tolist() == [10.0, 2.0, 3.0]


def test_a_class_weight_for_an_unknown_label_is_refused():
    labels, indices = Labels.learn(np.array(["a", "b", "b"]))
    with pytest.raises(ValueError, match="not in class_weight"):
        row_weights(labels, indices, None, {"a": 2, "c": 2})


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [({"a": 0, "b": 0}, "0 for every sample"), ({"a": -1, "b": 1}, "negative weight")],
)
def test_invalid_class_weights_are_refused(class_weight, message):
    labels, indices = Labels.learn(np.array(["a", "b", "b"]))
    with pytest.raises(ValueError, match=message):
        row_weights(labels, indices, None, class_weight)


@pytest.mark.parametrize(
    ("y", "class_weight", "expected"),
    [
        (["1", "2"], {"1": 5}, [5, 1]),
        (["1", "2"], {"2": 5, "1": 3}, [3, 5]),
        (["0", "1"], {"0": 4, "1": 2}, [4, 2]),
        (["10", "9"], {"9": 4}, [1, 4]),
        (np.array(["1", "2"], dtype=object), {"2": 5}, [1, 5]),
        ([1, 2], {np.int64(2): 5.5}, [1, 5.5]),
        ([1.0, 2.0], {2: 5}, [1, 5]),
        ([False, True], {True: 5}, [1, 5]),
        ([False, True], {1: 5}, [1, 5]),
        ([2**53, 2**53 + 1], {2**53 + 1: 5}, [1, 5]),
        ([1, 2], {1: 5, 2: 2, 7: 3}, [5, 2]),  # a fold may lack a class
        ([1, 2], {}, [1, 1]),
    ],
)
def test_class_weights_are_looked_up_by_the_label_itself(y, class_weight, expected):
    labels, indices = Labels.learn(np.asarray(y))
    assert class_factors(labels, indices, None, class_weight).tolist() == expected


@pytest.mark.parametrize(
    ("y", "class_weight", "message"),
    [
        (
            ["1", "2"],
            {1: 5},
            r"classes \['1', '2'\] are not in class_weight, and its keys \[1\] .* type of the labels: ",
        ),
        ([1, 2], {"2": 5}, r"its keys \['2'\] are no labels of y. Give the keys the type of the labels: \[2\]"),
        ([False, True], {"True": 5}, r"its keys \['True'\] are no labels of y. Give the keys .*\[True\]"),
        (["a", "b"], {0: 4}, r"its keys \[0\] are no labels of y.$"),
        ([1, 2], {1: 5, 7: 3}, r"The classes \[2\] are not in class_weight, and its keys \[7\] are no labels of y.$"),
    ],
)
def test_keys_of_class_weight_that_are_no_labels_are_named(y, class_weight, message):
    labels, indices = Labels.learn(np.asarray(y))
    with pytest.raises(ValueError, match=message):
        class_factors(labels, indices, None, class_weight)


def test_balanced_class_weights_do_not_read_the_labels():
    y, weights = np.array(["0", "1", "1", "1"]), np.array([1.0, 1.0, 2.0, 0.0])
    labels, indices = Labels.learn(y)
    assert class_factors(labels, indices, None, "balanced").tolist() == [2.0, 2 / 3]
    assert class_factors(labels, indices, weights, "balanced").tolist() == [2.0, 2 / 3]
