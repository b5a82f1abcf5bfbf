"""Common mistakes in cross-validations, and correct counterparts."""

import numpy as np
import pandas as pd
import torch
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneOut,
    RepeatedStratifiedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from torch import nn

from sktorch_acc import PerClassAccuracyScoring, TorchClassifier, audit_cross_validation, per_class_accuracy_scorers

X, numbers = load_iris(return_X_y=True)  # sorted: 50 samples of each class
X = X[:, :2]  # with some wrong predictions
Y = np.array(["setosa", "versicolor", "virginica"])[numbers]
TWO = np.where(Y == "setosa", "yes", "no")
NB = GaussianNB()
LR = LogisticRegression(max_iter=500)
MARKED = 7  # a sample on which the classifiers and modules below fail
MARK = X.copy()
MARK[MARKED] = 99.0


def audit(estimator=NB, X=X, y=Y, **settings):
    return audit_cross_validation(estimator, X, y, **settings)


def seen(X):
    return (np.asarray(X) == 99.0).any()


class FailsInFit(GaussianNB):
    def fit(self, X, y, sample_weight=None):
        if not seen(X):
            raise ArithmeticError("the fold lacks the marked sample\nand a second line")
        return super().fit(X, y, sample_weight)


class ReturnsNothing(GaussianNB):
    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)


class FailsInPredict(GaussianNB):
    def predict(self, X):
        if seen(X):
            raise ArithmeticError("the marked sample")
        return super().predict(X)


class FailsInForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x):
        if self.training and not (x == 99.0).any():
            raise ArithmeticError("the batch lacks the marked sample")
        return self.layer(x / 10)


class Untagged(BaseEstimator):
    """Without ClassifierMixin, so that scikit-learn does not recognise a classifier."""

    def fit(self, X, y):
        self.inner_ = GaussianNB().fit(X, y)
        return self

    def predict(self, X):
        return self.inner_.predict(X)

    def score(self, X, y):
        return self.inner_.score(X, y)


class MixinLast(BaseEstimator, ClassifierMixin):
    """The tags of BaseEstimator win, without those of a classifier."""

    def fit(self, X, y):
        self.inner_ = GaussianNB().fit(X, y)
        return self

    def predict(self, X):
        return self.inner_.predict(X)


# ------------------------------------------------------------------ scorers


def fails_on_the_mark(estimator, X, y):
    if seen(X):
        raise KeyError("nothing for the marked sample")
    return 0.5


def nan_on_the_mark(estimator, X, y):
    return np.nan if seen(X) else 0.5


def no_number(estimator, X, y):
    return f1_score(y, estimator.predict(X), average=None)


def recalls(estimator, X, y):
    """The keys are the classes of the fold."""
    return {f"acc_{label}": np.mean(estimator.predict(X[y == label]) == label) for label in np.unique(y)}


def recalls_that_fail(estimator, X, y):
    if seen(X):
        raise KeyError("nothing for the marked sample")
    return recalls(estimator, X, y)


def number_or_dict(estimator, X, y):
    return {"a": 1.0} if seen(X) else 1.0


def dict_or_number(estimator, X, y):
    return 1.0 if seen(X) else {"a": 1.0}


def always_the_same(estimator, X, y):
    return {"a": 1.0, "b": np.float32(0.5), "c": torch.tensor(0.5)}


# ------------------------------------------------------------------ folds

rows = np.arange(150)
# Every fold is fitted on all classes, but the first tests none of the last class, or nothing else.
WITHOUT_LAST = [(rows[1::2], rows[:100:2]), (rows[::2], rows[1::2])]
LATE = [WITHOUT_LAST[1], WITHOUT_LAST[0]]
UNEVEN = [(np.delete(rows, np.s_[::2]), rows[::2]), (np.delete(rows, np.s_[101:150:8]), rows[101:150:8])]
GROUPS = np.repeat([0, 1, 2], [100, 40, 10])[np.random.default_rng(1).permutation(150)]
BY_GROUP = list(GroupKFold(3).split(X, Y, GROUPS))
HALVES = [(rows[::2], rows[1::2]), (rows[1::2], rows[::2])]
SIX = np.r_[0:6, 50:56, 100:106]


def net(module):
    return TorchClassifier(module, max_epochs=1, batch_size=150, random_state=0, diagnose="off")


FOLDS = {
    "NaN in X": ("ACC-G2", lambda: audit(LR, np.where(X > 5, np.nan, X))),
    "text in X": ("ACC-G2", lambda: audit(make_pipeline(StandardScaler(), LR), X.astype(str).astype(object) + "cm")),
    "fit fails in one fold": ("ACC-G2", lambda: audit(FailsInFit(), MARK)),
    "fit of a pipeline fails in one fold": ("ACC-G2", lambda: audit(make_pipeline(FailsInFit()), MARK)),
    "a module fails in one fold": (
        "ACC-G2",
        lambda: audit(net(FailsInForward()), MARK.astype("float32"), cv=3),
    ),
    "a module that the probe refuses": (
        "ACC-G2",
        lambda: audit(net(nn.Sequential(nn.Linear(2, 3), nn.Softmax(dim=1))), X.astype("float32"), cv=2),
    ),
    "predict fails in one fold": ("ACC-G2", lambda: audit(FailsInPredict(), MARK)),
    "predict fails under several scorers": (
        "ACC-G2",
        lambda: audit(FailsInPredict(), MARK, scoring=["accuracy", "f1_macro"]),
    ),
    "predict fails under a callable": (
        "ACC-G2",
        lambda: audit(FailsInPredict(), MARK, scoring=PerClassAccuracyScoring(Y)),
    ),
    "precision of three classes": ("ACC-G2", lambda: audit(scoring="precision")),
    "roc_auc of three classes": ("ACC-G2", lambda: audit(scoring="roc_auc")),
    "f1 of text labels": ("ACC-G2", lambda: audit(y=TWO, scoring="f1")),
    "a wrong pos_label": ("ACC-G2", lambda: audit(y=TWO, scoring=make_scorer(f1_score, pos_label="ja"))),
    "brier of text labels": ("ACC-G2", lambda: audit(y=TWO, scoring="neg_brier_score")),
    "probabilities of a classifier that has none": ("ACC-G2", lambda: audit(LinearSVC(), scoring="neg_log_loss")),
    "several scorers, of which some fail": ("ACC-G2", lambda: audit(scoring=["accuracy", "precision", "recall"])),
    "several scorers, of which one lacks a method": (
        "ACC-G2",
        lambda: audit(LinearSVC(), scoring=["accuracy", "f1_macro", "neg_log_loss"]),
    ),
    "a scorer fails in one fold": ("ACC-G2", lambda: audit(X=MARK, scoring=fails_on_the_mark)),
    "a scorer of a dict fails in one fold": (
        "ACC-G2",
        lambda: audit(X=MARK, scoring={"own": fails_on_the_mark, "acc": "accuracy"}),
    ),
    "a scorer of many fails in one fold": ("ACC-G2", lambda: audit(X=MARK, scoring=recalls_that_fail)),
    "a scorer without a number": ("ACC-G2", lambda: audit(scoring=no_number)),
    "NaN in one fold": ("ACC-G2", lambda: audit(X=MARK, scoring=nan_on_the_mark)),
    "a search of which all fits fail": (
        "ACC-G2",
        lambda: audit(GridSearchCV(LR, {"C": [1.0]}, cv=2), np.where(X > 5, np.nan, X), cv=2),
    ),
    "names that a fold lacks": ("ACC-G3", lambda: audit(scoring=recalls, cv=LATE)),
    "names that the first fold lacks": ("ACC-G3", lambda: audit(scoring=recalls, cv=WITHOUT_LAST)),
    "a number, then a dict": ("ACC-G3", lambda: audit(X=MARK, scoring=number_or_dict, cv=HALVES)),
    "a dict, then a number": ("ACC-G3", lambda: audit(X=MARK, scoring=dict_or_number, cv=HALVES)),
    "uneven folds": ("ACC-A13", lambda: audit(cv=UNEVEN)),
    "uneven groups": ("ACC-A13", lambda: audit(cv=BY_GROUP)),
    "uneven folds under another name": (
        "ACC-A13",
        lambda: audit(cv=UNEVEN, scoring={"f": "f1_macro", "a": "accuracy"}),
    ),
    "no tag": ("ACC-G1", lambda: audit(Untagged(), cv=3)),
    "no tag, five folds": ("ACC-G1", lambda: audit(Untagged())),
    "no tag at the end of a pipeline": ("ACC-G1", lambda: audit(make_pipeline(StandardScaler(), Untagged()), cv=3)),
    "the mixin last": ("ACC-G1", lambda: audit(MixinLast(), cv=3)),
    "sorted labels, split in their order": ("ACC-D8", lambda: audit(cv=KFold(3))),
    "sorted labels in time": ("ACC-D8", lambda: audit(cv=TimeSeriesSplit(2))),
}

CLEAN_FOLDS = {
    "a fit that returns nothing": lambda: audit(ReturnsNothing()),
    "groups": lambda: audit(groups=rows % 5, cv=GroupKFold(5)),
    "the default": lambda: audit(),
    "a name": lambda: audit(LR, scoring="balanced_accuracy"),
    "a list": lambda: audit(LR, scoring=["accuracy", "precision_macro", "roc_auc_ovr"]),
    "a tuple": lambda: audit(scoring=("accuracy", "f1_weighted")),
    "a dict": lambda: audit(scoring={"a": "accuracy", "f": make_scorer(f1_score, average="macro")}),
    "a callable": lambda: audit(scoring=make_scorer(f1_score, average="macro")),
    "a callable of a dict": lambda: audit(scoring=always_the_same),
    "f1 with its label": lambda: audit(y=TWO, scoring=make_scorer(f1_score, pos_label="yes")),
    "f1 of 0 and 1": lambda: audit(y=(TWO == "yes").astype(int), scoring="f1"),
    "our scorers": lambda: audit(scoring=per_class_accuracy_scorers(Y)),
    "our callable": lambda: audit(scoring=PerClassAccuracyScoring(Y)),
    "names that are in every fold": lambda: audit(scoring=recalls),
    "a pipeline": lambda: audit(make_pipeline(StandardScaler(), LR)),
    "a search": lambda: audit(GridSearchCV(NB, {"var_smoothing": [1e-9, 1.0]}, cv=2), cv=2),
    "a module": lambda: audit(net(nn.Linear(2, 3)), X.astype("float32"), cv=3),
    "a kernel": lambda: audit(SVC(kernel="precomputed"), X @ X.T),
    "sparse": lambda: audit(LR, csr_matrix(X)),
    "pandas": lambda: audit(X=pd.DataFrame(X), y=pd.Series(Y, dtype="category")),
    "weights": lambda: audit(params={"sample_weight": np.linspace(1, 2, 150)}),
    "one column of labels": lambda: audit(LR, y=numbers.tolist()),
    "a marked sample that does not matter": lambda: audit(X=MARK),
    "a remainder": lambda: audit(X=X[::7], y=Y[::7], cv=KFold(5, shuffle=True, random_state=2)),
    "a stratified remainder": lambda: audit(X=X[:-3], y=Y[:-3], cv=4),
    "single samples": lambda: audit(X=X[SIX], y=Y[SIX], cv=LeaveOneOut()),
    "repeated": lambda: audit(cv=RepeatedStratifiedKFold(n_splits=3, n_repeats=2, random_state=0)),
    "shuffled": lambda: audit(cv=ShuffleSplit(3, random_state=0)),
    "uneven, but without accuracy": lambda: audit(cv=UNEVEN, scoring="f1_macro"),
    "even groups": lambda: audit(cv=list(GroupKFold(5).split(X, Y, rows % 5))),
    "no tag, but stratified": lambda: audit(Untagged(), cv=StratifiedKFold(3)),
    "one class": lambda: audit(y=np.zeros(150)),
    "one class without a tag": lambda: audit(Untagged(), y=np.zeros(150)),
}
