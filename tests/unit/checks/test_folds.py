"""The limits of the checks of folds."""

import numpy as np
import pytest

from sktorch_acc.checks.folds import (
    FailedFolds,
    FoldCounts,
    check_failed_folds,
    check_mean_over_folds,
    check_missing_classes,
    check_nan_scores,
    check_score_names,
    check_stratified,
    failed_fold,
)


def counts(correct, support, n_samples=None, n_tested=None):
    total = sum(support)
    return FoldCounts(np.array(correct), np.array(support), n_samples or total, n_tested or total)


@pytest.mark.parametrize(
    ("correct", "support", "reported"),
    [
        ([5, 1], [10, 10], False),  # even
        ([5, 0], [5, 4], False),  # a remainder, however much it matters
        ([6, 0], [6, 4], True),
        ([3, 2], [6, 4], False),  # the same accuracy in both
        ([5000, 4000], [10_000, 8020], False),  # 0.4994 and 0.4994
        ([10], [10], False),
        ([1, 1, 0], [1, 1, 1], False),
    ],
)
def test_the_mean_over_folds(correct, support, reported):
    assert (check_mean_over_folds(counts(correct, support)) is not None) == reported


def test_the_mean_over_folds_is_reported_with_the_pooled_accuracy_and_the_samples():
    assert check_mean_over_folds(counts([6, 0], [6, 4])).message == (
        "Mean of folds 0.5000; pooled 6/10 = 0.6000: the test sets have 4 to 6 samples, but the mean gives "
        "all folds the same weight."
    )
    message = check_mean_over_folds(counts([6, 0], [6, 4], n_samples=12, n_tested=7)).message
    assert message.endswith("These 10 predictions are for 7 samples. 5 of 12 samples are in no test set.")


def test_missing_classes():
    nothing, one, two = np.array([]), np.array(["a"]), np.array(["a", "b"])
    assert check_missing_classes([nothing, nothing]) is None
    assert check_missing_classes([nothing, one]).message == (
        "Fold 1 was fitted without samples of ['a'], so it cannot predict it."
    )
    assert (
        "['a', 'b'], so it cannot predict them (2 of 2 folds lack a class)" in check_missing_classes([two, one]).message
    )


@pytest.mark.parametrize(("lacking", "severity"), [(0, "warning"), (2, "error")])
@pytest.mark.parametrize("too_late", [True, False])
def test_stratification(lacking, severity, too_late):
    found = check_stratified("Mine", 3, too_late, lacking, 3)
    assert (found.code, found.severity) == ("ACC-G1", severity)
    assert ("2 of 3 folds are fitted without a class" in found.message) == bool(lacking)
    assert ("class Mine(ClassifierMixin, BaseEstimator)" in found.advice) == too_late


def test_failed_folds():
    found = check_failed_folds(FailedFolds("fit", (), (2, 4), 5, "ValueError: no."))
    assert found.message == "Fold 2 failed: ValueError: no. Raised by fit in 2 of 5 folds."
    assert "error_score='raise'" in found.advice
    found = check_failed_folds(FailedFolds("score", ("a", "b"), (0,), 5, "ValueError: no"))
    assert found.message.endswith("Raised by the scorers ['a', 'b'], or one of them, in 1 of 5 folds.")
    assert str(failed_fold(3, "predict")).startswith("[ACC-G2] Fold 3 failed in predict.")


@pytest.mark.parametrize(
    ("error", "one_class", "advice"),
    [
        ("the data contains only one class: 0", True, "fitted on one class"),
        ("got 1 class", True, "fitted on one class"),
        ("the data contains only one class: 0", False, "error_score='raise'"),
        ("out of memory", True, "error_score='raise'"),
    ],
)
def test_one_class_is_the_cause_only_if_both_the_error_and_the_samples_show_it(error, one_class, advice):
    assert advice in check_failed_folds(FailedFolds("fit", (), (0,), 5, error, one_class)).advice


def test_nan_scores():
    found = check_nan_scores(["a"], [1, 2], 5, ["x"])
    assert found.message.startswith(
        "Fold 1's score 'a' is NaN, though nothing raised (2 of 5 folds); its test set has no samples of ['x']."
    )
    assert "numpy.nanmean" in found.advice
    assert "Look at what the scorer computes" in check_nan_scores(["a", "b"], [1], 5, []).advice


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ({}, None),
        ({0: None, 1: None}, None),
        ({0: ("a", "b"), 1: ("b", "a")}, None),
        ({3: ("a",)}, None),
        ({0: (), 1: ()}, None),
        (
            {0: ("a",), 1: ("a", "b"), 2: ("b", "a")},
            "'b' is only in folds [1, 2]. scikit-learn takes the names of fold 0",
        ),
        (
            {1: ("a", "b"), 2: ("a",)},
            "'b' is missing in fold 2. scikit-learn takes the names of fold 1 and raises KeyError",
        ),
        ({0: ("a",), 1: ("b",)}, "'a' is missing in fold 1; 'b' is only in fold 1. scikit-learn takes"),
        ({0: (), 1: tuple("abcdefg")}, "'e' is only in fold 1 and 2 more. scikit-learn"),
        ({0: None, 1: ("a",)}, "a number in fold 0, a dict in fold 1. scikit-learn returns an array of objects"),
        ({0: ("a",), 1: None}, "a number in fold 1, a dict in fold 0. scikit-learn raises TypeError"),
    ],
)
def test_names_of_scores(names, text):
    found = check_score_names(names)
    assert (found is None) == (text is None)
    assert text is None or text in found.message
