"""A buffer may be registered at any step: the best epoch comes back with what was registered then."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from torch import nn

from sktorch_acc import TorchClassifier

X, Y = make_classification(80, 6, n_informative=4, n_classes=3, random_state=0)
X = X.astype("float32")
STEPS_PER_EPOCH = 4


class Late(nn.Module):
    """Registers the mean of a batch at a training step, moved far away; the loss gets worse from there on."""

    def __init__(self, n_features, n_classes, at, away):
        super().__init__()
        self.layer = nn.Linear(n_features, n_classes)
        self.at, self.away = at, away
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, X):
        if self.training:
            self.steps += 1
            if self.steps == self.at:
                self.register_buffer("shift", X.mean(dim=0) + self.away)
        return self.layer(X - self.shift if hasattr(self, "shift") else X)


def fitted(at, away, **parameters):
    given = {"max_epochs": 8, "batch_size": 20, "lr": 0.02, "random_state": 0, "device": "cpu", **parameters}
    clf = TorchClassifier(
        Late, module__at=at, module__away=away, early_stopping=True, monitor="train_loss", n_iter_no_change=2, **given
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return clf.fit(X, Y, X_val=X[:20], y_val=Y[:20])


def held(clf):
    return clf.history_.loc[clf.best_epoch_]


@pytest.mark.parametrize("step", [1, 2])
def test_a_buffer_of_a_later_epoch_is_removed(step):
    clf = fitted(at=2 * STEPS_PER_EPOCH + step, away=50.0)
    assert (clf.n_iter_, clf.best_epoch_) == (4, 2)
    assert [*clf.module_.state_dict()] == ["steps", "layer.weight", "layer.bias"]
    assert held(clf)["train_acc"] == clf.score(X, Y)
    assert held(clf)["valid_acc"] == clf.score(X[:20], Y[:20])


def test_a_buffer_of_an_earlier_epoch_is_kept():
    clf = fitted(at=2 * STEPS_PER_EPOCH + 1, away=0.0)
    assert clf.best_epoch_ > 2
    assert "shift" in clf.module_.state_dict()
    assert held(clf)["train_acc"] == clf.score(X, Y)


def test_training_goes_on_from_the_best_epoch():
    clf = fitted(at=2 * STEPS_PER_EPOCH + 1, away=50.0, warm_start=True)
    before = clf.predict_proba(X)
    clf.set_params(early_stopping=False, max_epochs=1).fit(X, Y)
    assert clf.n_iter_ == 5
    assert "shift" in clf.module_.state_dict()  # of the same step, which came again
    assert not np.array_equal(clf.predict_proba(X), before)
