"""Labels beyond 2**53, which float64 rounds: two dtypes meet in every function, and no two labels become one."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import DBSCAN, KMeans
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktorch_acc import AccuracyCounter, TorchClassifier, diagnose
from sktorch_acc.labels import as_labels, in_one_dtype, is_among, joined
from sktorch_acc.metrics import (
    PerClassAccuracyScoring,
    classification_report,
    per_class_accuracy_score,
    per_class_accuracy_scorer,
    per_class_accuracy_scorers,
    per_class_accuracy_table,
    worst_class_accuracy_scorer,
)
from sktorch_acc.model_selection import audit_cross_validation, cross_val_per_class_accuracy
from sktorch_acc.plots import PerClassAccuracyDisplay

EXACT = 2**53
LOW, HIGH = EXACT, EXACT + 1
X = np.tile([[0.0], [1.0]], (10, 1))
SIGNED = np.tile([LOW, HIGH], 10)
UNSIGNED = SIGNED.astype(np.uint64)


class Swaps(ClassifierMixin, BaseEstimator):
    """Predicts the other class, in another dtype than y."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        return np.where(X[:, 0] > 0.5, LOW, HIGH).astype(np.uint64)


@pytest.fixture(scope="module")
def clf():
    fitted = TorchClassifier(lr=0.5, max_epochs=20, random_state=0).fit(X, SIGNED)
    assert fitted.score(X, SIGNED) == 1
    return fitted


@given(st.lists(st.lists(st.integers(-(2**63), 2**64 - 1), min_size=1, max_size=4), min_size=2, max_size=3), st.data())
def test_labels_in_one_dtype_are_equal_exactly_where_they_were_equal(lists, data):
    arrays = []
    for values in lists:
        fitting = [np.int64] * (max(values) < 2**63) + [np.uint64] * (min(values) >= 0) + [np.float64]
        arrays.append(np.array(values, dtype=data.draw(st.sampled_from(fitting)) if fitting else object))
    before = [[Fraction(value) for value in array.tolist()] for array in arrays]
    after = in_one_dtype(*arrays)
    assert len({array.dtype for array in after}) == 1
    assert [[Fraction(value) for value in array.tolist()] for array in after] == before
    flat = [value for values in before for value in values]
    assert [Fraction(value) for value in joined(arrays).tolist()] == flat
    assert is_among(arrays[0], arrays[1]).tolist() == [value in before[1] for value in before[0]]


def test_small_labels_keep_the_common_dtype_of_numpy():
    for left, right in [(np.int8, np.int64), (np.int64, np.float64), (np.float16, np.float32), (bool, np.int64)]:
        one, other = in_one_dtype(np.array([0, 1], dtype=left), np.array([1], dtype=right))
        assert one.dtype == other.dtype == np.result_type(left, right)
    same = np.array([1])
    assert in_one_dtype(same, same)[0] is same


def test_a_list_of_large_integers_is_not_rounded():
    assert as_labels([2**63, 1, HIGH], "y").tolist() == [2**63, 1, HIGH]
    assert as_labels(np.array([2**63, 1, HIGH], dtype=object), "y").tolist() == [2**63, 1, HIGH]
    assert per_class_accuracy_score([2**63, 1, HIGH], [2**63, 1, LOW]).tolist()[:1] == [1.0]
    assert per_class_accuracy_score([2**63, 1, HIGH], [2**63, 1, LOW], labels=[HIGH]).tolist() == [0.0]
    assert as_labels([2.0**60, 1.0], "y").dtype == np.float64
    with pytest.raises(ValueError, match="labels of one kind"):
        as_labels([2**63 + 1, -1], "y")


def test_metrics_compare_signed_and_unsigned_labels_exactly():
    true, pred = np.array([LOW, HIGH, LOW]), np.array([HIGH, LOW, LOW], dtype=np.uint64)
    assert per_class_accuracy_score(true, pred).tolist() == [0.5, 0.0]
    assert per_class_accuracy_score(true, pred, labels=np.array([HIGH], dtype=np.uint64)).tolist() == [0.0]
    assert per_class_accuracy_score(true, pred.astype(np.float64)).tolist() == [1.0, 0.0]  # 2**53 + 1 is no float
    table = per_class_accuracy_table(true, pred)
    assert table.index.tolist() == [LOW, HIGH, "overall"]
    assert table["correct"].tolist() == [1, 0, 1]
    assert str(HIGH) in classification_report(true, pred)
    assert per_class_accuracy_score([-1, 1], np.array([2**64 - 1, 1], dtype=np.uint64)).tolist()[:2] == [0.0, 1.0]


def test_an_estimator_compares_its_classes_exactly(clf):
    assert clf.score(X, UNSIGNED) == 1
    assert clf.score(X, UNSIGNED[::-1]) == 0
    assert clf.per_class_accuracy(X, UNSIGNED)["correct"].tolist() == [10, 10, 20]
    assert diagnose(clf, X, UNSIGNED).codes == diagnose(clf, X, SIGNED).codes == []
    validated = TorchClassifier(lr=0.5, max_epochs=20, random_state=0, validation_fraction=None)
    validated.fit(X, SIGNED, X_val=X, y_val=UNSIGNED)
    assert validated.history_.loc[20, "valid_acc"] == validated.score(X, SIGNED) == 1
    assert PerClassAccuracyDisplay.from_estimator(clf, X, UNSIGNED).table.index.tolist() == [LOW, HIGH, "overall"]


def test_scorers_compare_labels_exactly(clf):
    for y in (SIGNED, UNSIGNED):
        for estimator, expected in [(clf, 1.0), (Swaps().fit(X, SIGNED), 0.0)]:
            assert per_class_accuracy_scorer(np.uint64(HIGH))(estimator, X, y) == expected
            assert worst_class_accuracy_scorer(estimator, X, y) == expected
            names = [f"acc[{LOW}]", f"acc[{HIGH}]"]
            assert PerClassAccuracyScoring(UNSIGNED)(estimator, X, y) == dict.fromkeys(names, expected)
            scores = {name: scorer(estimator, X, y) for name, scorer in per_class_accuracy_scorers(SIGNED).items()}
            assert scores == dict.fromkeys(names, expected)
    with pytest.raises(ValueError, match="neither y nor the estimator has such a class"):
        per_class_accuracy_scorer(np.uint64(HIGH + 2))(clf, X, SIGNED)
    even = np.tile([LOW, LOW + 2], 10)
    with pytest.raises(ValueError, match="neither y nor the estimator has such a class"):
        per_class_accuracy_scorer(np.uint64(LOW + 5))(Swaps().fit(X, even), X, even + 4)


@pytest.mark.parametrize("y", [SIGNED, UNSIGNED])
def test_cross_validation_compares_labels_exactly(y):
    result = cross_val_per_class_accuracy(Swaps(), X, y, cv=2)
    assert result.table.index.tolist() == [LOW, HIGH, "overall"]
    assert result.table["correct"].tolist() == [0, 0, 0]
    assert result.confusion.to_numpy().tolist() == [[0, 10], [10, 0]]
    assert audit_cross_validation(Swaps(), X, y, cv=2, scoring="balanced_accuracy").codes == []


def test_classes_of_partial_fit_are_compared_exactly():
    clf = TorchClassifier(random_state=0).partial_fit(X, SIGNED, classes=np.array([LOW, HIGH], dtype=np.uint64))
    assert clf.partial_fit(X, SIGNED, classes=[LOW, HIGH]).classes_.tolist() == [LOW, HIGH]
    with pytest.raises(ValueError, match="not the same as on the last call"):
        clf.partial_fit(X, SIGNED, classes=[LOW - 1, LOW])
    other = TorchClassifier(random_state=0).partial_fit(X[:1], [HIGH], classes=[HIGH, LOW + 8])
    with pytest.raises(ValueError, match="not the same as on the last call"):
        other.partial_fit(X[:1], [HIGH], classes=np.array([LOW, LOW + 8], dtype=np.uint64))
    with pytest.raises(ValueError, match="1 label"):
        clf.partial_fit(X, SIGNED + np.tile([0, 1], 10))


UNSIGNED_DTYPES = [torch.uint8, torch.uint16, torch.uint32, torch.uint64]


@pytest.mark.parametrize("dtype", UNSIGNED_DTYPES, ids=str)
@pytest.mark.parametrize("confusion", [False, True])
@pytest.mark.parametrize("n_classes", [3, 300])
def test_a_counter_takes_classes_of_unsigned_dtypes(dtype, confusion, n_classes):
    pred, true = torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 2, 1])
    for left, right in [(pred.to(dtype), true), (pred, true.to(dtype)), (pred.to(dtype), true.to(dtype))]:
        counter = AccuracyCounter(n_classes, confusion=confusion)
        counter.update(left, right)
        assert counter.compute() == 0.75
        assert counter.correct.tolist()[:3] == [1, 1, 1]
        assert counter.support.tolist()[:3] == [1, 2, 1]


def test_a_counter_reports_unsigned_targets_that_are_no_class():
    counter = AccuracyCounter(3)
    counter.update(torch.tensor([2, 1]), torch.tensor([2**64 - 1, 1], dtype=torch.uint64))
    with pytest.raises(ValueError, match="1 targets are outside"):
        counter.compute()


# ------------------------------------------------------------------ what is no classifier

OTHERS = {
    "a clusterer": (KMeans(2, n_init=1), "Got KMeans, a clusterer"),
    "a regressor": (LinearRegression(), "Got LinearRegression, a regressor"),
    "an outlier detector": (IsolationForest(n_estimators=5), "Got IsolationForest, an outlier detector"),
    "a density": (GaussianMixture(2), "Got GaussianMixture, a density estimator"),
    "a pipeline": (make_pipeline(StandardScaler(), KMeans(2, n_init=1)), "Got Pipeline, a clusterer"),
    "a search": (GridSearchCV(KMeans(2, n_init=1), {"n_init": [1, 2]}), "Got GridSearchCV, a clusterer"),
    "both": (make_pipeline(GridSearchCV(LinearRegression(), {}, cv=2)), "Got Pipeline, a regressor"),
}


@pytest.mark.parametrize(("estimator", "message"), OTHERS.values(), ids=OTHERS)
def test_what_is_no_classifier_is_refused_by_its_kind(estimator, message):
    y = np.arange(20) % 2
    for call in (cross_val_per_class_accuracy, audit_cross_validation):
        with pytest.raises(TypeError, match=f"estimator must be a classifier. {message}"):
            call(estimator, X, y, cv=2)
    fitted = estimator.fit(X, y)
    for call in (
        per_class_accuracy_scorer(0),
        PerClassAccuracyScoring(y),
        PerClassAccuracyDisplay.from_estimator,
    ):
        with pytest.raises(TypeError, match=message):
            call(fitted, X, y)


def test_a_clusterer_without_predict_lacks_a_method():
    with pytest.raises(TypeError, match="Got DBSCAN, which lacks one of these methods"):
        cross_val_per_class_accuracy(DBSCAN(), X, SIGNED)


def test_pipelines_and_searches_of_classifiers_are_accepted():
    y = np.arange(20) % 2
    for estimator in (
        make_pipeline(StandardScaler(), LogisticRegression()),
        GridSearchCV(LogisticRegression(), {"C": [1.0, 2.0]}, cv=2),
    ):
        assert cross_val_per_class_accuracy(estimator, X, y, cv=2).table.loc["overall", "accuracy"] == 1
