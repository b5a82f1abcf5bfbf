"""The report: scikit-learn's part unchanged, the accuracies below, within 100 columns."""

import numpy as np
import pytest
from sklearn.metrics import classification_report as sklearn_report

from sktorch_acc.metrics import classification_report

rng = np.random.default_rng(0)
TEN = [f"administrative support, including clerical, group {i}" for i in range(10)]
Y_TRUE, Y_PRED = rng.choice(TEN, 2000), rng.choice(TEN, 2000)


def test_the_upper_part_is_scikit_learns_report():
    y_true, y_pred = [0, 1, 2, 2, 1], [0, 1, 1, 2, 1]
    report = classification_report(y_true, y_pred, digits=3)
    assert report.startswith(sklearn_report(y_true, y_pred, digits=3))


def test_the_lower_part_has_counts_and_interval_of_each_class():
    y_true = ["a"] * 61 + ["b"] * 88
    y_pred = ["a"] * 46 + ["b"] * 15 + ["b"] * 77 + ["a"] * 11
    lines = classification_report(y_true, y_pred, digits=4).splitlines()
    cells = {line.split()[0]: line.split()[1:] for line in lines[-3:]}
    assert cells["a"] == ["0.7541", "0.6332", "0.8449", "46", "61", "57", "b"]
    assert cells["b"] == ["0.8750", "0.7899", "0.9287", "77", "88", "92", "a"]
    assert cells["overall"] == ["0.8255", "0.7566", "0.8780", "123", "149", "149"]


@pytest.mark.parametrize("digits", [2, 4])
@pytest.mark.parametrize("weight", [None, np.linspace(0.5, 2, 2000)])
def test_ten_classes_with_long_names_fit_in_100_columns(digits, weight):
    report = classification_report(Y_TRUE, Y_PRED, digits=digits, sample_weight=weight)
    assert max(len(line) for line in report.splitlines()) <= 100
    assert report.count("administrative") >= 20


def test_classes_left_out_by_a_subset_are_named_with_their_support():
    report = classification_report(["a", "b", "c", "c"], ["a", "b", "c", "b"], labels=["a", "b"])
    assert "[ACC-G5] Accuracy not shown: the report covers 2 of 3 classes" in report
    assert " ".join(report.split()).endswith("Left out, with 2 of 4 rows: ['c'].")
    assert "micro avg" in report.split("Accuracy within")[0]
    assert "Left out" not in classification_report(["a", "b"], ["a", "b"])
    stray = " ".join(classification_report(["a", "b"], ["a", "c"], labels=["a", "b"]).split())
    assert "'overall' is over all rows: it is the accuracy. Left out, with 0 of 2 rows: ['c']." in stray


@pytest.mark.parametrize("labels", [["a"], ["b", "a"], ["b", "c", "a"], ["c", "d", "b", "a"], None])
def test_the_missing_accuracy_is_reported_exactly_if_scikit_learn_does_not_show_it(labels):
    y_true, y_pred = ["a", "b", "c", "d", "a"], ["a", "b", "d", "d", "b"]
    report = classification_report(y_true, y_pred, labels=labels)
    upper = report.split("Accuracy within")[0]
    assert ("micro avg" in upper) == ("[ACC-G5]" in report) == ("\n    accuracy " not in upper)


def test_many_classes_left_out_still_fit_in_100_columns():
    report = classification_report(Y_TRUE, Y_PRED, labels=TEN[:2])
    assert max(len(line) for line in report.splitlines()) <= 100
    assert report.endswith("and 3 more.")


def test_a_class_never_predicted_has_no_precision_and_gives_no_warning():
    report = classification_report(["a", "b"], ["a", "a"])
    assert report.splitlines()[3].split() == ["b", "nan", "0.00", "0.00", "1"]


def test_weights_add_the_weighted_accuracy_and_do_not_change_the_counts():
    lines = classification_report(["a", "a", "b"], ["a", "b", "b"], sample_weight=[3, 1, 1]).splitlines()
    assert "weighted" in lines[-4]
    assert lines[-3].split()[:8] == ["a", "0.50", "0.09", "0.91", "0.75", "1", "2", "1"]


def test_target_names_replace_the_labels():
    report = classification_report([0, 1], [0, 1], target_names=["no", "yes"])
    assert report.splitlines()[2].split()[0] == "no"
    assert report.splitlines()[-2].split()[0] == "yes"
    with pytest.raises(ValueError, match=r"target_names must name the 2 classes \[0, 1\].* Got 1 names"):
        classification_report([0, 1], [0, 1], target_names=["no"])


def test_confidence_is_shown_and_checked():
    assert "with a 90% interval" in classification_report([0, 1], [0, 1], confidence=0.9)
    with pytest.raises(ValueError, match="'confidence' parameter of classification_report"):
        classification_report([0, 1], [0, 1], confidence=1.5)
