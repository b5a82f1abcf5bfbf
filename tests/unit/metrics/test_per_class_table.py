"""The table: its columns, types, names and interval."""

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.naive_bayes import GaussianNB

from sktorch_acc.metrics import per_class_accuracy_table
from sktorch_acc.metrics._table import table_of_estimator


def labels_of(counts):
    """Labels with the given numbers of correct and wrong predictions per class; the wrong ones are the next class."""
    classes = list(counts)
    y_true, y_pred = [], []
    for i, (label, (correct, wrong)) in enumerate(counts.items()):
        y_true += [label] * (correct + wrong)
        y_pred += [label] * correct + [classes[(i + 1) % len(classes)]] * wrong
    return y_true, y_pred


def test_the_table_of_three_classes():
    table = per_class_accuracy_table(*labels_of({"a": (46, 15), "b": (77, 11), "c": (40, 11)}))
    assert [f"{value:.4f}" for value in table["accuracy"]] == ["0.7541", "0.8750", "0.7843", "0.8150"]
    assert table["support"].tolist() == [61, 88, 51, 200]
    assert table["correct"].tolist() == [46, 77, 40, 163]
    assert table["wrong"].tolist() == [15, 11, 11, 37]
    assert table["predicted"].tolist() == [57, 92, 51, 200]
    assert table["most_confused_with"].tolist() == ["b", "c", "a", None]


@pytest.mark.parametrize("labels", [["a", "b"], [0, 1], [False, True]])
@pytest.mark.parametrize("wrong", [0, 1])
def test_types_do_not_depend_on_the_labels_or_the_counts(labels, wrong):
    table = per_class_accuracy_table(*labels_of({labels[0]: (2, wrong), labels[1]: (1, 0)}))
    assert table.dtypes.astype(str).to_dict() == {
        "support": "int64",
        "correct": "int64",
        "wrong": "int64",
        "predicted": "int64",
        "accuracy": "float64",
        "low": "float64",
        "high": "float64",
        "most_confused_with": "object",
    }
    assert table.index.dtype == object
    assert table.index.name == "label"
    assert [type(label) for label in table.index] == [type(labels[0])] * 2 + [str]


def test_weights_add_two_columns_at_the_end():
    plain = per_class_accuracy_table(["a", "b"], ["a", "a"])
    table = per_class_accuracy_table(["a", "b"], ["a", "a"], sample_weight=[1.5, 0.5])
    assert table.columns.tolist() == [*plain.columns, "weight", "weighted_accuracy"]
    assert table["weight"].tolist() == [1.5, 0.5, 2.0]
    assert table["weighted_accuracy"].tolist() == [1.0, 0.0, 0.75]


@pytest.mark.parametrize(
    ("labels", "last"),
    [
        (["a", "b"], "overall"),
        (["a", "overall"], "(overall)"),
        (["(overall)", "overall"], "((overall))"),
    ],
)
def test_a_class_named_overall_keeps_its_name(labels, last):
    table = per_class_accuracy_table(labels, labels)
    assert table.index.tolist() == [*sorted(labels), last]
    assert table.loc[last, "support"] == 2


def test_a_tie_goes_to_the_first_class_in_label_order():
    y_true, y_pred = ["a"] * 4, ["c", "b", "b", "c"]
    assert per_class_accuracy_table(y_true, y_pred).loc["a", "most_confused_with"] == "b"
    assert per_class_accuracy_table(y_true, y_pred, labels=["c", "b", "a"]).loc["a", "most_confused_with"] == "c"
    # Classes that are not listed come after those that are.
    assert per_class_accuracy_table(y_true, y_pred, labels=["a", "c"]).loc["a", "most_confused_with"] == "c"


def test_the_last_row_of_a_subset_covers_the_samples_of_its_classes():
    table = per_class_accuracy_table(["a", "a", "b", "c"], ["a", "c", "a", "c"], labels=["a", "b"])
    assert table.loc["overall", ["support", "correct", "wrong", "predicted"]].tolist() == [3, 1, 2, 2]
    assert table.loc["overall", "accuracy"] == 1 / 3


@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95, 0.99])
@pytest.mark.parametrize(("correct", "wrong"), [(46, 15), (44, 11), (0, 7), (7, 0), (1, 0), (5000, 1)])
def test_the_interval_is_wilsons(correct, wrong, confidence):
    y_true, y_pred = ["a"] * (correct + wrong), ["a"] * correct + ["b"] * wrong
    row = per_class_accuracy_table(y_true, y_pred, confidence=confidence).loc["a"]
    expected = binomtest(correct, correct + wrong).proportion_ci(confidence, method="wilson")
    assert row["low"] == pytest.approx(expected.low, abs=1e-12)
    assert row["high"] == pytest.approx(expected.high, abs=1e-12)


def test_the_interval_ends_exactly_at_0_and_1_where_the_accuracy_does():
    for n in range(1, 200):
        table = per_class_accuracy_table(["a"] * n + ["b"] * n, ["a"] * (2 * n))
        assert table.loc["a", "high"] == 1.0
        assert table.loc["b", "low"] == 0.0


def test_a_class_without_samples_has_no_accuracy_and_no_interval():
    row = per_class_accuracy_table(["a"], ["b"]).loc["b"]
    assert row["support"] == 0
    assert row["predicted"] == 1
    assert np.isnan([row["accuracy"], row["low"], row["high"]]).all()


@pytest.mark.parametrize("confidence", [1.5, 1, 0, -0.1, float("nan"), "0.95", None, True])
def test_a_confidence_outside_0_and_1_is_refused(confidence):
    with pytest.raises(ValueError, match=r"'confidence' parameter of .* in the range \(0, 1\). Got"):
        per_class_accuracy_table(["a"], ["a"], confidence=confidence)


def test_many_classes_need_no_square_matrix():
    labels = np.arange(30_000)
    table = per_class_accuracy_table(labels, np.roll(labels, 1))
    assert table["most_confused_with"].iloc[:3].tolist() == [29_999, 0, 1]


def test_a_label_that_was_not_fitted_has_a_row_with_accuracy_0():
    clf = GaussianNB().fit([[0.0], [1.0], [2.0], [3.0]], ["a", "a", "c", "c"])
    table = table_of_estimator(clf, [[0.0], [3.0], [3.0]], ["a", "b", "b"])
    assert table.index.tolist() == ["a", "b", "c", "overall"]
    assert table.loc["b", ["support", "accuracy"]].tolist() == [2, 0.0]
    assert table.loc["b", "most_confused_with"] == "c"
    assert np.isnan(table.loc["c", "accuracy"])
