"""Per-class scorers in the functions of scikit-learn with an argument `scoring`."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.callback import ScoringMonitor
from sklearn.datasets import load_iris
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer, recall_score
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_validate,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktorch_acc.metrics import (
    PerClassAccuracyScoring,
    per_class_accuracy_score,
    per_class_accuracy_scorer,
    per_class_accuracy_scorers,
    refit_by,
    worst_class_accuracy_scorer,
)
from sktorch_acc.model_selection import cross_val_per_class_accuracy

X, numbers = load_iris(return_X_y=True)
X = X[:, :2]
LABELS = np.array(["mgmt", "sales", "tech"])
y = LABELS[numbers]
KEYS = ["test_acc[mgmt]", "test_acc[sales]", "test_acc[tech]"]
FORMS = {"dict": per_class_accuracy_scorers, "callable": PerClassAccuracyScoring}

CLASSIFIERS = [
    LogisticRegression(max_iter=200),
    HistGradientBoostingClassifier(max_iter=3),
    make_pipeline(StandardScaler(), LogisticRegression()),
]


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


class Counting(GaussianNB):
    predictions = 0

    def predict(self, X):
        type(self).predictions += 1
        return super().predict(X)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("clf", CLASSIFIERS, ids=lambda clf: type(clf).__name__)
def test_cross_validate_gives_the_recalls_of_scikit_learn(clf, form):
    ours = cross_validate(clf, X, y, cv=3, scoring=FORMS[form](y), error_score="raise")
    recalls = {
        label: make_scorer(recall_score, labels=[label], average="macro", zero_division=np.nan) for label in LABELS
    }
    theirs = cross_validate(clf, X, y, cv=3, scoring=recalls)
    for label, key in zip(LABELS, KEYS, strict=True):
        assert ours[key].tolist() == theirs[f"test_{label}"].tolist()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_folds_without_a_class_keep_its_key_and_score_nan(form, n_jobs):
    clf = DummyClassifier()
    scores = cross_validate(clf, X, y, cv=KFold(3), scoring=FORMS[form](y), n_jobs=n_jobs, error_score="raise")
    assert [key for key in scores if key.startswith("test_")] == KEYS
    assert np.isnan([scores[key] for key in KEYS]).tolist() == (~np.eye(3, dtype=bool)).tolist()


@pytest.mark.parametrize("form", FORMS)
def test_a_class_that_a_fold_lacks_in_training_and_test_scores_nan(form):
    scores = cross_validate(DummyClassifier(), X, y, cv=TimeSeriesSplit(2), scoring=FORMS[form](y), error_score="raise")
    assert np.isnan(scores["test_acc[tech]"]).tolist() == [True, False]


@settings(max_examples=10)
@given(
    st.integers(2, 5),
    st.integers(0, 2**31),
    st.lists(st.sampled_from(LABELS.tolist()), min_size=12, max_size=30),
)
def test_the_keys_never_depend_on_the_split(n_splits, seed, labels):
    cv = KFold(n_splits, shuffle=True, random_state=seed)
    rows = np.arange(len(labels)).reshape(-1, 1)
    for make in FORMS.values():
        scores = cross_validate(DummyClassifier(), rows, labels, cv=cv, scoring=make(LABELS), error_score="raise")
        assert [key for key in scores if key.startswith("test_")] == KEYS


def test_scorers_of_a_dict_share_one_prediction():
    Counting.predictions = 0
    cross_validate(Counting(), X, y, cv=3, scoring=per_class_accuracy_scorers(y))
    assert Counting.predictions == 3
    cross_validate(Counting(), X, y, cv=3, scoring=PerClassAccuracyScoring(y))
    assert Counting.predictions == 6


def test_scorers_mix_with_those_of_scikit_learn():
    scoring = {**per_class_accuracy_scorers(y), "accuracy": "accuracy", "worst": worst_class_accuracy_scorer}
    scores = cross_validate(GaussianNB(), X, y, scoring=scoring)
    assert scores["test_worst"].tolist() == np.min([scores[key] for key in KEYS], axis=0).tolist()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_jobs", [None, pytest.param(2, marks=pytest.mark.slow)])
def test_a_search_refits_by_one_class(form, n_jobs):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), GaussianNB()),
        {"gaussiannb__var_smoothing": [1e-9, 1.0, 100.0]},
        scoring=FORMS[form](y),
        refit=refit_by("acc[sales]"),
        cv=StratifiedKFold(3),
        n_jobs=n_jobs,
        error_score="raise",
    ).fit(X, y)
    means = search.cv_results_["mean_test_acc[sales]"]
    assert search.best_index_ == np.argmax(means)
    assert search.predict(X).shape == y.shape


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite:UserWarning")
def test_a_fold_without_the_class_does_not_affect_a_search():
    # The second of two folds has no sample of tech: the mean over both is NaN for every candidate.
    rows = np.arange(150)
    cv = [(rows[::2], rows[1::2]), (rows[50:], rows[:50])]
    grid = {"strategy": ["most_frequent", "constant"], "constant": ["tech"]}
    scoring = per_class_accuracy_scorers(y)
    naive = GridSearchCV(DummyClassifier(), grid, cv=cv, scoring=scoring, refit="acc[tech]").fit(X, y)
    assert naive.best_params_["strategy"] == "most_frequent"
    search = GridSearchCV(DummyClassifier(), grid, cv=cv, scoring=scoring, refit=refit_by("acc[tech]"))
    assert search.fit(X, y).best_params_["strategy"] == "constant"


def test_a_single_scorer_serves_a_randomized_search():
    search = RandomizedSearchCV(
        GaussianNB(),
        {"var_smoothing": [1e-9, 1.0, 100.0]},
        n_iter=2,
        scoring=per_class_accuracy_scorer("tech"),
        refit=refit_by("score"),
        random_state=0,
    ).fit(X, y)
    assert search.best_index_ == np.argmax(search.cv_results_["mean_test_score"])


@pytest.mark.parametrize("scoring", [per_class_accuracy_scorers(y), PerClassAccuracyScoring(y)])
def test_a_scoring_monitor_records_each_class_after_each_iteration(scoring):
    monitor = ScoringMonitor(scoring=scoring)
    clf = LogisticRegression(max_iter=200).set_callbacks(monitor).fit(X, y)
    log = monitor.get_logs().data_as_pandas
    assert len(log) > 3
    last = log.iloc[-1][[key.removeprefix("test_") for key in KEYS]]
    assert last.tolist() == per_class_accuracy_score(y, clf.predict(X)).tolist()


def test_a_scoring_monitor_works_inside_a_search():
    monitor = ScoringMonitor(scoring=PerClassAccuracyScoring(y))
    clf = LogisticRegression(max_iter=200).set_callbacks(monitor)
    search = GridSearchCV(
        clf, {"C": [0.1, 1.0]}, cv=2, scoring=per_class_accuracy_scorers(y), refit=refit_by("acc[tech]")
    ).fit(X, y)
    log = monitor.get_logs().data_as_pandas
    assert {"acc[mgmt]", "acc[sales]", "acc[tech]"} <= set(log.columns)
    assert log["acc[tech]"].notna().all()
    assert search.best_index_ == np.argmax(search.cv_results_["mean_test_acc[tech]"])


def test_a_search_that_holds_the_scorers_can_be_cloned_and_nested():
    search = GridSearchCV(
        GaussianNB(),
        {"var_smoothing": [1e-9, 1.0]},
        cv=2,
        scoring=PerClassAccuracyScoring(y),
        refit=refit_by("acc[tech]"),
    )
    nested = cross_validate(search, X, y, cv=2, scoring=per_class_accuracy_scorers(y), error_score="raise")
    assert [key for key in nested if key.startswith("test_")] == KEYS


def test_a_scoring_monitor_records_the_worst_class():
    monitor = ScoringMonitor(scoring=worst_class_accuracy_scorer)
    clf = LogisticRegression(max_iter=200).set_callbacks(monitor).fit(X, y)
    last = monitor.get_logs().data_as_pandas["score"].iloc[-1]
    assert last == per_class_accuracy_score(y, clf.predict(X)).min()


def test_permutation_importance_finds_the_feature_of_a_class():
    # Only column 0 separates tech from the other classes.
    rng = np.random.default_rng(0)
    Z = np.column_stack([numbers == 2, numbers == 1, rng.normal(size=150)]).astype(float)
    clf = LogisticRegression().fit(Z, y)
    one = permutation_importance(clf, Z, y, scoring=per_class_accuracy_scorer("tech"), random_state=0)
    assert one.importances_mean.argmax() == 0
    assert one.importances_mean[0] > 0.3
    for scoring in (per_class_accuracy_scorers(y), PerClassAccuracyScoring(y)):
        every = permutation_importance(clf, Z, y, scoring=scoring, random_state=0)
        assert every["acc[tech]"].importances.tolist() == one.importances.tolist()
    weighted = permutation_importance(
        clf, Z, y, scoring=per_class_accuracy_scorer("tech"), random_state=0, sample_weight=np.full(150, 2.0)
    )
    assert weighted.importances.tolist() == one.importances.tolist()


@pytest.mark.parametrize(
    "scoring",
    [
        lambda: {
            key: scorer.set_score_request(sample_weight=True) for key, scorer in per_class_accuracy_scorers(y).items()
        },
        lambda: PerClassAccuracyScoring(y).set_score_request(sample_weight=True),
    ],
    ids=FORMS,
)
def test_weights_are_routed_to_the_scorers_that_request_them(routing, scoring):
    weight = np.random.default_rng(0).integers(0, 4, 150).astype(float)
    clf = GaussianNB().set_fit_request(sample_weight=True)
    cv = StratifiedKFold(3)
    scores = cross_validate(clf, X, y, cv=cv, scoring=scoring(), params={"sample_weight": weight}, error_score="raise")
    for i, (train, test) in enumerate(cv.split(X, y)):
        fitted = GaussianNB().fit(X[train], y[train], sample_weight=weight[train])
        expected = per_class_accuracy_score(y[test], fitted.predict(X[test]), sample_weight=weight[test])
        assert [scores[key][i] for key in KEYS] == expected.tolist()
    search = GridSearchCV(clf, {"var_smoothing": [1e-9]}, cv=cv, scoring=scoring(), refit=refit_by("acc[tech]"))
    search.fit(X, y, sample_weight=weight)
    assert search.cv_results_["split0_test_acc[tech]"].tolist() == [scores["test_acc[tech]"][0]]


def test_weights_are_not_routed_to_scorers_that_do_not_request_them(routing):
    clf = GaussianNB().set_fit_request(sample_weight=True)
    scoring = PerClassAccuracyScoring(y).set_score_request(sample_weight=False)
    weight = np.linspace(0, 1, 150)
    scores = cross_validate(clf, X, y, scoring=scoring, params={"sample_weight": weight}, error_score="raise")
    assert all((scores[key] * 10 == np.round(scores[key] * 10)).all() for key in KEYS)  # tenths: ten rows


def test_cross_validation_routes_to_the_steps_of_a_pipeline(routing):
    weight = np.where(y == "tech", 50.0, 1.0)
    scaler = StandardScaler().set_fit_request(sample_weight=False)
    pipe = make_pipeline(scaler, GaussianNB().set_fit_request(sample_weight=True))
    result = cross_val_per_class_accuracy(pipe, X, y, params={"sample_weight": weight})
    plain = cross_val_per_class_accuracy(pipe, X, y)
    assert result.table.loc["tech", "correct"] > plain.table.loc["tech", "correct"]


def test_groups_are_routed_to_the_splitter(routing):
    groups = np.arange(150) % 5
    result = cross_val_per_class_accuracy(
        GaussianNB(), X, y, cv=sklearn.model_selection.GroupKFold(5), params={"groups": groups}
    )
    assert len(result.folds) == 5
    assert result.table.loc["overall", "support"] == 150


@pytest.mark.parametrize("clf", CLASSIFIERS, ids=lambda clf: type(clf).__name__)
def test_cross_validation_works_for_any_classifier(clf):
    frame = pd.DataFrame(X, columns=["length", "width"])
    result = cross_val_per_class_accuracy(clf, frame, pd.Series(y, dtype="category"), cv=3)
    counts = result.table.loc["overall"]
    assert counts["correct"] == np.trace(result.confusion.to_numpy())
    assert counts["accuracy"] > 0.6


def test_cross_validation_works_on_a_precomputed_kernel():
    from sklearn.svm import SVC

    kernel = X @ X.T
    result = cross_val_per_class_accuracy(SVC(kernel="precomputed"), kernel, y)
    direct = cross_validate(SVC(kernel="linear"), X, y)
    assert result.folds["overall"].tolist() == direct["test_score"].tolist()


def test_a_search_is_cross_validated_too():
    search = GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 1.0]}, cv=2)
    result = cross_val_per_class_accuracy(search, X, y, cv=2)
    assert result.table.loc["overall", "support"] == 150
