"""Each error in a cross-validation is built, exactly its code is reported, and the messages are true."""

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning, NotFittedError, UndefinedMetricWarning
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneOut,
    RepeatedStratifiedKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktorch_acc import Diagnosis, PerClassAccuracyScoring, audit_cross_validation, per_class_accuracy_scorers
from tests.mistakes.folds import (
    BY_GROUP,
    CLEAN_FOLDS,
    FOLDS,
    GROUPS,
    HALVES,
    LATE,
    LR,
    MARK,
    NB,
    TWO,
    UNEVEN,
    WITHOUT_LAST,
    FailsInFit,
    FailsInPredict,
    Untagged,
    X,
    Y,
    audit,
    dict_or_number,
    fails_on_the_mark,
    nan_on_the_mark,
    number_or_dict,
    recalls,
    seen,
)


@pytest.mark.parametrize("case", FOLDS)
def test_an_error_is_reported_with_its_code_and_no_other(case):
    code, made = FOLDS[case]
    diagnosis = made()
    assert isinstance(diagnosis, Diagnosis)
    assert len(diagnosis.findings) == 1, diagnosis
    assert diagnosis.codes == [code], diagnosis
    assert f"[{code}]" in str(diagnosis)


@pytest.mark.parametrize("case", CLEAN_FOLDS)
def test_nothing_is_found_where_nothing_is_wrong(case):
    diagnosis = CLEAN_FOLDS[case]()
    assert diagnosis.findings == (), diagnosis
    assert str(diagnosis).endswith("nothing found.")


# ------------------------------------------------------------------ G2: which fold, what raised, what to do


def said(**settings):
    (finding,) = audit(**settings).findings
    return finding.message, finding.advice


def test_a_failure_names_fold_error_stage_and_number_of_folds():
    message, advice = said(estimator=FailsInFit(), X=MARK, cv=[HALVES[1], HALVES[0], HALVES[0]])
    assert message == (
        "Fold 1 failed: ArithmeticError: the fold lacks the marked sample. Raised by fit in 2 of 3 folds."
    )
    assert advice == "See the whole traceback: cross_validate(..., error_score='raise')."


@pytest.mark.parametrize("scoring", [None, "f1_macro", ["accuracy", "f1_macro"], PerClassAccuracyScoring(Y)])
def test_a_scorer_that_raises_because_predict_does_is_not_reported(scoring):
    message, _ = said(estimator=FailsInPredict(), X=MARK, scoring=scoring)
    assert message.endswith("failed: ArithmeticError: the marked sample. Raised by predict in 1 of 5 folds.")


def test_the_scorer_that_raises_is_named():
    assert "Raised by the scorer 'fails_on_the_mark' in 1 of" in said(X=MARK, scoring=fails_on_the_mark)[0]
    assert "Raised by the scorer 'own' in 1 of" in said(X=MARK, scoring={"own": fails_on_the_mark, "a": "accuracy"})[0]
    both = "Raised by the scorers ['precision', 'recall'], or one of them, in 5 of"
    assert both in said(scoring=["recall_macro", "precision", "recall"])[0]


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        ({"scoring": "precision"}, "scoring='precision_macro'"),
        ({"scoring": {"own": "f1"}}, "use average='macro'"),
        ({"scoring": "roc_auc"}, "scoring='roc_auc_ovr'"),
        ({"y": TWO, "scoring": "recall"}, "make_scorer(f1_score, pos_label='yes')"),
        ({"estimator": LR, "X": np.where(X > 5, np.nan, X)}, "SimpleImputer"),
        ({"scoring": "neg_log_loss", "cv": LATE}, "StratifiedKFold or fewer folds"),
    ],
)
def test_the_advice_fits_the_cause(settings, advice):
    assert advice in said(**settings)[1]


def test_the_advice_of_a_macro_average_works():
    assert audit(scoring="precision_macro").findings == ()
    assert audit(scoring="roc_auc_ovr").findings == ()


def test_a_fold_of_one_class_is_named_with_the_failure_that_it_causes():
    half = Y != "virginica"
    diagnosis = audit(LogisticRegression(), X[half], Y[half], cv=KFold(2))
    assert diagnosis.codes == ["ACC-G2", "ACC-D8"]
    assert diagnosis.findings[0].advice.startswith("Each fold was fitted on one class: use StratifiedKFold")


@pytest.mark.parametrize("scoring", ["roc_auc", {"auc": "roc_auc", "acc": "accuracy"}])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
def test_a_metric_that_is_undefined_in_a_fold_is_reported_as_nan(scoring):
    rows = np.arange(150)
    cv = [(rows[::2], rows[1:50:2]), (rows[::2], rows[1::2])]
    (finding,) = [f for f in audit(y=TWO, scoring=scoring, cv=cv).findings if f.code == "ACC-G2"]
    assert finding.severity == "warning"
    assert "is NaN, though nothing raised (1 of 2 folds); its test set has no samples of ['no']" in finding.message
    assert np.isnan(list(cross_validate(NB, X, TWO, scoring=scoring, cv=cv).values())[2]).tolist() == [True, False]


def test_an_undefined_metric_with_warnings_as_errors_is_reported_as_the_error():
    rows = np.arange(150)
    message, _ = said(y=TWO, scoring="roc_auc", cv=[(rows[::2], rows[1:50:2])])
    assert "UndefinedMetricWarning" in message


def test_scores_that_are_nan_in_the_same_folds_are_reported_together():
    def two(estimator, X, y):
        return {"a": np.nan if seen(X) else 1.0, "b": np.nan if seen(X) else 1.0, "c": 1.0}

    assert said(X=MARK, scoring=two)[0].startswith("Fold 0's scores ['a', 'b'] are NaN, though nothing raised (1 of 5")


@pytest.mark.parametrize("scoring", [per_class_accuracy_scorers(Y), PerClassAccuracyScoring(Y)], ids=["dict", "one"])
@pytest.mark.parametrize("cv", [WITHOUT_LAST, LATE, KFold(3), LeaveOneOut()], ids=str)
def test_per_class_scorers_never_raise_and_keep_their_names_if_folds_lack_classes(scoring, cv):
    rows = np.r_[0:150:10] if isinstance(cv, LeaveOneOut) else np.arange(150)
    diagnosis = audit(X=X[rows], y=Y[rows], scoring=scoring, cv=cv)
    assert "ACC-G3" not in diagnosis.codes
    assert "ACC-G2" in diagnosis.codes  # as a warning: a class without rows scores NaN
    assert [f.message for f in diagnosis.findings if f.severity == "error"] == []


class Told(GaussianNB):
    """Raises the given error in predict."""

    def __init__(self, error=None, priors=None, var_smoothing=1e-9):
        super().__init__(priors=priors, var_smoothing=var_smoothing)
        self.error = error

    def score(self, X, y):
        raise self.error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("first\nsecond"), "ValueError: first"),
        (ValueError("\n  first line\nsecond"), "ValueError: first line"),
        (ValueError("a: b: c"), "ValueError: a: b: c"),
        (ValueError(), "ValueError"),
        (KeyError("a"), "KeyError: 'a'"),
        (NotFittedError("not yet"), "NotFittedError: not yet"),
        (ValueError("Traceback (most recent call last):\n  File x\nKeyError: 'y'"), "ValueError: Traceback"),
        (ExceptionGroup("both", [ValueError("a"), KeyError("b")]), "ExceptionGroup: both"),
    ],
    ids=repr,
)
def test_the_first_line_is_reported_for_any_form_of_the_message(error, line):
    def scorer(estimator, X, y):
        raise error

    assert said(scoring=scorer)[0].startswith(f"Fold 0 failed: {line}")
    assert said(estimator=Told(error))[0].startswith(f"Fold 0 failed: {line}")
    if not isinstance(error, ExceptionGroup) and "Traceback" not in str(error):
        several = {"bad": scorer, "acc": "accuracy"}
        assert said(scoring=several)[0].startswith(f"Fold 0 failed: {line}")


# ------------------------------------------------------------------ the behaviour of scikit-learn


def scores_of(scoring, cv=HALVES, X=MARK):
    return cross_validate(NB, X, Y, scoring=scoring, cv=cv)


def test_scikit_learn_treats_unequal_names_as_reported():
    assert "test_acc_virginica" not in scores_of(recalls, WITHOUT_LAST)
    assert said(scoring=recalls, cv=WITHOUT_LAST)[0].endswith(
        "scikit-learn takes the names of fold 0 and silently drops ['acc_virginica']."
    )
    with pytest.raises(KeyError, match="acc_virginica"):
        scores_of(recalls, LATE)
    assert "takes the names of fold 0 and raises KeyError: 'acc_virginica'" in said(scoring=recalls, cv=LATE)[0]


def test_scikit_learn_treats_numbers_among_dicts_as_reported():
    with pytest.raises(TypeError, match="'float' object is not subscriptable"):
        scores_of(number_or_dict)
    assert (
        "a number in fold 1, a dict in fold 0. scikit-learn raises TypeError"
        in (said(X=MARK, scoring=number_or_dict, cv=HALVES)[0])
    )
    assert scores_of(dict_or_number)["test_score"].dtype == object
    assert "scikit-learn returns an array of objects" in said(X=MARK, scoring=dict_or_number, cv=HALVES)[0]


def test_scikit_learn_treats_failures_as_the_page_says():
    with pytest.warns(UserWarning, match="Scoring failed"):
        assert np.isnan(cross_val_score(NB, X, Y, scoring="f1")).all()
    with pytest.warns(FitFailedWarning, match="1 fits failed out of a total of 5"):
        assert np.isnan(cross_val_score(FailsInFit(), MARK, Y)).tolist() == [True, *[False] * 4]
    with pytest.raises(ValueError, match="All the 5 fits failed"):
        cross_val_score(LR, np.where(X > 5, np.nan, X), Y)
    assert cross_val_score(Untagged(), X, Y, cv=3).tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(cross_val_score(NB, MARK, Y, scoring=nan_on_the_mark)).sum() == 1


# ------------------------------------------------------------------ A13


def test_mean_and_pooled_accuracy_are_those_of_scikit_learn():
    message, _ = said(cv=BY_GROUP)
    mean = cross_val_score(NB, X, Y, cv=BY_GROUP).mean()
    right = sum((clone(NB).fit(X[train], Y[train]).predict(X[test]) == Y[test]).sum() for train, test in BY_GROUP)
    assert message.startswith(f"Mean of folds {mean:.4f}; pooled {right}/150 = {right / 150:.4f}: ")
    assert "the test sets have 10 to 100 samples" in message
    assert "distinct" not in message
    assert "in no test set" not in message


def test_samples_tested_twice_or_never_are_counted_separately():
    message, _ = said(cv=[*UNEVEN, UNEVEN[1]])
    assert "These 89 predictions are for 82 samples. 68 of 150 samples are in no test set." in message


def test_weighted_scores_are_not_taken_for_the_accuracy():
    weight = np.linspace(0.1, 3, 150)
    with sklearn.config_context(enable_metadata_routing=True):
        clf = GaussianNB().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        assert audit(clf, cv=UNEVEN, params={"sample_weight": weight}).codes == []
        clf.set_score_request(sample_weight=False)
        assert audit(clf, cv=UNEVEN, params={"sample_weight": weight}).codes == ["ACC-A13"]


# ------------------------------------------------------------------ G1


def test_an_estimator_without_a_tag_is_an_error_only_if_folds_lack_a_class():
    (finding,) = audit(Untagged(), cv=3).findings
    assert finding.severity == "error"
    assert "cv=3 means KFold(3)" in finding.message
    assert "3 of 3 folds are fitted without a class" in finding.message
    order = np.random.default_rng(0).permutation(150)
    (finding,) = audit(Untagged(), X[order], Y[order]).findings
    assert finding.severity == "warning"
    assert "cv=None means KFold(5)" in finding.message


# ------------------------------------------------------------------ equal to the user's own cross-validation


class Log(GaussianNB):
    """Records its training data."""

    fits = []  # noqa: RUF012

    def fit(self, X, y, sample_weight=None):
        type(self).fits.append((X.tolist(), y.tolist(), None if sample_weight is None else sample_weight.tolist()))
        return super().fit(X, y, sample_weight)


def test_every_fold_is_fitted_once_on_its_samples_and_nothing_is_stored():
    clf, weight = Log(), np.arange(150.0) + 1
    Log.fits = []
    cross_validate(clf, X, Y, cv=3, params={"sample_weight": weight})
    expected, Log.fits = Log.fits, []
    before = dict(vars(clf))
    assert audit(clf, cv=3, params={"sample_weight": weight}).findings == ()
    assert Log.fits == expected
    assert vars(clf) == before


def test_a_random_state_gives_the_scores_of_cross_validate():
    seen_by = []

    def scorer(estimator, X, y):
        seen_by.append(estimator.score(X, y))
        return seen_by[-1]

    from sklearn.ensemble import RandomForestClassifier

    clf = RandomForestClassifier(3, random_state=np.random.RandomState(0))
    cross_validate(clf, X, Y, scoring=scorer)
    audit(clf, scoring=scorer)
    assert seen_by[:5] == seen_by[5:]


def test_scorers_of_a_dict_still_share_their_predictions():
    calls = []

    class Counted(GaussianNB):
        def predict(self, X):
            calls.append(len(X))
            return super().predict(X)

    audit(Counted(), cv=3, scoring=["accuracy", "f1_macro", "recall_macro"])
    assert len(calls) == 6  # once for the scorers and once for the counts, in each fold


def test_metadata_is_routed_to_fit_scorers_and_splitter():
    weight = np.where(Y == "virginica", 50.0, 1.0)
    got = []

    def weighed(y_true, y_pred, sample_weight=None):
        got.append(sample_weight.sum())
        return accuracy_score(y_true, y_pred, sample_weight=sample_weight)

    with sklearn.config_context(enable_metadata_routing=True):
        pipe = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=False), GaussianNB().set_fit_request(sample_weight=True)
        )
        asked = make_scorer(weighed).set_score_request(sample_weight=True)
        params = {"sample_weight": weight, "groups": GROUPS}
        unasked = make_scorer(accuracy_score).set_score_request(sample_weight=False)
        for scoring in (asked, {"w": asked, "acc": unasked}):
            got.clear()
            audit(pipe, cv=GroupKFold(3), scoring=scoring, params=params)
            ours = list(got)
            got.clear()
            cross_validate(pipe, X, Y, cv=GroupKFold(3), scoring=scoring, params=params)
            assert ours == got
        with pytest.raises(ValueError, match="sample_weight"):
            audit(GaussianNB(), params={"sample_weight": weight})


@pytest.mark.slow
def test_two_processes_find_the_same():
    # Without torch the workers start faster.
    hole = np.where(MARK == 99, np.nan, MARK)
    settings = {"X": hole, "cv": [*HALVES, (np.arange(8, 150), np.arange(8, 150))], "scoring": ["f1", "accuracy"]}
    one, two = audit(**settings), audit(**settings, n_jobs=2)
    assert one.findings == two.findings
    assert [finding.message.split(" Raised by ")[1] for finding in one.findings] == [
        "predict in 1 of 3 folds.",
        "fit in 1 of 3 folds.",
        "the scorer 'f1' in 1 of 3 folds.",
    ]
    assert str(one) == str(two)


def test_an_interrupt_is_not_a_failure():
    class Interrupted(GaussianNB):
        def fit(self, X, y):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit(Interrupted())

    def interrupt(estimator, X, y):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit(scoring=interrupt)


def test_findings_come_with_errors_first_and_as_a_table():
    diagnosis = audit(LR, cv=[*UNEVEN, (np.arange(100), np.arange(100, 150))], scoring=["accuracy", "f1"])
    assert diagnosis.codes == ["ACC-G2", "ACC-D8", "ACC-A13"]
    assert diagnosis.subject == "LogisticRegression, 3 folds over 150 rows"
    frame = diagnosis.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert frame["severity"].tolist() == ["error", "warning", "info"]


# ------------------------------------------------------------------ arguments


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.where(Y == "setosa", np.nan, 1.0), "y contains NaN or None: 50 of 150 labels are missing"),
        (np.column_stack([Y, Y]), r"y has shape \(150, 2\): it is one-hot, multilabel or scores"),
        (np.linspace(0, 1, 150), "y must hold class labels, but it is continuous"),
        (Y[:100], r"inconsistent numbers of samples: \[150, 100\]"),
    ],
)
def test_invalid_labels_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        audit(y=y)


def test_too_few_samples_are_refused_as_by_scikit_learn():
    with pytest.raises(ValueError, match="0 sample"):
        audit(X=X[:0], y=Y[:0])
    with pytest.raises(ValueError, match="greater than the number of samples"):
        audit(X=X[:1], y=Y[:1])
    with pytest.raises(ValueError, match="LeaveOneOut"):
        audit(X=X[:1], y=Y[:1], cv=LeaveOneOut())


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (LogisticRegression, r"Got the class LogisticRegression: pass an instance, LogisticRegression\(\)"),
        (torch.nn.Linear(2, 3), "Got the module Linear: pass TorchClassifier around it"),
        ("LogisticRegression", "Got str, which lacks"),
        (StandardScaler(), "Got StandardScaler, which lacks"),
        (LinearRegression(), "must be a classifier. Got LinearRegression, a regressor"),
    ],
)
def test_an_object_that_is_not_a_classifier_is_refused(estimator, message):
    with pytest.raises(TypeError, match=message):
        audit_cross_validation(estimator, X, Y)


@pytest.mark.parametrize("scoring", ["accuracies", accuracy_score, [], {}, ["accuracy", "accuracy"], 5])
def test_scoring_that_scikit_learn_refuses_is_refused(scoring):
    with pytest.raises(ValueError, match=r"scor|list|dict"):
        audit(scoring=scoring)


def test_repeated_folds_have_equal_sizes():
    assert audit(cv=RepeatedStratifiedKFold(n_splits=7, n_repeats=2, random_state=0)).codes == []


def test_a_warning_of_a_metric_reaches_the_user():
    rows = np.arange(150)
    with pytest.warns(UndefinedMetricWarning):
        audit(y=TWO, scoring="roc_auc", cv=[(rows[::2], rows[1:50:2])])


def test_a_part_may_be_a_mask():
    rows = np.arange(150)
    parts = [(rows >= 20, rows < 20), (rows < 20, rows >= 20)]  # the second cannot know two of the classes
    by_mask = audit_cross_validation(NB, X, Y, cv=parts)
    by_index = audit_cross_validation(NB, X, Y, cv=[tuple(map(np.flatnonzero, part)) for part in parts])
    assert by_mask.findings == by_index.findings
    assert "pooled" in by_mask.findings[-1].message
    assert by_mask.codes == ["ACC-D8", "ACC-A13"]


class UnspeakableError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class FailsWithoutWords(GaussianNB):
    def fit(self, X, y, sample_weight=None):
        raise UnspeakableError


def test_an_exception_without_a_message_is_reported_by_its_type():
    message = said(estimator=FailsWithoutWords())[0]
    assert message.startswith("Fold 0 failed: UnspeakableError. Raised by fit in 5 of 5 folds.")
