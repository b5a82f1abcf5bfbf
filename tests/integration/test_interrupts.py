"""Ctrl-C: raised again, with the estimator at the last complete epoch and the process as it was."""

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.model_selection import cross_val_score
from skorch.callbacks import Callback
from torch import nn

import sktorch_acc
from sktorch_acc import TorchClassifier
from sktorch_acc.engine import train as train_module
from sktorch_acc.engine.schedules import Schedule
from sktorch_acc.engine.snapshot import Snapshot

X, INDICES = make_classification(60, 6, n_informative=4, n_classes=3, random_state=0)
X = X.astype("float32")
Y = np.array(["fox", "cat", "dog"])[INDICES]


class Interrupted(nn.Module):
    """Sends SIGINT to its own process at a given training step: a key pressed in the middle of a batch."""

    def __init__(self, n_features, n_classes, at=10):
        super().__init__()
        self.layer = nn.Linear(n_features, n_classes)
        self.at, self.steps = at, 0

    def forward(self, X):
        if self.training:
            self.steps += 1
            if self.steps == self.at:
                os.kill(os.getpid(), signal.SIGINT)
        return self.layer(X)


def classifier(**settings):
    # Four steps an epoch (the probe runs a copy): step 9 is the first of epoch 3.
    return TorchClassifier(Interrupted, **{"max_epochs": 6, "batch_size": 16, "lr": 0.1, "random_state": 0, **settings})


@pytest.mark.parametrize("at", [9, 10, 11, 12])
def test_the_estimator_is_fitted_with_the_last_complete_epoch(at):
    handler = signal.getsignal(signal.SIGINT)
    clf = classifier(module__at=at)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y)
    assert clf.n_iter_ == clf.best_epoch_ == len(clf.history_) == 2
    assert clf.history_.loc[2, "train_acc"] == clf.score(X, Y)
    complete = classifier(max_epochs=2, module__at=0).fit(X, Y)
    assert np.array_equal(clf.predict_proba(X), complete.predict_proba(X))
    assert signal.getsignal(signal.SIGINT) is handler


def test_with_early_stopping_it_holds_the_best_epoch():
    clf = classifier(module__at=20, early_stopping=True)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y, X_val=X[:20], y_val=Y[:20])
    assert clf.best_epoch_ == clf.history_["valid_loss"].idxmin()
    assert clf.history_.loc[clf.best_epoch_, "valid_acc"] == clf.score(X[:20], Y[:20])


def test_in_the_first_epoch_nothing_is_fitted():
    clf = classifier(module__at=3)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y)
    assert not hasattr(clf, "classes_")


def test_a_fit_that_continues_restores_the_weights_it_began_with():
    clf = classifier(max_epochs=1, warm_start=True, module__at=7).fit(X, Y)
    before = clf.predict_proba(X)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y)
    assert clf.n_iter_ == 1
    assert np.array_equal(clf.predict_proba(X), before)


def test_cross_validation_stops():
    with pytest.raises(KeyboardInterrupt):
        cross_val_score(classifier(), X, Y, cv=3)


def test_a_signal_while_an_epoch_is_recorded_waits_until_it_is(monkeypatch):
    from sktorch_acc.engine import loop

    original = loop._keep

    def keep(fit, row, value):
        if row.epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)
        original(fit, row, value)

    monkeypatch.setattr(loop, "_keep", keep)
    clf = classifier(module__at=0)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y)
    assert clf.n_iter_ == 2
    assert clf.history_.loc[2, "train_acc"] == clf.score(X, Y)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize(
    ("owner", "name"),
    [(Snapshot, "restore"), (Schedule, "undo"), (train_module, "_name_held_epoch"), (TorchClassifier, "_publish")],
)
def test_a_signal_while_a_fit_ends_waits_until_it_has(owner, name, early_stopping, monkeypatch):
    clf = classifier(module__at=0, max_epochs=3, warm_start=True, early_stopping=early_stopping)
    validation = {"X_val": X[:20], "y_val": Y[:20]} if early_stopping else {}
    clf.fit(X, Y, **validation)
    original = getattr(owner, name)

    def send_and_call(*args, **kwargs):
        signal.raise_signal(signal.SIGINT)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, send_and_call)
    clf.set_params(lr_scheduler="cosine")
    handler = signal.getsignal(signal.SIGINT)
    stopped = pytest.raises(KeyboardInterrupt) if early_stopping or name != "restore" else nullcontext()
    with stopped:  # without early stopping nothing is restored
        clf.fit(X, Y, **validation)
    assert signal.getsignal(signal.SIGINT) is handler
    assert clf.n_iter_ == len(clf.history_) == 6
    assert clf.history_.loc[clf.best_epoch_, "train_acc"] == clf.score(X, Y)
    assert clf.net_.optimizer_.param_groups[0]["lr"] == 0.1  # the schedule is undone


@pytest.mark.parametrize("hook", ["on_train_begin", "on_train_end"])
def test_a_signal_outside_of_the_epochs_counts_too(hook):
    class Sends(Callback):
        pass

    setattr(Sends, hook, lambda self, net, **kwargs: signal.raise_signal(signal.SIGINT))
    clf = classifier(module__at=0, max_epochs=2, callbacks=[Sends])
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, Y)
    assert hasattr(clf, "history_") == (hook == "on_train_end")


@pytest.mark.parametrize("where", ["batch", "record"])
def test_a_handler_of_the_users_own_decides_what_a_signal_means(where, monkeypatch):
    from sktorch_acc.engine import loop

    original = loop._keep

    def keep(fit, row, value):
        if where == "record" and row.epoch == 2:
            signal.raise_signal(signal.SIGINT)
        original(fit, row, value)

    monkeypatch.setattr(loop, "_keep", keep)
    seen = []
    before = signal.signal(signal.SIGINT, lambda *args: seen.append(args))
    try:
        clf = classifier(module__at=10 if where == "batch" else 0).fit(X, Y)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(seen) == 1
    assert clf.n_iter_ == 6


@pytest.mark.slow
def test_in_a_child_process_during_epoch_three(tmp_path):
    script = tmp_path / "child.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, random, signal, sys
            import numpy as np, torch
            from skorch.callbacks import Callback
            from sktorch_acc import TorchClassifier

            class Sends(Callback):
                def on_batch_begin(self, net, training, **kwargs):
                    if len(net.history) == 3 and training:
                        os.kill(os.getpid(), signal.SIGINT)

            X = np.random.default_rng(0).standard_normal((50, 4))
            y = np.where(X[:, 0] > 0, "a", "b")
            torch.manual_seed(3)
            state = torch.get_rng_state(), random.getstate(), torch.get_num_threads()
            clf = TorchClassifier(max_epochs=9, callbacks=[Sends], random_state=0)
            try:
                clf.fit(X, y)
            except KeyboardInterrupt:
                after = torch.get_rng_state(), random.getstate(), torch.get_num_threads()
                same = torch.equal(after[0], state[0]) and after[1:] == state[1:]
                exact = clf.history_.loc[2, "train_acc"] == clf.score(X, y)
                print(clf.n_iter_, same, exact, torch.is_grad_enabled())
                raise
            """
        )
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(sktorch_acc.__file__).parents[1])}
    child = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, env=environment)
    assert child.stdout.split() == ["2", "True", "True", "True"], child.stderr
    assert child.returncode != 0
    assert "KeyboardInterrupt" in child.stderr


def test_fit_and_predict_do_not_leave_inference_mode_where_it_is_off(monkeypatch):
    """torch's object would bring back the gradient mode when it is deleted, if Ctrl-C abandons it."""

    def fails(self):
        raise AssertionError("entered")

    with monkeypatch.context() as patch:
        patch.setattr(torch.inference_mode, "__enter__", fails)
        clf = classifier(module__at=0, max_epochs=2, warm_start=True).fit(X, Y, X_val=X[:20], y_val=Y[:20])
        clf.partial_fit(X, Y).predict(X)
    assert clf.n_iter_ == 3


def test_a_signal_while_the_gradient_mode_is_put_back_after_predict_changes_nothing(monkeypatch):
    clf = classifier(module__at=0, max_epochs=1).fit(X, Y)
    original = torch.no_grad.__exit__

    def send_and_exit(self, *error):
        signal.raise_signal(signal.SIGINT)
        original(self, *error)

    with monkeypatch.context() as patch:
        patch.setattr(torch.no_grad, "__exit__", send_and_exit)
        with pytest.raises(KeyboardInterrupt):
            clf.predict(X)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("how", ["fit", "partial_fit"])
def test_a_signal_while_the_data_are_read_leaves_nothing_of_them(how, monkeypatch):
    def send(*args):
        signal.raise_signal(signal.SIGINT)

    clf = classifier(module__at=0)
    with monkeypatch.context() as patch:
        patch.setattr(sktorch_acc.classifier.Labels, "learn", send)
        with pytest.raises(KeyboardInterrupt):
            clf.fit(X, Y) if how == "fit" else clf.partial_fit(X, Y, classes=Y)
    assert [name for name in vars(clf) if name.endswith("_") or name in ("_state", "_net")] == []


class FailsOnce(Callback):
    """Raises an error at the end of the second batch of an epoch."""

    def on_batch_end(self, net, training, **kwargs):
        if training and len(net.history) == 2 and len(net.history[-1, "batches"]) == 2:
            raise OSError("disk full")


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD, torch.optim.LBFGS])
def test_the_optimizer_goes_on_from_the_last_complete_epoch_after_an_error_too(optimizer):
    given = {"optimizer": optimizer, "lr": 0.05, "max_epochs": 1, "warm_start": True, "module__at": 0}
    if optimizer is torch.optim.SGD:
        given["optimizer__momentum"] = 0.9
    expected = classifier(**given).fit(X, Y).fit(X, Y).predict_proba(X)
    clf = classifier(callbacks=[FailsOnce], **given).fit(X, Y)
    with pytest.raises(OSError, match="disk full"):
        clf.fit(X, Y)
    assert clf.n_iter_ == 1
    clf.fit(X, Y)
    assert clf.history_.index.tolist() == [1, 2]
    assert np.array_equal(clf.predict_proba(X), expected)
