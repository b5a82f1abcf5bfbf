"""What `warm_start` and `partial_fit` promise: continuing is the same as not having stopped."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris, make_classification
from skorch.callbacks import Callback
from torch import nn

from sktorch_acc import AccuracyWarning, TorchClassifier
from tests.modules import Doubles, DropNorm

UNTIMED = {"axis": 1, "labels": ["seconds"]}


@pytest.fixture(scope="module")
def flowers():
    data = load_iris()
    return data.data, data.target_names[data.target]


def classifier(**parameters):
    return TorchClassifier(DropNorm, **{"lr": 0.01, "batch_size": 16, "random_state": 0} | parameters)


def optimizer_state(clf):
    """Parameters' state by position: what AdamW remembers of the gradients."""
    return clf.net_.optimizer_.state_dict()["state"]


def assert_same(ours, theirs):
    """The same weights, buffers, optimizer state and history, to the last bit."""
    assert ours.n_iter_ == theirs.n_iter_
    for (name, a), b in zip(ours.module_.state_dict().items(), theirs.module_.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    pd.testing.assert_frame_equal(ours.history_.drop(**UNTIMED), theirs.history_.drop(**UNTIMED), check_exact=True)
    for key, values in optimizer_state(ours).items():
        for name, value in values.items():
            assert torch.equal(value, optimizer_state(theirs)[key][name]), (key, name)


HALVES = {
    "plain": {},
    "hold-out": {"validation_fraction": 0.2},
    "running": {"train_accuracy": "running"},
    "momentum": {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9},
    "weights": {"class_weight": {"setosa": 2.0}},
}


@pytest.mark.parametrize("parameters", HALVES.values(), ids=HALVES.keys())
@pytest.mark.parametrize("first", [1, 3])
def test_warm_start_in_two_halves_is_one_long_fit(first, parameters, flowers):
    long = classifier(max_epochs=5, warm_start=True, **parameters).fit(*flowers)
    halves = classifier(max_epochs=first, warm_start=True, **parameters).fit(*flowers)
    halves.set_params(max_epochs=5 - first).fit(*flowers)
    assert_same(halves, long)
    assert halves.history_.index.tolist() == [1, 2, 3, 4, 5]


def test_partial_fit_on_all_rows_is_fit_epoch_by_epoch(flowers):
    X, y = flowers
    long = classifier(max_epochs=3, warm_start=True).fit(X, y)
    steps = classifier()
    for _ in range(3):
        steps.partial_fit(X, y, classes=np.unique(y))
    assert_same(steps, long)


def test_partial_fit_and_warm_start_continue_each_other(flowers):
    X, y = flowers
    long = classifier(max_epochs=4, warm_start=True).fit(X, y)
    mixed = classifier(max_epochs=2, warm_start=True).fit(X, y)
    mixed.partial_fit(X, y).set_params(max_epochs=1).fit(X, y)
    assert_same(mixed, long)


def test_continuing_after_a_pickle_is_continuing(flowers):
    long = classifier(max_epochs=4, warm_start=True).fit(*flowers)
    half = classifier(max_epochs=2, warm_start=True).fit(*flowers)
    half = pickle.loads(pickle.dumps(half)).fit(*flowers)
    assert_same(half, long)
    assert_same(copy.deepcopy(half).fit(*flowers), half.fit(*flowers))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda clf: pickle.loads(pickle.dumps(clf))], ids=["copy", "pickle"])
def test_lbfgs_continues_after_a_pickle_too(copied, flowers):
    clf = classifier(optimizer=torch.optim.LBFGS, lr=0.1, max_epochs=2, warm_start=True).fit(*flowers)
    other = copied(clf)
    probabilities = clf.fit(*flowers).predict_proba(flowers[0])
    assert_array_equal(other.fit(*flowers).predict_proba(flowers[0]), probabilities)


def test_continuing_does_not_depend_on_what_happened_in_between(flowers):
    X, y = flowers
    long = classifier(max_epochs=4, warm_start=True).fit(X, y)
    half = classifier(max_epochs=2, warm_start=True).fit(X, y)
    torch.manual_seed(77)
    torch.rand(5)
    half.predict_proba(X[:3])
    half.score(X, y)
    assert_same(half.fit(X, y), long)


def chunks(X, y, n_chunks=3):
    order = np.random.default_rng(3).permutation(len(y))
    return [(X[part], y[part]) for part in np.array_split(order, n_chunks)]


def test_partial_fit_in_chunks_over_three_epochs_is_the_plain_loop_over_the_chunks(flowers):
    """One chunk, one batch: what a hand-written loop does with the same initial weights, to rounding."""
    X, y = flowers
    classes = np.unique(y)
    untrained = TorchClassifier(Doubles, max_epochs=1, lr=1e-300, optimizer__weight_decay=0, random_state=0)
    module = copy.deepcopy(untrained.fit(X, y).module_)
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    clf = TorchClassifier(Doubles, lr=0.01, batch_size=50, random_state=0)
    for _ in range(3):
        for X_chunk, y_chunk in chunks(X, y):
            clf.partial_fit(X_chunk, y_chunk, classes=classes)
            optimizer.zero_grad()
            targets = torch.from_numpy(np.searchsorted(classes, y_chunk))
            nn.functional.cross_entropy(module(torch.from_numpy(X_chunk)), targets).backward()
            optimizer.step()
    assert clf.n_iter_ == 9
    expected = module(torch.from_numpy(X)).softmax(dim=1).detach().numpy()
    assert_allclose(clf.predict_proba(X), expected, rtol=1e-10)


def test_partial_fit_in_chunks_takes_as_many_steps_as_fit(flowers):
    """Not the same bits as `fit`, which shuffles all rows anew each epoch: chunks stay together."""
    X, y = flowers
    clf = classifier(batch_size=10)
    for _ in range(3):
        for X_chunk, y_chunk in chunks(X, y):
            clf.partial_fit(X_chunk, y_chunk, classes=np.unique(y))
    long = classifier(batch_size=10, max_epochs=3, warm_start=True).fit(X, y)
    steps = [int(next(iter(optimizer_state(c).values()))["step"]) for c in (clf, long)]
    assert steps == [45, 45]
    assert (clf.n_iter_, long.n_iter_) == (9, 3)


def test_a_chunk_may_lack_labels_and_the_first_call_needs_them_all(flowers):
    X, y = flowers
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        classifier().partial_fit(X, y)
    clf = classifier().partial_fit(X[:20], y[:20], classes=np.unique(y))
    assert clf.classes_.tolist() == ["setosa", "versicolor", "virginica"]
    assert clf.class_count_.tolist() == [20, 0, 0]
    assert clf.predict_proba(X).shape == (150, 3)


def test_history_of_partial_fit_describes_the_rows_of_each_call(flowers):
    X, y = flowers
    clf = classifier()
    for X_chunk, y_chunk in chunks(X, y):
        clf.partial_fit(X_chunk, y_chunk, classes=np.unique(y))
        assert clf.history_.loc[clf.best_epoch_, "train_acc"] == clf.score(X_chunk, y_chunk)
    assert clf.history_.index.tolist() == [1, 2, 3]


def test_without_warm_start_fit_forgets(flowers):
    once = classifier(max_epochs=2).fit(*flowers)
    twice = classifier(max_epochs=2).fit(*flowers).fit(*flowers)
    assert_same(twice, once)


def test_partial_fit_after_a_plain_fit_keeps_the_weights_and_starts_the_optimizer_anew(flowers):
    X, y = flowers
    clf = classifier(max_epochs=3).fit(X, y)
    clf.partial_fit(X, y)
    assert clf.n_iter_ == 4
    assert {int(values["step"]) for values in optimizer_state(clf).values()} == {10}


def test_a_new_lr_is_followed(flowers):
    clf = classifier(max_epochs=1, warm_start=True).fit(*flowers)
    clf.set_params(lr=0.5).fit(*flowers)
    assert clf.history_["lr"].tolist() == [0.01, 0.5]


@pytest.mark.parametrize("schedule", ["cosine", "onecycle", torch.optim.lr_scheduler.LinearLR])
def test_a_schedule_starts_anew_at_each_warm_start(schedule, flowers):
    clf = classifier(max_epochs=3, warm_start=True, lr_scheduler=schedule).fit(*flowers)
    clf.fit(*flowers)
    lr = clf.history_["lr"].to_numpy()
    assert_array_equal(lr[3:], lr[:3])


def test_the_lr_is_the_parameter_again_after_a_schedule_is_dropped(flowers):
    clf = classifier(max_epochs=3, warm_start=True, lr_scheduler="cosine").fit(*flowers)
    clf.set_params(lr_scheduler=None).fit(*flowers)
    assert clf.history_["lr"].tolist()[3:] == [0.01] * 3


def test_the_momentum_is_the_parameter_again_after_a_schedule_is_dropped(flowers):
    clf = classifier(max_epochs=2, warm_start=True, lr_scheduler="onecycle", optimizer__betas=(0.8, 0.99)).fit(*flowers)
    assert clf._state.optimizer.param_groups[0]["betas"] == (0.8, 0.99)


def test_a_new_lr_is_where_the_next_schedule_starts(flowers):
    clf = classifier(max_epochs=3, warm_start=True, lr_scheduler="cosine").fit(*flowers)
    clf.set_params(lr=0.1).fit(*flowers)
    assert_allclose(clf.history_["lr"].to_numpy()[3:], 10 * clf.history_["lr"].to_numpy()[:3])


def test_a_schedule_starts_anew_at_each_partial_fit(flowers):
    X, y = flowers
    clf = classifier(lr_scheduler="cosine")
    for _ in range(3):
        clf.partial_fit(X, y, classes=np.unique(y))
    assert clf.history_["lr"].tolist() == [0.01] * 3


def test_plateau_starts_anew_from_lr(flowers):
    clf = classifier(
        max_epochs=4, warm_start=True, lr_scheduler="plateau", lr_scheduler__patience=0, monitor="train_loss"
    )
    clf.set_params(lr_scheduler__threshold=10.0).fit(*flowers)
    assert clf.history_["lr"].iloc[-1] < 0.01
    assert clf.fit(*flowers).history_.loc[5, "lr"] == 0.01


CHANGES = {
    "module": {"module": Doubles},
    "module__hidden": {"module__hidden": 4},
    "optimizer__weight_decay": {"optimizer__weight_decay": 0.5},
    "criterion, optimizer": {"criterion": nn.NLLLoss, "optimizer": torch.optim.SGD},
    "callbacks": {"callbacks": []},
}


@pytest.mark.parametrize(("names", "changes"), CHANGES.items(), ids=CHANGES)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_change_that_continuing_cannot_heed_is_warned_of_and_without_effect(method, names, changes, flowers):
    long = classifier(max_epochs=2, warm_start=True).fit(*flowers)
    clf = classifier(max_epochs=1, warm_start=True).fit(*flowers)
    with pytest.warns(AccuracyWarning, match=rf"the changes of {names} have no effect.*fit a clone") as caught:
        getattr(clf.set_params(**changes), method)(*flowers)
    assert caught[0].filename == __file__
    assert_same(clf, long)


def test_setting_a_parameter_to_what_it_was_is_no_change(flowers):
    weight = torch.ones(3)
    clf = classifier(max_epochs=1, warm_start=True, criterion__weight=weight, optimizer__weight_decay=0.01).fit(
        *flowers
    )
    clf = pickle.loads(pickle.dumps(clf))
    clf.set_params(optimizer__weight_decay=0.01, module=DropNorm, batch_size=20, lr_scheduler="cosine").fit(*flowers)
    assert clf.n_iter_ == 2


def test_continuing_on_other_columns_or_labels_is_refused(flowers):
    X, y = flowers
    clf = classifier(max_epochs=1, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="expecting 4 features"):
        clf.fit(X[:, :3], y)
    with pytest.raises(ValueError, match="not seen in fit"):
        clf.fit(X, np.where(y == "setosa", "rosa", y))
    assert clf.n_iter_ == 1
    assert clf.fit(X, y).n_iter_ == 2


class FailsLater(Callback):
    """Fails in the third epoch of all."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 3:
            raise OSError("disk full")


def test_an_error_in_a_continued_fit_leaves_what_was_complete():
    X, y = make_classification(40, 6, random_state=0)
    clf = TorchClassifier(max_epochs=2, callbacks=[FailsLater], random_state=0)
    clf.partial_fit(X, y, classes=[0, 1]).partial_fit(X, y)
    with pytest.raises(OSError, match="disk full"):
        clf.partial_fit(X, y)
    assert clf.n_iter_ == len(clf.history_) == 3
    assert clf.history_.loc[3, "train_acc"] == clf.score(X, y)


def test_groups_with_a_rate_of_their_own_keep_it_when_lr_is_set():
    X, y = make_classification(40, 6, random_state=0)
    groups = [("layers.0.*", {"lr": 0.001})]
    clf = TorchClassifier(optimizer__param_groups=groups, lr=0.1, max_epochs=1, warm_start=True).fit(X, y)
    clf.set_params(lr=0.2).fit(X, y)
    assert [group["lr"] for group in clf.net_.optimizer_.param_groups] == [0.001, 0.2]
