"""`check_torch_classifier` passes correct modules, and names the check that a wrong module fails."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from sktorch_acc import TorchClassifier
from sktorch_acc.testing import check_torch_classifier, torch_classifier_checks
from tests.modules import (
    Doubles,
    DropNorm,
    Ensemble,
    Floats,
    Images,
    Lazy,
    LogProbabilities,
    OneLogit,
    OneProbability,
    Sequences,
)

# scikit-learn's checks fit on a row or two, on which batch norm and others warn.
pytestmark = pytest.mark.filterwarnings("default::sktorch_acc.AccuracyWarning")


def rows(n_classes=3):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((40, 4))
    return X, np.array(["ant", "bee", "cow"])[:n_classes][np.arange(40) % n_classes]


def own(estimator, X, y):
    return [pytest.param(check, id=name) for name, check in torch_classifier_checks(estimator, X, y)]


RIGHT = {
    "bundled": (TorchClassifier(), *rows()),
    "dropout and batch norm": (TorchClassifier(DropNorm, batch_size=7), *rows()),
    "one logit": (TorchClassifier(OneLogit, criterion=nn.BCEWithLogitsLoss), *rows(2)),
    "one probability": (TorchClassifier(OneProbability, criterion=nn.BCELoss), *rows(2)),
    "log-probabilities": (TorchClassifier(LogProbabilities, criterion=nn.NLLLoss), *rows()),
    "ensemble": (TorchClassifier(Ensemble), *rows()),
    "lazy": (TorchClassifier(Lazy), *rows()),
    "instance": (TorchClassifier(nn.Linear(4, 3)), *rows()),
    "early stopping": (TorchClassifier(Doubles, early_stopping=True, validation_fraction=0.2), *rows()),
    "schedule": (TorchClassifier(Doubles, lr_scheduler="onecycle"), *rows()),
    "class weights": (TorchClassifier(Doubles, class_weight="balanced"), *rows()),
    "images": (TorchClassifier(Images), np.random.default_rng(0).random((30, 2, 5, 5)), rows()[1][:30]),
    "tokens": (
        TorchClassifier(Sequences),
        torch.randint(20, (30, 6), generator=torch.Generator().manual_seed(0)),
        rows()[1][:30],
    ),
}


@pytest.mark.parametrize("check", itertools.chain(*(own(*case) for case in RIGHT.values())))
def test_a_correct_estimator_passes(check):
    check()


@pytest.mark.parametrize("module", [Doubles, Floats, DropNorm])
def test_scikit_learns_checks_are_among_them(module):
    names = [name for name, _ in torch_classifier_checks(TorchClassifier(module, max_epochs=1))]
    assert len(names) == len(set(names)) > 70
    assert "check_classifiers_train" in names
    assert ("check_sample_weight_equivalence_on_dense_data" in names) == (module is Doubles)


@pytest.mark.slow
def test_all_checks_run_on_the_users_own_module_in_one_call():
    check_torch_classifier(TorchClassifier(Doubles, lr=0.01, max_epochs=15))


@pytest.mark.slow
def test_binary_criteria_get_the_binary_checks():
    check_torch_classifier(TorchClassifier(OneLogit, criterion=nn.BCEWithLogitsLoss, lr=0.2, max_epochs=40))


def test_a_bare_assert_is_reported_by_its_code():
    with pytest.raises(AssertionError, match=r"- check_classifiers_train: AssertionError: assert accuracy_score"):
        check_torch_classifier(TorchClassifier(Floats, lr=1e-9, max_epochs=1))


def test_rows_without_labels_are_refused():
    with pytest.raises(ValueError, match="X and y go together"):
        list(torch_classifier_checks(TorchClassifier(), X=np.ones((3, 2))))


class MixesRows(nn.Linear):
    """Subtracts the mean of the batch, in evaluation too."""

    def forward(self, X):
        return super().forward(X - X.mean(dim=0))


class CountsLooks(nn.Linear):
    """Changes itself in evaluation mode."""

    def __init__(self, in_features, out_features):
        super().__init__(in_features, out_features)
        self.register_buffer("looks", torch.zeros(()))

    def forward(self, X):
        if not self.training:
            self.looks += 1
        return super().forward(X)


class Flips(CountsLooks):
    """Inverts its output in every other evaluation."""

    def forward(self, X):
        return super().forward(X) * (-1) ** int(self.looks)


class NoPickle(nn.Linear):
    def __reduce__(self):
        raise TypeError("cannot pickle this module")


class Draws(nn.Linear):
    """Draws from a generator that `random_state` does not seed."""

    def forward(self, X):
        return super().forward(X) * (1 + torch.rand(1, generator=GENERATOR))


GENERATOR = torch.Generator()

WRONG = {
    MixesRows: "check_rows_do_not_influence_each_other",
    CountsLooks: "check_recording_is_neutral",
    Flips: "check_train_acc_equals_score",
    Draws: "check_same_seed_same_bits",
    NoPickle: "check_pickle_keeps_predictions",
}


@pytest.mark.parametrize(("module", "check"), WRONG.items(), ids=[module.__name__ for module in WRONG])
def test_a_wrong_module_is_caught_by_the_check_that_is_named(module, check):
    with pytest.raises(AssertionError, match=rf"(?s)check\(s\) failed for TorchClassifier.*- {check}: ") as caught:
        check_torch_classifier(TorchClassifier(module), *rows())
    assert caught.value.__cause__ is not None


def test_an_estimator_is_not_fitted_by_the_checks():
    clf = TorchClassifier(Floats)
    check_torch_classifier(clf, *rows())
    assert not clf.__sklearn_is_fitted__()
