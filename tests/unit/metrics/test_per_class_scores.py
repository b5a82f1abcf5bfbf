"""Scores, and the input that they refuse."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from sktorch_acc.metrics import (
    classification_report,
    per_class_accuracy_score,
    per_class_accuracy_table,
    worst_class_accuracy_score,
)

PETS, GUESSES = ["cat", "cat", "cat", "dog"], ["cat", "cat", "dog", "dog"]


@pytest.mark.parametrize(
    "contain",
    [
        list,
        tuple,
        np.array,
        lambda v: np.array(v, dtype=object),
        lambda v: np.array(v).reshape(-1, 1),
        lambda v: np.array(v, dtype=np.dtypes.StringDType()),
        pd.Series,
        lambda v: pd.Series(v, dtype=object),
        lambda v: pd.Series(v, index=[9, 8, 7, 6]),
        lambda v: pd.Series(v, dtype="category"),
        lambda v: pd.Categorical(v, categories=["fox", "dog", "cat"]),
        lambda v: pd.DataFrame({"pet": v}),
        pl.Series,
        lambda v: pl.Series(v, dtype=pl.Categorical),
    ],
)
def test_any_container_of_strings_is_read(contain):
    score = per_class_accuracy_score(contain(PETS), contain(GUESSES))
    assert score.tolist() == [2 / 3, 1.0]
    assert score.dtype == np.float64
    assert per_class_accuracy_table(contain(PETS), GUESSES).index.tolist() == ["cat", "dog", "overall"]


@pytest.mark.parametrize(
    "contain",
    [
        list,
        np.array,
        lambda v: np.array(v, dtype=np.uint8),
        lambda v: np.array(v, dtype=object),
        lambda v: np.array(v, dtype=float),
        lambda v: pd.Series(v, dtype="Int64"),
        lambda v: pd.Series(v, dtype="category"),
        pl.Series,
        torch.tensor,
        lambda v: np.array(v, dtype=bool),
        lambda v: pd.Series(v, dtype="boolean"),
        lambda v: np.array(np.array(v, dtype=bool), dtype=object),
    ],
)
def test_any_container_of_numbers_is_read(contain):
    assert per_class_accuracy_score(contain([0, 0, 0, 1]), contain([0, 0, 1, 1])).tolist() == [2 / 3, 1.0]


def test_a_class_without_samples_is_nan_and_not_0():
    assert np.isnan(per_class_accuracy_score(PETS, GUESSES, labels=["dog", "fox"])[1])
    assert np.isnan(per_class_accuracy_score(["cat"], ["fox"])[1])


def test_one_vs_rest_of_an_absent_class_is_defined():
    scores = per_class_accuracy_score(PETS, GUESSES, labels=["fox", "dog"], kind="one_vs_rest")
    assert scores.tolist() == [1.0, 0.75]


def test_worst_class_ignores_classes_without_samples():
    assert worst_class_accuracy_score(PETS, GUESSES, labels=["dog", "fox"]) == 1.0
    assert np.isnan(worst_class_accuracy_score(["cat"], ["fox"], labels=["fox"]))


def test_a_class_with_weight_0_has_no_weighted_accuracy():
    assert np.isnan(per_class_accuracy_score(PETS, GUESSES, sample_weight=[1, 1, 1, 0])[1])


def test_one_class_alone_works():
    table = per_class_accuracy_table(["cat"] * 3, ["cat"] * 3)
    assert table["accuracy"].tolist() == [1.0, 1.0]
    assert table["most_confused_with"].tolist() == [None, None]


def test_inputs_are_not_changed():
    y_true, y_pred, weight = np.array([1, 0, 1]), np.array([1, 1, 1]), np.array([1.0, 2.0, 3.0])
    per_class_accuracy_table(y_true, y_pred, sample_weight=weight)
    assert y_true.tolist() == [1, 0, 1]
    assert y_pred.tolist() == [1, 1, 1]
    assert weight.tolist() == [1.0, 2.0, 3.0]


# Invalid labels and weights by themselves are tested in tests/unit/test_labels.py.
REFUSED = [
    (([0, 1], [0, 1, 1]), {}, "one label per sample.* Got 2 and 3 labels"),
    (([], []), {}, "y_true and y_pred are empty"),
    ((np.array([]), np.array([])), {}, "y_true and y_pred are empty"),
    (([0, 1], [0.2, 0.8]), {}, r"y_pred must hold class labels, but it is continuous: \[0.2, 0.8\]"),
    (([0.0, np.inf], [0, 1]), {}, "y_true must hold class labels, but it is continuous"),
    (([0, 1], [[0.2, 0.8], [0.1, 0.9]]), {}, r"y_pred has shape \(2, 2\): it is one-hot, multilabel or scores"),
    ((None, [0, 1]), {}, "y_true should be a 1d array of labels. Got NoneType"),
    (("abc", ["a"]), {}, "Got str"),
    ((["a", None], ["a", "a"]), {}, "y_true contains NaN or None: 1 of 2 labels are missing, the first at row 1"),
    (([0, 1], pd.Series([1, None], dtype="Int64")), {}, "y_pred contains NaN or None: 1 of 2 labels are missing"),
    (([1, "a"], [1, "a"]), {}, "y_true must hold labels of one kind.* Got int and str"),
    ((["a", "b"], [0, 1]), {}, r"y_true holds strings .* y_pred holds numbers .* classes_\[indices\]"),
    (([b"a", b"b"], ["a", "b"]), {}, r"y_true must hold class labels: strings.* Got dtype \|S1"),
    (([1j], [1j]), {}, "y_true must hold class labels: strings.* Got dtype complex128"),
    ((PETS, GUESSES), {"labels": "cat"}, r"Got the string 'cat'; pass \['cat'\]"),
    ((PETS, GUESSES), {"labels": []}, "labels must name at least one class"),
    ((PETS, GUESSES), {"labels": ["cat", "cat"]}, r"labels must name each class once. Repeated: \['cat'\]"),
    ((PETS, GUESSES), {"labels": [0, 1]}, "y_true holds strings .* labels holds numbers"),
    (
        (PETS, GUESSES),
        {"labels": ["fox", "owl"]},
        r"none of \['fox', 'owl'\] occurs .* hold \['cat', 'dog'\]",
    ),
    ((PETS, GUESSES), {"sample_weight": [1, 1, 1]}, r"shape \(4,\). Got shape \(3,\)"),
    ((PETS, GUESSES), {"sample_weight": [1, -1, 1, 1]}, r"finite and not negative. Got \[-1.0\]"),
]


@pytest.mark.parametrize(("args", "kwargs", "message"), REFUSED)
@pytest.mark.parametrize(
    "function",
    [per_class_accuracy_score, worst_class_accuracy_score, per_class_accuracy_table, classification_report],
)
def test_invalid_input_is_refused_with_the_reason(function, args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        function(*args, **kwargs)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"'kind' parameter .* 'within' or 'one_vs_rest'. Got 'macro'"):
        per_class_accuracy_score(PETS, GUESSES, kind="macro")
