"""Ctrl-C at hundreds of random moments: the estimator is at a complete epoch, and the process as it was."""

import copy
import random
import signal

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from torch import nn

from sktorch_acc import TorchClassifier
from tests.interrupting import default_handler, duration, interrupted, shared_state

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timers"),
]

X, Y = make_classification(96, 6, n_informative=4, n_classes=3, random_state=0)
X = X.astype("float32")
OPTIMIZERS = {
    "adamw": {"optimizer": torch.optim.AdamW, "lr": 0.02},
    "sgd": {"optimizer": torch.optim.SGD, "lr": 0.05, "optimizer__momentum": 0.9},
    "scheduled": {"optimizer": torch.optim.Adam, "lr": 0.02, "lr_scheduler": "cosine"},
}


class Net(nn.Module):
    """Batch norm has buffers, dropout draws."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, n_classes)
        )

    def forward(self, X):
        return self.layers(X)


@pytest.fixture(autouse=True)
def _ctrl_c():
    with default_handler():
        yield


def classifier(**parameters):
    given = {"max_epochs": 3, "batch_size": 32, "random_state": 0, "device": "cpu", **parameters}
    return TorchClassifier(Net, **given)


def contents(clf):
    """Return what belongs together: weights, records, and the state of the optimizer."""
    if not hasattr(clf, "module_"):
        return None
    optimizer = clf._state.optimizer.state_dict()
    moved = [(key, name, torch.as_tensor(v).tolist()) for key, s in optimizer["state"].items() for name, v in s.items()]
    weights = {name: value.tolist() for name, value in clf.module_.state_dict().items()}
    losses = clf.history_["train_loss"].tolist()
    return {"weights": weights, "moved": moved, "groups": optimizer["param_groups"], "losses": losses}


def assert_consistent(clf):
    """Check that score, records and numbers are those of one epoch."""
    if not hasattr(clf, "n_iter_"):
        assert [name for name in vars(clf) if name.endswith("_") or name in ("_state", "_net")] == []
        return
    history = clf.history_
    assert history.index.tolist() == list(range(1, clf.n_iter_ + 1))
    assert clf.best_epoch_ == clf.n_iter_
    assert history["train_acc"].iloc[-1] == clf.score(X, Y)
    assert not clf.module_.training


def moments(seed, number, longest):
    """Return delays over the length of a call, and somewhat longer."""
    generator = random.Random(seed)
    return [generator.uniform(0, 1.2 * longest) for _ in range(number)]


def reference(train, epochs):
    """Return the contents after each number of epochs that no signal interrupted."""
    clf, after = train(), {0: None}
    for _ in range(epochs):
        clf.partial_fit(X, Y, classes=np.unique(Y))
        after[clf.n_iter_] = contents(clf)
    return after


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_stream_of_partial_fits_goes_on_as_if_it_had_not_been_interrupted(optimizer):
    def train():
        return classifier(**OPTIMIZERS[optimizer])

    expected, before = reference(train, 60), shared_state()
    clf = train()
    longest = max(duration(lambda: clf.partial_fit(X, Y, classes=np.unique(Y))) for _ in range(3))
    clf, hit = train(), 0
    for delay in moments(1, 60, longest):
        hit += interrupted(lambda: clf.partial_fit(X, Y, classes=np.unique(Y)), delay)
        assert shared_state() == before
        assert_consistent(clf)
        if hasattr(clf, "n_iter_"):
            assert contents(clf) == expected[clf.n_iter_]
    assert hit > 10


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_warm_fit_goes_on_from_the_last_complete_epoch(optimizer):
    def train():
        return classifier(warm_start=True, **OPTIMIZERS[optimizer])

    expected, before = reference(train, 121), shared_state()
    longest = max(duration(lambda: train().fit(X, Y)) for _ in range(3))
    clf, hit = train(), 0
    for delay in moments(2, 40, longest):
        hit += interrupted(lambda: clf.fit(X, Y), delay)
        assert shared_state() == before
        assert_consistent(clf)
        if hasattr(clf, "n_iter_"):
            assert contents(clf) == expected[clf.n_iter_]
    assert hit > 10


def test_a_plain_fit_is_whole_or_nothing():
    before, clf, hit = shared_state(), classifier(), 0
    weights = {}
    for epochs in (1, 2, 3):
        clf.set_params(max_epochs=epochs).fit(X, Y)
        weights[epochs] = copy.deepcopy(clf.module_.state_dict())
    longest = max(duration(lambda: clf.fit(X, Y)) for _ in range(3))
    for delay in moments(3, 100, longest):
        hit += interrupted(lambda: clf.fit(X, Y), delay)
        assert shared_state() == before
        assert_consistent(clf)
        if hasattr(clf, "n_iter_"):
            now = clf.module_.state_dict()
            assert all(torch.equal(now[name], value) for name, value in weights[clf.n_iter_].items())
    assert hit > 10


def test_predict_changes_nothing():
    clf = classifier().fit(X, Y)
    before, kept, hit = shared_state(), copy.deepcopy(clf.module_.state_dict()), 0
    expected = clf.predict_proba(X)
    longest = max(duration(lambda: clf.predict_proba(X)) for _ in range(5))
    for delay in moments(4, 300, longest):
        hit += interrupted(lambda: clf.predict_proba(X), delay)
        assert shared_state() == before
        assert not any(layer.training for layer in clf.module_.modules())
    assert hit > 10
    assert all(torch.equal(clf.module_.state_dict()[name], value) for name, value in kept.items())
    assert np.array_equal(clf.predict_proba(X), expected)
