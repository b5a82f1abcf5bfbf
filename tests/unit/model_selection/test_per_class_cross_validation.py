"""Per-class cross-validation against scikit-learn's own."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    RepeatedStratifiedKFold,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.naive_bayes import GaussianNB

from sktorch_acc.exceptions import AccuracyWarning, ModuleOutputError
from sktorch_acc.metrics import per_class_accuracy_scorers, per_class_accuracy_table
from sktorch_acc.model_selection import audit_cross_validation, cross_val_per_class_accuracy

X, numbers = load_iris(return_X_y=True)
X = X[:, :2]  # hard enough to be wrong at times
y = np.array(["setosa", "versicolor", "virginica"])[numbers]
CLF = GaussianNB()


class Majority(ClassifierMixin, BaseEstimator):
    """Predicts the most frequent class; records its predictions for the test."""

    predictions = 0

    def fit(self, X, y, sample_weight=None):
        self.classes_, counts = np.unique(y, return_counts=True)
        if sample_weight is not None:
            counts = [np.sum(sample_weight[np.asarray(y) == label]) for label in self.classes_]
        self.answer_ = self.classes_[np.argmax(counts)]
        return self

    def predict(self, X):
        type(self).predictions += 1
        return np.full(len(X), self.answer_)


def test_the_table_pools_the_counts_of_all_folds():
    result = cross_val_per_class_accuracy(CLF, X, y)
    pooled = per_class_accuracy_table(y, cross_val_predict(CLF, X, y))
    pd.testing.assert_frame_equal(result.table[pooled.columns], pooled, check_exact=True)
    assert result.confusion.to_numpy().tolist() == confusion_matrix(y, cross_val_predict(CLF, X, y)).tolist()
    assert (result.confusion.dtypes == np.int64).all()
    assert result.confusion.index.tolist() == result.confusion.columns.tolist() == sorted(set(y))


def test_the_folds_equal_the_scores_of_scikit_learn():
    result = cross_val_per_class_accuracy(CLF, X, y, cv=4)
    overall = cross_val_score(CLF, X, y, cv=4)
    assert result.folds["overall"].tolist() == overall.tolist()
    scores = cross_validate(CLF, X, y, cv=4, scoring=per_class_accuracy_scorers(y))
    for label in ("setosa", "versicolor", "virginica"):
        assert result.folds[label].tolist() == scores[f"test_acc[{label}]"].tolist()
        assert result.table.loc[label, "mean_over_folds"] == scores[f"test_acc[{label}]"].mean()
        assert result.table.loc[label, "std_over_folds"] == scores[f"test_acc[{label}]"].std()
    assert result.table.loc["overall", "mean_over_folds"] == overall.mean()
    assert result.folds.index.tolist() == [0, 1, 2, 3]
    assert result.folds.index.name == "fold"


def test_uneven_folds_have_a_mean_that_differs_from_the_pooled_accuracy():
    rng = np.random.default_rng(0)
    order = rng.permutation(150)
    splits = [(order[30:], order[:30]), (order[:30], order[30:])]
    table = cross_val_per_class_accuracy(CLF, X, y, cv=splits).table
    assert table.loc["overall", "accuracy"] == table.loc["overall", "correct"] / 150
    assert table.loc["overall", "mean_over_folds"] != table.loc["overall", "accuracy"]


def test_each_fold_predicts_once():
    Majority.predictions = 0
    result = cross_val_per_class_accuracy(Majority(), X, y, cv=3)
    assert Majority.predictions == 3
    assert result.train is None
    assert cross_val_per_class_accuracy(Majority(), X, y, cv=3, return_train_score=True).train is not None
    assert Majority.predictions == 9


def test_training_samples_have_their_own_table():
    result = cross_val_per_class_accuracy(CLF, X, y, cv=3, return_train_score=True)
    expected = cross_validate(CLF, X, y, cv=3, return_train_score=True)
    assert result.train.columns.tolist() == result.table.columns.tolist()
    assert result.train.loc["overall", "support"] == 300
    assert result.train.loc["overall", "mean_over_folds"] == expected["train_score"].mean()
    assert result.table.loc["overall", "mean_over_folds"] == expected["test_score"].mean()


def test_samples_tested_twice_do_not_narrow_the_interval():
    once = cross_val_per_class_accuracy(CLF, X, y).table
    cv = RepeatedStratifiedKFold(n_splits=5, n_repeats=8, random_state=0)
    often = cross_val_per_class_accuracy(CLF, X, y, cv=cv).table
    assert often.loc["overall", "support"] == 1200
    width = once["high"] - once["low"]
    assert ((often["high"] - often["low"]) > 0.7 * width).all()


def test_a_class_that_a_fold_was_not_fitted_on_is_named():
    with pytest.warns(AccuracyWarning, match=r"ACC-D8.*Fold 0 was fitted without samples of \['setosa'\]") as caught:
        result = cross_val_per_class_accuracy(CLF, X, y, cv=KFold(3))
    assert "3 of 3 folds lack a class" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert caught[0].message.code == "ACC-D8"
    assert [finding.code for finding in result.findings] == ["ACC-D8"]
    assert result.folds.columns.tolist() == ["setosa", "versicolor", "virginica", "overall"]
    assert result.folds.loc[0].isna().tolist() == [False, True, True, False]
    assert result.table["accuracy"].tolist() == [0.0] * 4
    assert result.table["n_folds"].tolist() == [1, 1, 1, 3]


def test_a_class_that_no_fold_tests_has_no_accuracy():
    order = np.r_[100:150, 0:100]
    with pytest.warns(AccuracyWarning):
        table = cross_val_per_class_accuracy(Majority(), X[order], y[order], cv=TimeSeriesSplit(2)).table
    row = table.loc["virginica"]
    assert row["support"] == row["n_folds"] == 0
    assert np.isnan([row["accuracy"], row["low"], row["mean_over_folds"], row["std_over_folds"]]).all()


@pytest.mark.parametrize("contain", [list, pd.Series, lambda v: pd.Series(v, dtype="category")])
def test_labels_of_any_container_are_read(contain):
    result = cross_val_per_class_accuracy(CLF, pd.DataFrame(X, columns=["a", "b"]), contain(y))
    assert result.folds["overall"].tolist() == cross_val_score(CLF, X, y).tolist()


@pytest.mark.parametrize("labels", [numbers, numbers > 0, numbers.astype(float)])
def test_labels_of_any_kind_are_read(labels):
    result = cross_val_per_class_accuracy(CLF, X, labels)
    assert result.table.index[:-1].tolist() == np.unique(labels).tolist()


def test_fit_parameters_are_indexed_by_the_fold():
    weight = np.where(y == "virginica", 5.0, 1.0)
    result = cross_val_per_class_accuracy(Majority(), X, y, params={"sample_weight": weight})
    assert result.table.loc["virginica", "accuracy"] == 1.0


@pytest.mark.slow
def test_two_processes_give_the_same():
    cv = StratifiedKFold(4, shuffle=True, random_state=0)
    one = cross_val_per_class_accuracy(CLF, X, y, cv=cv, return_train_score=True)
    two = cross_val_per_class_accuracy(CLF, X, y, cv=cv, return_train_score=True, n_jobs=2)
    for name in ("table", "folds", "confusion", "train"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(two, name), check_exact=True)


def test_the_estimator_is_left_unfitted():
    clf = GaussianNB()
    cross_val_per_class_accuracy(clf, X, y)
    assert not hasattr(clf, "classes_")


def test_an_error_in_a_fold_is_raised_and_not_turned_into_nan():
    with pytest.raises(ValueError, match="Input X contains NaN"):
        cross_val_per_class_accuracy(CLF, np.where(X > 5, np.nan, X), y)


class FailsOnRow(Majority):
    """Fails in one fold: the one whose fit, or predict, is given the row."""

    def __init__(self, in_fit=None, in_predict=None, error=None):
        self.in_fit, self.in_predict, self.error = in_fit, in_predict, error

    def fit(self, X, y):
        if self.in_fit is not None and not (X_NUMBERED[self.in_fit] == X).any():
            raise self.error or ZeroDivisionError("that row")
        return super().fit(X, y)

    def predict(self, X):
        if self.in_predict is not None and (X_NUMBERED[self.in_predict] == X).any():
            raise self.error or ZeroDivisionError("that row")
        return super().predict(X)


X_NUMBERED = np.arange(150.0).reshape(-1, 1)


@pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_an_error_says_which_fold_it_came_from(n_jobs):
    # Row 149 is tested in the last of the folds, and row 99 too.
    for clf, stage in [(FailsOnRow(in_fit=149), "fit"), (FailsOnRow(in_predict=99), "predict")]:
        with pytest.raises(ZeroDivisionError, match="that row") as caught:
            cross_val_per_class_accuracy(clf, X_NUMBERED, y, cv=5, n_jobs=n_jobs)
        assert type(caught.value) is ZeroDivisionError
        assert caught.value.__notes__ == [
            f"[ACC-G2] Fold 4 failed in {stage}. audit_cross_validation looks at all folds."
        ]
        assert audit_cross_validation(clf, X_NUMBERED, y, cv=5).codes == ["ACC-G2"]


@pytest.mark.slow
def test_an_error_of_the_library_keeps_code_and_note_between_processes():
    error = ModuleOutputError("no logits", code="ACC-C1")
    with pytest.raises(ModuleOutputError) as caught:
        cross_val_per_class_accuracy(FailsOnRow(in_fit=0, error=error), X_NUMBERED, y, cv=5, n_jobs=2)
    assert caught.value.code == "ACC-C1"
    assert caught.value.__notes__[0].startswith("[ACC-G2] Fold 0 failed in fit.")


def test_folds_are_numbered_anew_in_every_call():
    clf = FailsOnRow(in_predict=149)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError) as caught:
            cross_val_per_class_accuracy(clf, X_NUMBERED, y, cv=3)
        assert caught.value.__notes__[0].startswith("[ACC-G2] Fold 2 ")


def test_the_text_has_a_note_if_mean_and_pooled_accuracy_differ():
    order = np.random.default_rng(0).permutation(150)
    uneven = cross_val_per_class_accuracy(CLF, X, y, cv=[(order[30:], order[:30]), (order[:30], order[30:])])
    overall = uneven.table.loc["overall"]
    (finding,) = uneven.findings
    said = (
        f"Mean of folds {overall['mean_over_folds']:.4f}; pooled {overall['correct']}/150 = {overall['accuracy']:.4f}"
    )
    assert finding.message.startswith(said)
    assert f"\n[ACC-A13] {said}" in repr(uneven)
    assert f"<p>[ACC-A13] {said}" in uneven._repr_html_()
    even = cross_val_per_class_accuracy(CLF, X, y)
    assert even.findings == ()
    assert "ACC-" not in repr(even) + even._repr_html_()


def test_a_class_or_a_module_is_refused_before_any_fold():
    with pytest.raises(TypeError, match=r"Got the class GaussianNB: pass an instance, GaussianNB\(\)"):
        cross_val_per_class_accuracy(GaussianNB, X, y)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.linspace(0, 1, 150), "y must hold class labels, but it is continuous"),
        (np.eye(3)[numbers], r"y has shape \(150, 3\): it is one-hot, multilabel or scores"),
        ([None] * 150, "y contains NaN or None: 150 of 150 labels are missing"),
    ],
)
def test_invalid_labels_are_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        cross_val_per_class_accuracy(CLF, X, bad)


def test_predictions_of_another_kind_than_y_are_refused():
    class Indices(Majority):
        def predict(self, X):
            return np.zeros(len(X), dtype=int)

    with pytest.raises(ValueError, match=r"y holds strings .* predictions of fold 0 holds numbers"):
        cross_val_per_class_accuracy(Indices(), X, y)


def test_it_is_shown_as_text_and_as_html():
    labels = np.where(y == "setosa", "<b>", y)
    result = cross_val_per_class_accuracy(CLF, X, labels)
    assert repr(result).startswith("Per-class accuracy over the test samples of 5 folds\n")
    html = result._repr_html_()
    assert "<table" in html
    assert "&lt;b&gt;" in html
    assert "<b>" not in html


def test_groups_and_masks_are_passed_to_scikit_learn():
    groups = np.arange(150) % 7
    by_group = cross_val_per_class_accuracy(CLF, X, y, groups=groups, cv=GroupKFold(3))
    by_index = cross_val_per_class_accuracy(CLF, X, y, cv=list(GroupKFold(3).split(X, y, groups)))
    pd.testing.assert_frame_equal(by_group.table, by_index.table)
    masks = [(groups != g, groups == g) for g in range(3)]
    by_mask = cross_val_per_class_accuracy(CLF, X, y, cv=masks)
    assert by_mask.table.loc["overall", "support"] == sum(int(test.sum()) for _, test in masks)
