"""Ctrl-C at hundreds of random moments: the estimator is at a complete epoch, and the process as it was."""

import copy
import random
import signal

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from skorch.callbacks import Callback
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
    longest = duration(lambda: clf.partial_fit(X, Y, classes=np.unique(Y)))
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
    longest = duration(lambda: train().fit(X, Y))
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
    longest = duration(lambda: clf.fit(X, Y))
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
    longest = duration(lambda: clf.predict_proba(X))
    for delay in moments(4, 300, longest):
        hit += interrupted(lambda: clf.predict_proba(X), delay)
        assert shared_state() == before
        assert not any(layer.training for layer in clf.module_.modules())
    assert hit > 10
    assert all(torch.equal(clf.module_.state_dict()[name], value) for name, value in kept.items())
    assert np.array_equal(clf.predict_proba(X), expected)


class Counts(Callback):
    """A callback with a hook for each batch; it draws, and what it has recorded must fit the epochs."""

    def on_train_begin(self, net, **kwargs):
        self.ended = getattr(self, "ended", 0)

    def on_batch_end(self, net, **kwargs):
        random.random()
        torch.rand(1)

    def on_epoch_end(self, net, **kwargs):
        self.ended += 1


def test_a_fit_with_callbacks_and_early_stopping_holds_a_recorded_epoch():
    clf = classifier(max_epochs=4, callbacks=[Counts], early_stopping=True, lr=0.5, warm_start=True)

    def train():
        return clf.fit(X, Y, X_val=X[:30], y_val=Y[:30])

    before, hit = shared_state(), 0
    longest = duration(train)
    clf._forget()
    for delay in moments(5, 60, longest):
        hit += interrupted(train, delay)
        assert shared_state() == before
        if hasattr(clf, "n_iter_"):
            history = clf.history_
            assert history.index.tolist() == list(range(1, clf.n_iter_ + 1))
            assert history.loc[clf.best_epoch_, "train_acc"] == clf.score(X, Y)
            assert history.loc[clf.best_epoch_, "valid_acc"] == clf.score(X[:30], Y[:30])
    assert hit > 10


def test_a_handler_that_raises_nothing_hears_every_signal_and_stops_nothing():
    heard = []

    def counts(*_):
        heard.append(classifier(max_epochs=1).get_params())  # code of any kind

    before, clf = shared_state(), classifier().fit(X, Y)
    expected, longest = clf.predict_proba(X), duration(lambda: clf.fit(X, Y))
    own = signal.signal(signal.SIGINT, counts)
    try:
        pressed = 0
        for delay in moments(6, 60, 0.8 * longest):
            came = len(heard)
            assert not interrupted(lambda: clf.fit(X, Y), delay, must_raise=False)
            pressed += len(heard) - came
            assert np.array_equal(clf.predict_proba(X), expected)
            assert signal.getsignal(signal.SIGINT) is counts
    finally:
        signal.signal(signal.SIGINT, own)
    assert pressed > 10
    assert shared_state() == before


class OwnError(Exception):
    """What a handler of the user raises: a time limit, say."""


def test_a_time_limit_that_a_handler_of_another_signal_sets_is_as_harmless():
    def limit(*_):
        raise OwnError

    before_alarm = signal.signal(signal.SIGALRM, limit)
    try:
        before, hit, clf = shared_state(), 0, classifier(**OPTIMIZERS["sgd"])
        expected = reference(lambda: classifier(**OPTIMIZERS["sgd"]), 60)
        longest = duration(lambda: classifier().partial_fit(X, Y, classes=np.unique(Y)))
        for delay in moments(7, 60, longest):
            try:
                try:
                    signal.setitimer(signal.ITIMER_REAL, delay)
                    clf.partial_fit(X, Y, classes=np.unique(Y))
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
            except OwnError:
                hit += 1
            assert shared_state() == before
            assert_consistent(clf)
            if hasattr(clf, "n_iter_"):
                assert contents(clf) == expected[clf.n_iter_]
        assert hit > 10
    finally:
        signal.signal(signal.SIGALRM, before_alarm)
