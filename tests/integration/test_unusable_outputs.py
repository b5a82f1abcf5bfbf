"""Outputs that are no probabilities are refused: in the probe, after the last epoch, and in every prediction."""

import math
import pickle

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, roc_auc_score
from torch import nn

from sktorch_acc import ModuleOutputError, TorchClassifier, diagnose
from sktorch_acc.exceptions import InputError, SktorchAccError
from tests.fits import table

X = table(60, 4)
Y, TWO = np.arange(60) % 3, np.arange(60) % 2


class Squared(nn.Module):
    """A loss of any numbers, which the module's output may drift through."""

    def forward(self, output, target):
        one_hot = target if target.is_floating_point() else nn.functional.one_hot(target, 3)
        return ((output - one_hot) ** 2).mean()


class Shifts(nn.Module):
    """Changes its output from a number of training steps on; at first it is right."""

    def __init__(self, n_features, n_classes, right, wrong, after=3):
        super().__init__()
        self.layer, self.right, self.wrong, self.after = nn.Linear(n_features, n_classes), right, wrong, after
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, X):
        self.steps += self.training
        z = self.right(self.layer(X))
        if not self.training and self.steps >= self.after:
            z = torch.cat([self.wrong(z[:2]), z[2:]])
        return z


def softmax(z):
    return z.softmax(1)


def log_softmax(z):
    return z.log_softmax(1)


def same(z):
    return z


def inf(z):
    return z * 0 + torch.tensor([0.0, math.inf, 0.0])


def all_masked(z):
    return z - math.inf


def plus(z):
    return z + 0.6


DRIFTS = {
    "inf": ({"module__right": same, "module__wrong": inf}, "ACC-D5"),
    "every class masked": ({"module__right": same, "module__wrong": all_masked}, "ACC-D5"),
    "probabilities": (
        {"module__right": softmax, "module__wrong": plus, "output": "probabilities", "criterion": Squared},
        "ACC-C4",
    ),
    "log-probabilities": ({"module__right": log_softmax, "module__wrong": plus, "criterion": nn.NLLLoss}, "ACC-C2"),
}


def classifier(case, **settings):
    given, code = DRIFTS[case]
    return TorchClassifier(Shifts, **{"batch_size": 20, "max_epochs": 3, "random_state": 0, **given, **settings}), code


def with_weights_that_drifted(case):
    """An estimator that was fitted while its outputs were right, and whose module returns others now."""
    clf, code = classifier(case, module__after=10**9)
    clf.fit(X, Y)
    clf.module_.after = 0
    return clf, code


@pytest.mark.parametrize("case", DRIFTS)
def test_the_weights_that_a_fit_ends_with_are_refused(case):
    clf, code = classifier(case)
    with pytest.raises(SktorchAccError, match="for 2 of 60 samples, with the weights of epoch 3") as caught:
        clf.fit(X, Y)
    assert caught.value.code == code
    assert not hasattr(clf, "classes_")


@pytest.mark.parametrize("mode", [None, "running"])
@pytest.mark.parametrize("case", [case for case in DRIFTS if case.endswith("probabilities")])
def test_they_are_refused_too_where_no_epoch_was_evaluated(case, mode):
    clf, code = classifier(case, train_accuracy=mode)
    with pytest.raises(ModuleOutputError, match="for 2 of 20 samples, with the weights of epoch 3") as caught:
        clf.fit(X, Y)
    assert caught.value.code == code


@pytest.mark.parametrize("case", DRIFTS)
def test_what_drifts_among_the_validation_samples_is_refused(case):
    clf, code = classifier(case, train_accuracy=None, early_stopping=True, monitor="train_loss")
    with pytest.raises(SktorchAccError, match="of 80 samples") as caught:
        clf.fit(X, Y, X_val=X[:20], y_val=Y[:20])
    assert caught.value.code == code


@pytest.mark.parametrize("case", ["inf", "probabilities"])
def test_an_epoch_that_is_not_kept_may_drift(case):
    clf, _ = classifier(case, early_stopping=True, monitor="train_acc", n_iter_no_change=9, lr=1e-30, module__after=6)
    clf.fit(X, Y, X_val=X, y_val=Y)
    assert clf.best_epoch_ == 1
    assert clf.score(X, Y) == clf.history_.loc[1, "train_acc"]


@pytest.mark.parametrize("call", ["predict", "predict_proba", "predict_log_proba", "decision_function", "score"])
@pytest.mark.parametrize("case", DRIFTS)
def test_every_prediction_refuses_them_with_their_number(case, call):
    clf, code = with_weights_that_drifted(case)
    arguments = (X, Y) if call == "score" else (X,)
    for estimator in (clf, pickle.loads(pickle.dumps(clf))):
        with pytest.raises(SktorchAccError, match="for 2 of the rows 0 to 59") as caught:
            getattr(estimator, call)(*arguments)
        assert caught.value.code == code
        assert isinstance(caught.value, InputError if code == "ACC-D5" else ModuleOutputError)


@pytest.mark.parametrize("case", DRIFTS)
def test_the_net_of_callbacks_refuses_them_too(case):
    clf, code = with_weights_that_drifted(case)
    for call in (clf.net_.predict, clf.net_.predict_proba):
        with pytest.raises(SktorchAccError) as caught:
            call(X)
        assert caught.value.code == code


@pytest.mark.parametrize("case", DRIFTS)
def test_the_doctor_names_them(case):
    clf, code = with_weights_that_drifted(case)
    found = [finding for finding in diagnose(clf, X, Y).findings if finding.severity == "error"]
    expected = {"ACC-D5": "ACC-C3"}.get(code, code)  # in the probe
    assert [finding.code for finding in found] == [expected]
    assert "2 of 60 samples" in found[0].message


class Overflows(nn.Linear):
    """Right, but for samples whose first feature is large."""

    def forward(self, X):
        z = super().forward(X)
        return torch.where(X[:, :1] > 100, math.inf, z)


def test_the_doctor_names_them_beyond_its_probe():
    far = np.r_[X, X].copy()
    clf = TorchClassifier(Overflows, max_epochs=1, random_state=0).fit(far, np.r_[Y, Y])
    far[100, 0] = 1000.0
    [found] = [finding for finding in diagnose(clf, far, np.r_[Y, Y]).findings if finding.severity == "error"]
    assert found.code == "ACC-D5"
    assert "for 1 of 120 samples" in found.message


BEFORE = {
    "inf": ({"module": lambda n_features, n_classes: Shifts(n_features, n_classes, inf, same)}, "ACC-C3", Y),
    "one column above 0": (
        {
            "module": lambda n_features: nn.Sequential(nn.Linear(n_features, 1), nn.Softplus()),
            "criterion": Squared,
            "output": "log_probabilities",
        },
        "ACC-C2",
        TWO,
    ),
    "probabilities": (
        {
            "module": lambda n_features, n_classes: nn.Linear(n_features, n_classes),
            "criterion": Squared,
            "output": "probabilities",
        },
        "ACC-C4",
        Y,
    ),
}


@pytest.mark.parametrize("case", BEFORE)
def test_the_probe_refuses_them_with_their_number(case):
    settings, code, y = BEFORE[case]
    with pytest.raises(ModuleOutputError, match=r"in evaluation mode.*\d+ of 60 samples") as caught:
        TorchClassifier(**settings, max_epochs=1).fit(X, y)
    assert caught.value.code == code


# ------------------------------------------------------------ what is right


class Masks(nn.Linear):
    """Samples with a positive first feature cannot be of class 2."""

    def forward(self, X):
        z = super().forward(X)
        columns = torch.arange(z.shape[1])
        return z.masked_fill((X[:, :1] > 0) & (columns == 2), -math.inf)


@pytest.mark.parametrize("train_accuracy", ["exact", None])
def test_masked_classes_are_silent(train_accuracy):
    y = np.where(X[:, 0] > 0, TWO, Y)
    clf = TorchClassifier(Masks, max_epochs=20, batch_size=8, lr=0.05, train_accuracy=train_accuracy, random_state=0)
    clf.fit(X, y, X_val=X, y_val=y)
    p = clf.predict_proba(X)
    assert (p[X[:, 0] > 0, 2] == 0).all()
    assert np.allclose(p.sum(1), 1)
    assert not np.isnan(clf.predict_log_proba(X)).any()
    assert np.isfinite(clf.history_["valid_loss"]).all()
    assert not {"ACC-C3", "ACC-D5", "ACC-F5"} & set(diagnose(clf, X, y).codes)


def test_a_class_masked_for_every_sample_is_silent():
    class Never(nn.Linear):
        def forward(self, X):
            return super().forward(X) + torch.tensor([0.0, 0.0, -math.inf])

    clf = TorchClassifier(Never, max_epochs=3, random_state=0).partial_fit(X, TWO, classes=[0, 1, 2])
    assert (clf.predict_proba(X)[:, 2] == 0).all()
    assert not {"ACC-C3", "ACC-D5", "ACC-F5"} & set(diagnose(clf, X, TWO).codes)


class Rounded(nn.Linear):
    """Probabilities in float32 arithmetic of another order: sums are off by some 1e-6."""

    def forward(self, X):
        return super().forward(X).softmax(1) * (1 + 2e-6) - 1e-7


def test_rounding_noise_is_no_reason():
    clf = TorchClassifier(Rounded, criterion=Squared, output="probabilities", max_epochs=2, lr=0.1)
    clf.fit(X * 9, Y)
    p = clf.predict_proba(X * 9)
    assert ((p >= 0) & (p <= 1)).all()
    assert not np.isnan(clf.predict_log_proba(X * 9)).any()
    log_loss(Y, p)
    roc_auc_score(Y, p, multi_class="ovr")


class AtFirst(Shifts):
    """Wrong after the first epoch, and right again later."""

    def forward(self, X):
        z = super().forward(X)
        return z if self.steps <= 3 else self.right(self.layer(X))


def test_the_weights_of_the_best_epoch_are_the_ones_that_count():
    given, code = DRIFTS["probabilities"]
    settings = {**given, "early_stopping": True, "monitor": "train_acc", "n_iter_no_change": 9, "lr": 1e-30}
    clf = TorchClassifier(AtFirst, batch_size=20, max_epochs=3, random_state=0, **settings)
    with pytest.raises(ModuleOutputError, match="with the weights of epoch 1") as caught:
        clf.fit(X, Y, X_val=X, y_val=Y)
    assert caught.value.code == code
