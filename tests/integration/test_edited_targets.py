"""A criterion or a callback that writes to the targets changes neither the labels nor what is counted."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score
from skorch.callbacks import Callback
from torch import nn

from sktorch_acc import TorchClassifier

_rng = np.random.default_rng(0)
X = _rng.normal(size=(150, 5)).astype(np.float32)
Y = (X @ _rng.normal(size=(5, 3))).argmax(axis=1)


class Merges(nn.CrossEntropyLoss):
    """Takes class 2 for class 1, in the memory of the target."""

    def forward(self, output, target):
        return super().forward(output, target.clamp_(max=1))


class MergesCopies(nn.CrossEntropyLoss):
    def forward(self, output, target):
        return super().forward(output, target.clamp(max=1))


class Noisy(nn.Module):
    """Label noise, in the memory of the target."""

    def forward(self, output, target):
        target[torch.rand(len(target)) < 0.2] = 0
        return nn.functional.cross_entropy(output, target)


class NoisyCopies(Noisy):
    def forward(self, output, target):
        return super().forward(output, target.clone())


SETTINGS = {
    "plain": {},
    "validation": {"validation_fraction": 0.3},
    "running only": {"train_accuracy": "running"},
    "LBFGS": {"optimizer": torch.optim.LBFGS, "optimizer__max_iter": 1, "lr": 0.1},
    "class weights": {"class_weight": "balanced"},
}


def fitted(criterion, **settings):
    settings = {"max_epochs": 4, "batch_size": 32, "lr": 0.02, "random_state": 0, "diagnose": "off", **settings}
    if not issubclass(criterion, nn.CrossEntropyLoss):
        settings["output"] = "logits"
    return TorchClassifier(criterion=criterion, **settings).fit(X, Y)


PAIRS = [(Merges, MergesCopies, name) for name in SETTINGS]
PAIRS += [(Noisy, NoisyCopies, name) for name in SETTINGS if name != "class weights"]  # which need a `reduction`


@pytest.mark.parametrize(("writes", "copies", "settings"), PAIRS)
def test_a_criterion_that_writes_to_the_target_trains_as_one_that_copies_it(writes, copies, settings):
    before = Y.copy()
    clf, expected = (fitted(criterion, **SETTINGS[settings]) for criterion in (writes, copies))
    assert np.array_equal(Y, before)
    columns = clf.history_.columns.drop("seconds")
    pd.testing.assert_frame_equal(clf.history_[columns], expected.history_[columns], check_exact=True)
    assert np.array_equal(clf.predict_proba(X), expected.predict_proba(X))
    if settings != "running only" and settings != "validation":
        assert clf.history_["train_acc"].iloc[-1] == accuracy_score(Y, clf.predict(X))


class Overwrites(Callback):
    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        batch[1].zero_()


def test_a_callback_that_writes_to_the_targets_changes_the_loss_and_no_count():
    clf = fitted(nn.CrossEntropyLoss, callbacks=[Overwrites], validation_fraction=0.3)
    held = clf.set_params(callbacks=None)
    correct = (held.predict(X) == Y).mean()
    history = clf.history_.iloc[-1]
    n_valid = round(0.3 * len(Y))
    n_correct = round(history["train_acc"] * (len(Y) - n_valid)) + round(history["valid_acc"] * n_valid)
    assert n_correct == round(correct * len(Y))
    assert history["train_acc_running[0]"] <= 1


class Members(nn.Module):
    """An ensemble that trains one member more in every other batch."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(n_features, n_classes) for _ in range(3))
        self.calls = 0

    def forward(self, X):
        self.calls += self.training
        chosen = self.layers[: 2 + self.calls % 2] if self.training else self.layers
        return torch.stack([layer(X) for layer in chosen], dim=1)


def test_the_number_of_members_may_change_from_batch_to_batch():
    clf = TorchClassifier(Members, max_epochs=3, batch_size=16, random_state=0, diagnose="off").fit(X, Y)
    assert clf.history_["train_acc"].iloc[-1] == clf.score(X, Y)
    assert clf.history_["train_acc_running"].between(0, 1).all()
