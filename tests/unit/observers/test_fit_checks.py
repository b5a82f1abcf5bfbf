"""The checks of `fit`: each error built for real, reported once a fit, at the line of the user."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sktorch_acc import AccuracyWarning, SktorchAccError, TorchClassifier
from sktorch_acc.engine.history import EpochRow
from sktorch_acc.observers.fit_checks import FitChecks
from tests.fits import examples, prepared
from tests.modules import DropNorm, Sequences

rng = np.random.default_rng(0)
X = rng.standard_normal((300, 5)).astype("float32")
Y = np.array(["cat", "dog", "fox"])[(X[:, :3] + 0.3 * rng.standard_normal((300, 3))).argmax(axis=1)]
INCOME = X * [1, 1, 1, 1, 30_000]
BINS = (X[:, :2] > 0).astype("float32")  # four different rows
RARE = np.where(rng.random(300) < 0.06, "ill", "well")
NOISE = rng.choice(["a", "b", "c"], 300)


def slow_norm(n_features, n_classes):
    return nn.Sequential(
        nn.Linear(n_features, 16), nn.BatchNorm1d(16, momentum=1e-5), nn.ReLU(), nn.Linear(16, n_classes)
    )


def classifier(module=None, **settings):
    settings = {"max_epochs": 12, "lr": 0.01, "batch_size": 32, "random_state": 0, **settings}
    return TorchClassifier(module, **settings)


MISTAKES = {
    "income beside age": ("ACC-D4", INCOME, Y, {"max_epochs": 1}, "column 4 has a standard deviation of"),
    "at the ceiling of four different rows": ("ACC-D6", BINS, Y, {}, "No model can exceed 0.6500"),
    "the same, sparse": ("ACC-D6", scipy.sparse.csr_array(BINS), Y, {}, "No model can exceed 0.6500"),
    "the majority alone": ("ACC-D7", X, RARE, {"max_epochs": 5}, r"accuracy is 0 for \['ill'\]"),
    "noise": ("ACC-F1", X, NOISE, {"module": lambda: nn.Linear(5, 3), "lr": 1e-4}, "too little, was learnt"),
    "slow batch norm": ("ACC-E5", X * 3 + 40, Y, {"module": slow_norm}, "with batch statistics"),
}


def test_rows_are_compared_as_the_module_sees_them_dense_or_sparse():
    almost = BINS + 1 + 1e-12 * rng.standard_normal(BINS.shape)  # float64; the module computes in float32
    for rows in (almost, scipy.sparse.csr_array(almost)):
        with pytest.warns(AccuracyWarning, match=r"No model can exceed 0\.6500"):
            classifier(lambda: nn.Sequential(nn.Linear(2, 64), nn.ReLU(), nn.Linear(64, 3))).fit(rows, Y)


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_named_once_with_its_code_at_the_users_line(case):
    code, features, y, settings, message = MISTAKES[case]
    with pytest.warns(AccuracyWarning, match=message) as caught:
        classifier(**settings).fit(features, y)
    assert [warning.message.code for warning in caught] == [code]
    assert caught[0].filename == __file__


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_can_be_an_error_and_leaves_nothing_fitted(case):
    code, features, y, settings, message = MISTAKES[case]
    clf = classifier(**settings, diagnose="raise")
    with pytest.raises(SktorchAccError, match=message) as caught:
        clf.fit(features, y)
    assert caught.value.code == code
    assert not hasattr(clf, "classes_")


@pytest.mark.parametrize("case", MISTAKES)
def test_off_means_off(case):
    _, features, y, settings, _ = MISTAKES[case]
    classifier(**settings, diagnose="off").fit(features, y)


# Every one of these would fail on a warning: pytest makes them errors.
CLEAN = {
    "ordinary rows": (X, Y, {}),
    "one step": (X, Y, {"max_epochs": 1, "batch_size": 300}),
    "two epochs on noise": (X, NOISE, {"max_epochs": 2, "lr": 1e-5}),
    "few rows of random integers": (rng.integers(0, 9, (50, 3)), NOISE[:50], {}),
    "few steps on rare labels": (X[:60], RARE[:60], {"max_epochs": 5}),
    "categories far below their ceiling": (BINS, Y, {"max_epochs": 1, "lr": 1e-6}),
    "repeated rows with one label": (np.repeat(X[:60], 5, axis=0), np.repeat(Y[:60], 5), {}),
    "an indicator column of any size": (np.c_[X, 1e4 * (X[:, 0] > 0)], Y, {"max_epochs": 3}),
    "one column of eleven that hardly varies": (np.c_[X, X, 1e-4 * X[:, :1]], Y, {}),
    "batch norm comes first": (INCOME, Y, {"module": lambda: nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 3))}),
    "batch norm and dropout": (X, Y, {"module": DropNorm}),
    "balanced weights": (X, np.where(X[:, 0] > 1.3, "ill", "well"), {"class_weight": "balanced"}),
    "one label": (X, np.full(300, "cat"), {}),
    "tokens": (torch.as_tensor(rng.integers(0, 20, (300, 6))), NOISE, {"module": Sequences, "max_epochs": 2}),
    "no accuracy recorded": (BINS, Y, {"train_accuracy": None}),
    "images": (X[:, :4].reshape(300, 1, 2, 2), Y, {"module": nn.Sequential(nn.Flatten(), nn.Linear(4, 3))}),
}


@pytest.mark.parametrize("case", CLEAN)
def test_legitimate_fits_hear_nothing(case):
    features, y, settings = CLEAN[case]
    classifier(**settings).fit(features, y)


def test_the_sparse_rows_of_income_are_seen_too():
    from scipy.sparse import csr_array

    with pytest.warns(AccuracyWarning, match="ACC-D4"):
        classifier(max_epochs=1).fit(csr_array(INCOME), Y)


def test_named_columns_are_named():
    import pandas as pd

    frame = pd.DataFrame(INCOME, columns=["age", "hours", "tenure", "rooms", "income"])
    with pytest.warns(AccuracyWarning, match="income has a standard deviation"):
        classifier(max_epochs=1).fit(frame, Y)


def test_scaling_in_a_pipeline_is_the_end_of_it():
    assert cross_val_score(make_pipeline(StandardScaler(), classifier()), INCOME, Y, error_score="raise").min() > 0.6


def test_a_warning_inside_cross_validation_points_at_the_users_line():
    with pytest.warns(AccuracyWarning, match="ACC-D4") as caught:
        cross_val_score(classifier(max_epochs=1), INCOME, Y, cv=2)
    assert {warning.filename for warning in caught} == {__file__}
    assert len(caught) == 2


def test_partial_fit_is_not_judged():
    clf = classifier()
    for _ in range(6):
        clf.partial_fit(INCOME, Y, classes=["cat", "dog", "fox"])


def test_looking_changes_no_weight():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        loud, quiet = (classifier(DropNorm, diagnose=level).fit(INCOME, Y) for level in ("warn", "off"))
    assert np.array_equal(loud.predict_proba(INCOME), quiet.predict_proba(INCOME))


class Drops(nn.Linear):
    """Random in evaluation mode, behind weights that are zero; counts its calls."""

    def __init__(self, n_features, n_classes):
        super().__init__(n_features, n_classes)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, X):
        self.calls += 1
        return super().forward(nn.functional.dropout(X, 0.5) + float(np.random.rand()))  # noqa: NPY002


def test_the_passes_after_the_training_change_neither_module_nor_generators():
    fit = prepared(Drops, examples(), max_epochs=1)
    module = fit.model.module
    fit.state.epoch, fit.state.best_epoch = 5, 5
    fit.state.rows[:] = [EpochRow(epoch, {}, {}, {}) for epoch in range(1, 6)]
    with torch.no_grad():
        module.weight.fill_(1.0)
    fit = replace(fit, first=replace(fit.first, samples=torch.zeros(3, 2), finding=None))
    calls, drawn = module.calls.clone(), (torch.get_rng_state(), np.random.get_state()[1].tolist())  # noqa: NPY002
    with pytest.warns(AccuracyWarning, match="ACC-E11"):
        FitChecks("warn", None).result(fit)
    assert torch.equal(module.calls, calls)
    assert torch.equal(torch.get_rng_state(), drawn[0])
    assert np.random.get_state()[1].tolist() == drawn[1]  # noqa: NPY002
