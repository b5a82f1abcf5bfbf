"""skorch's own callbacks inside the estimator, one row each."""

import copy
import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.metrics import accuracy_score, make_scorer
from skorch import callbacks as cb

from sktorch_acc import TorchClassifier
from tests.modules import DropNorm

X, INDICES = make_classification(60, 6, n_informative=4, n_classes=3, random_state=0)
X = X.astype("float32")
Y = np.array(["fox", "cat", "dog"])[INDICES]


def fit(*callbacks, X=X, **settings):
    parameters = {"lr": 0.05, "max_epochs": 4, "batch_size": 16, "validation_fraction": 0.25, "random_state": 0}
    clf = TorchClassifier(DropNorm, **{**parameters, "callbacks": list(callbacks), **settings})
    return clf.fit(X, Y)


def recorded(clf, name):
    return [row[name] for row in clf.net_.history]


@pytest.mark.parametrize("use_caching", [True, False])
def test_epoch_scoring_on_the_holdout_gives_our_accuracy(use_caching):
    clf = fit(cb.EpochScoring("accuracy", lower_is_better=False, use_caching=use_caching, name="theirs"))
    assert recorded(clf, "theirs") == clf.history_["valid_acc"].tolist()
    best = [row["theirs_best"] for row in clf.net_.history]
    assert best[0]
    assert all(isinstance(flag, bool) for flag in best)


def test_epoch_scoring_on_train_with_caching_gives_the_running_accuracy():
    clf = fit(cb.EpochScoring("accuracy", lower_is_better=False, on_train=True, name="theirs"))
    assert recorded(clf, "theirs") == clf.history_["train_acc_running"].tolist()


def test_epoch_scoring_on_train_without_caching_gives_the_exact_accuracy():
    clf = fit(cb.EpochScoring("accuracy", lower_is_better=False, on_train=True, use_caching=False, name="theirs"))
    assert recorded(clf, "theirs") == clf.history_["train_acc"].tolist()


def test_epoch_scoring_takes_functions_and_probabilities():
    clf = fit(
        cb.EpochScoring(make_scorer(accuracy_score), lower_is_better=False, name="function", use_caching=False),
        cb.EpochScoring("neg_log_loss", lower_is_better=False, name="loss"),
        cb.EpochScoring("roc_auc_ovr", lower_is_better=False, name="auc", use_caching=False),
    )
    assert recorded(clf, "function") == clf.history_["valid_acc"].tolist()
    assert np.allclose(recorded(clf, "loss"), -clf.history_["valid_loss"], rtol=1e-5)
    assert all(0 <= auc <= 1 for auc in recorded(clf, "auc"))


def test_batch_scoring_averages_over_batches():
    clf = fit(cb.BatchScoring("accuracy", lower_is_better=False, on_train=True, name="batches"))
    assert np.allclose(recorded(clf, "batches"), clf.history_["train_acc_running"])


def test_passthrough_scoring_passes_the_losses_through():
    clf = fit(
        cb.PassthroughScoring("train_loss", on_train=True),
        cb.PassthroughScoring("valid_loss"),
    )
    for name in ("train_loss", "valid_loss"):
        assert recorded(clf, name) == clf.history_[name].tolist()
        assert recorded(clf, f"{name}_best")[0] is True


def test_early_stopping_stops_and_may_load_the_best():
    stop = cb.EarlyStopping(monitor="valid_loss", patience=2, load_best=True)
    clf = fit(stop, lr=0.5, max_epochs=50)
    assert clf.n_iter_ < 50
    assert clf.best_epoch_ == clf.history_["valid_loss"].idxmin()
    plain = fit(cb.EarlyStopping(monitor="valid_acc", lower_is_better=False, patience=2), lr=0.5, max_epochs=50)
    assert plain.best_epoch_ == plain.n_iter_ < 50


@pytest.mark.parametrize(
    "settings",
    [
        {"monitor": "valid_loss_best"},
        {"monitor": "train_loss_best"},
        {"monitor": None},
        {"monitor": lambda net: len(net.history) == 2},
        {"monitor": "valid_loss_best", "f_pickle": "net.pkl"},
        {"monitor": "valid_loss_best", "f_params": "p_{last_epoch[epoch]}.pt"},
        {"monitor": "valid_loss_best", "use_safetensors": False, "load_best": True},
    ],
)
def test_checkpoint_in_all_its_forms(settings, tmp_path):
    clf = fit(cb.Checkpoint(dirname=tmp_path, **settings))
    files = {path.name for path in tmp_path.iterdir()}
    assert any(name.startswith(("params", "p_")) for name in files)
    if "f_pickle" in settings:
        net = pickle.loads((tmp_path / "net.pkl").read_bytes())
        assert net.predict(X).shape == (60,)
        assert clf.classes_[net.predict(X[:1])][0] in {"fox", "cat", "dog"}


def test_train_end_checkpoint_and_load_init_state_go_on_where_a_fit_ended(tmp_path):
    first = fit(cb.TrainEndCheckpoint(dirname=tmp_path))
    again = cb.TrainEndCheckpoint(dirname=tmp_path)

    class Keeps(cb.Callback):
        def on_epoch_begin(self, net, **kwargs):
            self.weight_ = net.module_.layers[0].weight.clone()

    second = fit(again, cb.LoadInitState(again), Keeps, max_epochs=1)
    assert torch.equal(first.module_.layers[0].weight, second.callbacks_[-1][1].weight_)


def test_the_schedulers_of_skorch():
    clf = fit(cb.LRScheduler(policy="StepLR", step_size=1, gamma=0.5))
    assert np.allclose(clf.history_["lr"], [0.05, 0.025, 0.0125, 0.00625])
    clf = fit(cb.LRScheduler(policy=torch.optim.lr_scheduler.CyclicLR, base_lr=0.01, max_lr=0.02, step_every="batch"))
    assert len(set(clf.history_["lr"])) > 1
    clf = fit(cb.LRScheduler(policy=torch.optim.lr_scheduler.ReduceLROnPlateau, monitor="valid_loss"))
    assert len(clf.history_) == 4


@pytest.mark.filterwarnings("ignore:.*ACC-E6")
def test_the_others_run():
    clf = fit(
        cb.EpochTimer(),
        cb.GradientNormClipping(1.0),
        cb.Freezer("layers.0.*"),
        cb.ParamMapper("layers.4.bias", fn=lambda p: None, at=2),
        cb.Initializer("layers.4.weight", fn=torch.nn.init.zeros_),
    )
    assert all(duration >= 0 for duration in recorded(clf, "dur"))
    assert torch.equal(clf.module_.layers[0].weight, fit(max_epochs=1, lr=1e-30).module_.layers[0].weight)


def test_gradient_clipping_clips():
    free, clipped = fit(optimizer=torch.optim.SGD), fit(cb.GradientNormClipping(1e-6), optimizer=torch.optim.SGD)
    initial = fit(max_epochs=1, lr=1e-30, optimizer=torch.optim.SGD).module_.layers[0].weight
    moved = [(clf.module_.layers[0].weight - initial).norm() for clf in (free, clipped)]
    assert moved[1] < 1e-3 * moved[0]


def test_progress_bar_and_print_log_show_what_they_show(capsys):
    fit(cb.ProgressBar(detect_notebook=False), cb.PrintLog(), max_epochs=2)
    out = capsys.readouterr().out
    assert "train_loss" in out
    assert "valid_acc" in out


def test_a_callback_that_stops_in_the_middle_of_an_epoch_stops_at_its_end():
    class Stops(cb.Callback):
        def on_batch_end(self, net, training, **kwargs):
            if training:
                raise KeyboardInterrupt

    clf = fit(Stops())
    assert clf.n_iter_ == clf.best_epoch_ == 1


def test_a_callback_that_fails_leaves_the_estimator_unfitted():
    class Fails(cb.Callback):
        def on_epoch_end(self, net, **kwargs):
            raise ZeroDivisionError

    clf = TorchClassifier(DropNorm, callbacks=[Fails])
    with pytest.raises(ZeroDivisionError):
        clf.fit(X, Y)
    assert not hasattr(clf, "classes_")


def test_names_and_parameters_of_callbacks():
    clf = fit(("clip", cb.GradientNormClipping()), cb.EpochTimer, callbacks__clip__gradient_clip_value=0.5)
    assert [name for name, _ in clf.callbacks_] == ["clip", "EpochTimer"]
    assert clf.callbacks_[0][1].gradient_clip_value == 0.5
    off = fit(("clip", cb.GradientNormClipping()), callbacks__clip=None)
    assert off.callbacks_ == []
    with pytest.raises(ValueError, match=r"no callback 'clop'. Did you mean 'clip'"):
        fit(("clip", cb.GradientNormClipping()), callbacks__clop__gradient_clip_value=0.5)
    with pytest.raises(ValueError, match=r"Did you mean 'callbacks__clip__gradient_clip_value'"):
        fit(("clip", cb.GradientNormClipping()), callbacks__clip__gradient_clip_valu=0.5)
    with pytest.raises(TypeError, match=r"must hold skorch callbacks.*set_callbacks"):
        fit("early")


def test_a_sparse_table_reaches_callbacks_too():
    from scipy.sparse import csr_array

    clf = fit(cb.EpochScoring("accuracy", lower_is_better=False, use_caching=False, name="theirs"), X=csr_array(X))
    assert recorded(clf, "theirs") == clf.history_["valid_acc"].tolist()


# ------------------------------------------------------------ one net over all fits of an estimator


class Lengths(cb.Callback):
    """How many epochs the history has when a fit begins, and which net it is of."""

    seen: list

    def on_train_begin(self, net, **kwargs):
        self.seen.append((len(net.history), net))


def test_one_net_is_seen_in_all_fits_that_continue():
    Lengths.seen = []
    clf = fit(Lengths, max_epochs=2, warm_start=True)
    clf.fit(X, Y).partial_fit(X, Y)
    assert [length for length, _ in Lengths.seen] == [0, 2, 4]
    assert {id(net) for _, net in Lengths.seen} == {id(clf.net_)}
    assert [row["epoch"] for row in clf.net_.history] == [1, 2, 3, 4, 5]
    assert recorded(clf, "train_loss") == clf.loss_curve_


def test_a_fit_that_begins_anew_has_a_net_of_its_own():
    Lengths.seen = []
    clf = fit(Lengths, max_epochs=2)
    clf.fit(X, Y)
    assert [length for length, _ in Lengths.seen] == [0, 0]
    assert Lengths.seen[0][1] is not Lengths.seen[1][1] is clf.net_


def test_callbacks_go_on_after_a_pickle():
    clf = pickle.loads(pickle.dumps(fit(cb.EpochTimer, max_epochs=2, warm_start=True)))
    clf.fit(X, Y)
    assert len(clf.net_.history) == 4
    assert clf.net_.module_ is clf.module_


@pytest.mark.parametrize("policy", ["StepLR", "ExponentialLR", "CyclicLR", "ReduceLROnPlateau"])
def test_a_scheduler_of_skorch_works_in_every_fit_that_continues(policy):
    arguments = {
        "StepLR": {"step_size": 1, "gamma": 0.5},
        "ExponentialLR": {"gamma": 0.5},
        "CyclicLR": {"base_lr": 0.01, "max_lr": 0.02, "step_every": "batch"},
        "ReduceLROnPlateau": {"monitor": "train_loss"},
    }
    clf = fit(cb.LRScheduler(policy=policy, **arguments[policy]), max_epochs=2, warm_start=True)
    clf.fit(X, Y).partial_fit(X, Y)
    assert clf.n_iter_ == 5


def test_a_scheduler_of_skorch_goes_on_from_where_it_was():
    clf = fit(cb.LRScheduler(policy="ExponentialLR", gamma=0.5), max_epochs=2, warm_start=True, lr=0.4)
    clf.fit(X, Y)
    assert np.allclose(clf.history_["lr"][:3], [0.4, 0.2, 0.1])


# ------------------------------------------------------------ what a callback changes


class Does(cb.Callback):
    """Calls a function with the net at one hook."""

    def __init__(self, hook, do, epoch=None):
        self.hook, self.do, self.epoch = hook, do, epoch

    def _at(self, hook, net):
        if hook == self.hook and self.epoch in (None, len(net.history)):
            self.do(net)

    def on_train_begin(self, net, **kwargs):
        self._at("train_begin", net)

    def on_epoch_begin(self, net, **kwargs):
        self._at("epoch_begin", net)

    def on_epoch_end(self, net, **kwargs):
        self._at("epoch_end", net)

    def on_train_end(self, net, **kwargs):
        self._at("train_end", net)


def test_a_learning_rate_that_is_set_is_followed_from_then_on():
    clf = fit(Does("epoch_end", lambda net: net.set_params(lr=0.01), epoch=2))
    assert clf.history_["lr"].tolist() == [0.05, 0.05, 0.01, 0.01]


def test_a_parameter_of_the_optimizer_that_is_set_is_followed():
    decay = Does("epoch_begin", lambda net: net.set_params(optimizer__weight_decay=10.0), epoch=1)
    set_late = fit(decay, max_epochs=1, optimizer=torch.optim.SGD)
    built = fit(max_epochs=1, optimizer=torch.optim.SGD, optimizer__weight_decay=10.0)
    assert torch.equal(set_late.module_.layers[0].weight, built.module_.layers[0].weight)


def test_a_new_optimizer_that_a_callback_asks_for_is_the_one_that_steps():
    clf = fit(Does("epoch_begin", lambda net: net.initialize_optimizer(), epoch=3), warm_start=True)
    assert {int(state["step"]) for state in clf._state.optimizer.state.values()} == {2 * 3}
    assert clf.net_.optimizer_ is clf._state.optimizer


def test_an_optimizer_that_a_callback_assigns_is_the_one_that_steps():
    def assign(net):
        net.optimizer_ = torch.optim.SGD(net.module_.parameters(), lr=0.0)

    clf = fit(Does("epoch_begin", assign, epoch=2))
    assert clf.history_["lr"].tolist() == [0.05, 0.0, 0.0, 0.0]
    assert type(clf.net_.optimizer_) is torch.optim.SGD
    assert torch.equal(clf.module_.layers[0].weight, fit(max_epochs=1).module_.layers[0].weight)


def replace_module(net):
    module = copy.deepcopy(net.module_)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(0.5)
    net.module_ = module


def test_a_module_that_is_replaced_at_the_end_is_what_the_estimator_holds():
    seen = []

    def replace(net):
        replace_module(net)
        seen.append(net.module_)

    with pytest.warns(UserWarning, match=r"ACC-E6.*to none of the recorded epochs"):
        clf = fit(Does("train_end", replace))
    assert clf.module_ is clf.net_.module_ is seen[0]
    assert not clf.module_.training
    with torch.no_grad():
        expected = seen[0](torch.from_numpy(X)).softmax(1).numpy()
    assert np.array_equal(clf.predict_proba(X), expected)


def test_a_module_that_is_replaced_by_one_with_the_same_weights_needs_no_warning():
    clf = fit(Does("train_end", lambda net: setattr(net, "module_", copy.deepcopy(net.module_))))
    assert clf.best_epoch_ == 4


@pytest.mark.parametrize("hook", ["train_begin", "epoch_begin", "epoch_end"])
def test_a_module_that_is_replaced_while_training_goes_on_is_refused(hook):
    with pytest.raises(RuntimeError, match=r"replaced net\.module_ during training"):
        fit(Does(hook, replace_module))


# ------------------------------------------------------------ checkpoints in mid-fit


def after_two_epochs(net):
    return len(net.history) == 2


class Predicts(cb.Callback):
    """Keeps the probabilities after two epochs."""

    seen: list

    def on_epoch_end(self, net, **kwargs):
        if after_two_epochs(net):
            self.seen.append(net.predict_proba(X))


def test_a_checkpoint_holds_the_net_with_its_optimizer_and_without_the_data(tmp_path):
    keep = cb.Checkpoint(dirname=tmp_path, monitor=after_two_epochs, f_pickle="net.pkl")
    many, y = np.resize(X, (6000, 6)), np.resize(Y, 6000)
    TorchClassifier(DropNorm, max_epochs=3, callbacks=[keep], batch_size=2000, random_state=0).fit(many, y)
    data = (tmp_path / "net.pkl").read_bytes()
    assert len(data) < many.nbytes / 4
    net = pickle.loads(data)
    assert len(net.history) == 2
    assert {int(state["step"]) for state in net.optimizer_.state.values()} == {2 * 3}
    parameters = {id(parameter) for parameter in net.module_.parameters()}
    assert {id(parameter) for group in net.optimizer_.param_groups for parameter in group["params"]} == parameters


def test_a_checkpoint_in_mid_fit_predicts_as_the_net_did_then(tmp_path):
    Predicts.seen = []
    fit(cb.Checkpoint(dirname=tmp_path, monitor=after_two_epochs, f_pickle="net.pkl"), Predicts)
    assert np.array_equal(pickle.loads((tmp_path / "net.pkl").read_bytes()).predict_proba(X), Predicts.seen[0])
