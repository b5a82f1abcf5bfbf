"""Scorers, called directly."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from sktorch_acc.metrics import (
    PerClassAccuracyScoring,
    per_class_accuracy_score,
    per_class_accuracy_scorer,
    per_class_accuracy_scorers,
    worst_class_accuracy_score,
    worst_class_accuracy_scorer,
)

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 3))
y = np.array(["mgmt", "sales", "tech"])[np.digitize(X[:, 0] + rng.normal(size=90), [-0.5, 0.5])]
CLF = LogisticRegression().fit(X, y)
EXPECTED = per_class_accuracy_score(y, CLF.predict(X))


def test_names_are_sorted_and_distinct_so_that_y_can_be_passed():
    assert list(per_class_accuracy_scorers(y)) == ["acc[mgmt]", "acc[sales]", "acc[tech]"]
    assert list(per_class_accuracy_scorers([2, 1, 2], prefix="recall")) == ["recall[1]", "recall[2]"]
    assert list(per_class_accuracy_scorers(pd.Series([True, False]))) == ["acc[False]", "acc[True]"]
    assert PerClassAccuracyScoring(y, prefix="p").names == ["p[mgmt]", "p[sales]", "p[tech]"]


def test_all_three_forms_give_the_score():
    one = [per_class_accuracy_scorer(label)(CLF, X, y) for label in CLF.classes_]
    each = [scorer(CLF, X, y) for scorer in per_class_accuracy_scorers(y).values()]
    together = PerClassAccuracyScoring(y)(CLF, X, y)
    assert one == each == list(together.values()) == EXPECTED.tolist()
    assert all(type(value) is float for value in [*one, *together.values()])


def test_weights_are_used():
    weight = rng.uniform(size=90)
    expected = per_class_accuracy_score(y, CLF.predict(X), sample_weight=weight).tolist()
    assert list(PerClassAccuracyScoring(y)(CLF, X, y, sample_weight=weight).values()) == expected
    assert per_class_accuracy_scorer("mgmt")(CLF, X, y, sample_weight=weight) == expected[0]
    assert worst_class_accuracy_scorer(CLF, X, y, sample_weight=weight) == min(expected)


def test_the_worst_class_has_a_scorer():
    assert worst_class_accuracy_scorer(CLF, X, y) == worst_class_accuracy_score(y, CLF.predict(X))


def test_samples_without_the_class_score_nan():
    rows = y != "tech"
    assert np.isnan(per_class_accuracy_scorer("tech")(CLF, X[rows], y[rows]))
    scores = PerClassAccuracyScoring(y)(CLF, X[rows], y[rows])
    assert list(scores) == ["acc[mgmt]", "acc[sales]", "acc[tech]"]
    assert np.isnan(scores["acc[tech]"])


def test_a_class_that_was_not_fitted_scores_0_if_it_has_samples():
    rows = y != "tech"
    clf = LogisticRegression().fit(X[rows], y[rows])
    assert per_class_accuracy_scorer("tech")(clf, X, y) == 0.0


def test_a_class_absent_from_fit_and_fold_scores_nan_if_the_labels_are_complete():
    rows = y != "tech"
    clf = LogisticRegression().fit(X[rows], y[rows])
    assert np.isnan(per_class_accuracy_scorers(y)["acc[tech]"](clf, X[rows], y[rows]))
    assert np.isnan(PerClassAccuracyScoring(y)(clf, X[rows], y[rows])["acc[tech]"])


@pytest.mark.parametrize(
    "scorer",
    [
        per_class_accuracy_scorer("tehc"),
        per_class_accuracy_scorers(["mgmt", "tehc"])["acc[tehc]"],
        PerClassAccuracyScoring(["mgmt", "tehc"]),
    ],
)
def test_a_label_that_is_not_in_the_data_is_an_error(scorer):
    with pytest.raises(
        ValueError,
        match=r"Cannot score \['tehc'\]: neither y nor the estimator .* \['mgmt', 'sales', 'tech'\]",
    ):
        scorer(CLF, X, y)


def test_a_label_of_the_wrong_kind_is_an_error():
    with pytest.raises(ValueError, match="Labels must be of one kind"):
        per_class_accuracy_scorer(1)(CLF, X, y)


@pytest.mark.parametrize("make", [per_class_accuracy_scorers, PerClassAccuracyScoring])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("mgmt", r"Got the string 'mgmt'; pass \['mgmt'\]"),
        ([], "labels must name at least one class"),
        (["a", None], "labels contains NaN or None: 1 of 2 labels are missing"),
        ([0.5, 1.5], "labels must hold class labels, but it is continuous"),
        (["a", 1], "labels must hold labels of one kind"),
        (np.eye(2), r"labels has shape \(2, 2\): it is one-hot"),
    ],
)
def test_invalid_labels_are_refused_at_once(make, labels, message):
    with pytest.raises(ValueError, match=message):
        make(labels)


def test_a_single_label_is_checked_at_once():
    with pytest.raises(ValueError, match="label contains NaN or None: 1 of 1 labels are missing"):
        per_class_accuracy_scorer(None)


@pytest.mark.parametrize("scorer", [per_class_accuracy_scorer("tech"), PerClassAccuracyScoring(y)])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda scorer: pickle.loads(pickle.dumps(scorer))])
def test_copies_score_alike(scorer, copied):
    assert copied(scorer)(CLF, X, y) == scorer(CLF, X, y)


def test_scorers_have_a_readable_repr():
    assert repr(per_class_accuracy_scorer("tech")) == "per_class_accuracy_scorer('tech')"
    assert repr(per_class_accuracy_scorers([1, 2])["acc[2]"]) == "per_class_accuracy_scorer(2)"
    assert repr(PerClassAccuracyScoring(["a", "b"])) == "PerClassAccuracyScoring(['a', 'b'])"


def test_an_object_with_only_predict_is_scored_too():
    class Constant:
        def predict(self, X):
            return ["tech"] * len(X)

    assert PerClassAccuracyScoring(y)(Constant(), X, y) == {
        "acc[mgmt]": 0.0,
        "acc[sales]": 0.0,
        "acc[tech]": 1.0,
    }
