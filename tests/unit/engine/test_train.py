"""Carrying out fits, and naming the epoch whose weights are held."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from sktorch_acc import AccuracyWarning, NonFiniteLossError
from sktorch_acc.engine.observer import Observer
from sktorch_acc.engine.snapshot import fingerprint
from sktorch_acc.engine.train import train
from tests.fits import Heard, examples, prepared

SGD = {"optimizer": torch.optim.SGD, "lr": 0.1}


def weights(fit):
    return [tensor.clone() for tensor in fit.model.module.state_dict().values()]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# ------------------------------------------------------------ fits


def test_several_fits_are_each_what_they_are_alone():
    together = [prepared(seed=seed, max_epochs=3) for seed in (1, 2)]
    train(together)
    for seed, fit in zip((1, 2), together, strict=True):
        alone = prepared(seed=seed, max_epochs=3)
        train([alone])
        assert same(weights(fit), weights(alone))


def test_no_fit_is_nothing_to_do():
    train([])


def test_every_epoch_has_its_row_and_the_last_one_is_held():
    fit = prepared(max_epochs=3)
    train([fit])
    assert [row.epoch for row in fit.rows] == [1, 2, 3]
    assert (fit.state.epoch, fit.state.best_epoch) == (3, 3)


def test_between_fits_a_state_keeps_nothing_of_a_fit():
    fit = prepared(max_epochs=2, lr_scheduler="cosine", early_stopping=True, validation_fraction=0.25)
    assert fit.state.schedule is not None
    train([fit])
    state = fit.state
    assert [state.schedule, state.stopping, state.last, state.best, state.running] == [None, None, None, None, False]
    assert not state.model.module.training


class Looks(Heard):
    """Looks at the state at the hooks of a fit."""

    def __init__(self):
        super().__init__()
        self.seen = {}

    def fit_begin(self, fit):
        self.seen["begin"] = (fit.state.running, torch.get_num_threads())

    def fit_end(self, fit):
        self.seen["end"] = (fit.state.running, torch.get_num_threads())
        return []

    def result(self, fit):
        self.seen["result"] = fit.state.best_epoch


def test_while_a_fit_runs_its_state_says_so_and_it_has_its_number_of_threads(monkeypatch):
    threads = [4]
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[-1])
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    observer = Looks()
    train([prepared(observers=[observer], max_epochs=1, n_threads=2)])
    assert observer.seen == {"begin": (True, 2), "end": (True, 2), "result": 1}
    assert threads == [4, 2, 4]


def test_an_observer_ends_a_fit():
    fit = prepared(observers=[Heard(stop_after=2)], max_epochs=9)
    train([fit])
    assert fit.state.epoch == 2


class LeavesTraining(Observer):
    def fit_end(self, fit):
        fit.model.module.train()
        return []


def test_training_mode_that_an_observer_leaves_is_undone():
    fit = prepared(observers=[LeavesTraining()], max_epochs=1)
    train([fit])
    assert not fit.model.module.training


# ------------------------------------------------------------ failures


class Fails(Observer):
    def __init__(self, error, at=3):
        self.error, self.at = error, at
        self.weights = {}

    def epoch_recorded(self, fit, row):
        self.weights[row.epoch] = weights(fit)

    def epoch_begin(self, fit, epoch):
        if epoch == self.at:
            with torch.no_grad():
                next(fit.model.module.parameters()).zero_()
            raise self.error


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=["error", "interrupt"])
def test_after_a_failure_the_module_is_at_the_last_complete_epoch(error):
    observer = Fails(error)
    fit = prepared(observers=[observer], max_epochs=5, lr_scheduler="cosine", lr=0.1)
    with pytest.raises(type(error)):
        train([fit])
    assert fit.state.epoch == 2
    assert same(weights(fit), observer.weights[2])
    assert not fit.model.module.training
    assert fit.state.schedule is None
    assert not fit.state.running
    assert fit.state.optimizer.param_groups[0]["lr"] == 0.1


def test_after_a_failure_with_early_stopping_it_is_at_the_best_epoch():
    observer = Fails(KeyboardInterrupt(), at=4)
    fit = prepared(observers=[observer], max_epochs=9, **FOLLOWED)
    with pytest.raises(KeyboardInterrupt):
        train([fit])
    assert fit.state.best_epoch == 1
    assert same(weights(fit), observer.weights[1])


def test_a_failure_in_the_first_epoch_of_a_fit_that_continues_brings_back_where_it_began():
    first = prepared(max_epochs=1, warm_start=True)
    train([first])
    before = weights(first)
    with pytest.raises(OSError, match="disk full"):
        train([prepared(state=first.state, observers=[Fails(OSError("disk full"), at=2)], max_epochs=1)])
    assert same(weights(first), before)
    assert first.state.epoch == first.state.best_epoch == 1


def test_a_loss_that_is_not_finite_ends_the_fit():
    with pytest.raises(NonFiniteLossError, match=r"in epoch \d"):
        train([prepared(optimizer=torch.optim.SGD, lr=1e38, max_epochs=9, batch_size=5)])


class Replaces(Observer):
    def __init__(self, hook):
        setattr(self, hook, self.replace)

    def epoch_end(self, fit, row):
        return False

    def fit_end(self, fit):
        return []

    def replace(self, fit, *arguments):
        fit.state.use(module=copy.deepcopy(fit.model.module))
        return []


def test_a_module_that_is_replaced_between_epochs_is_refused():
    with pytest.raises(RuntimeError, match=r"replaced net\.module_ during training"):
        train([prepared(observers=[Replaces("epoch_end")], max_epochs=2)])


def test_a_module_that_is_replaced_at_the_end_is_held():
    fit = prepared(observers=[Replaces("fit_end")], max_epochs=2)
    module = fit.model.module
    train([fit])
    assert fit.model.module is not module
    assert not fit.model.module.training


# ------------------------------------------------------------ early stopping


class Worse(nn.Module):
    """Its validation loss is best in the first epoch: from then on, training moves it away from every label."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))
        self.n_classes = n_classes

    def forward(self, X):
        if self.training:
            return torch.stack([self.scale.expand(len(X)), -self.scale.expand(len(X))], dim=1)
        return torch.stack([self.scale.abs().expand(len(X)), torch.zeros(len(X))], dim=1) * 9


FOLLOWED = {
    "module": Worse,
    "given": examples(y=[0] * 20),
    "validation": examples(np.zeros((20, 3), dtype="float32"), y=[1] * 20),
    "early_stopping": True,
    "n_iter_no_change": 3,
    **SGD,
}


def test_early_stopping_holds_the_best_epoch_and_stops():
    observer = Fails(None, at=99)
    fit = prepared(observers=[observer], max_epochs=50, **FOLLOWED)
    train([fit])
    assert fit.state.best_epoch == 1
    assert fit.state.epoch == 4
    assert same(weights(fit), observer.weights[1])


# ------------------------------------------------------------ which epoch is held


class BringsBack(Observer):
    """Remembers weights as skorch's observer does, and brings back those of an epoch at the end."""

    def __init__(self, restore, named=(), factor=1.0):
        self.restore, self.named, self.factor = restore, list(named), factor
        self.kept = {}

    def epoch_recorded(self, fit, row):
        fit.state.fingerprints[row.epoch] = fingerprint(fit.model.module)
        self.kept[row.epoch] = copy.deepcopy(fit.model.module.state_dict())

    def fit_end(self, fit):
        fit.model.module.load_state_dict(self.kept[self.restore])
        with torch.no_grad():
            for parameter in fit.model.module.parameters():
                parameter.mul_(self.factor)
        return self.named


class StandsStill(Observer):
    """Lets no weight move in epoch 2 and 3, so that epochs 1 to 3 hold the same ones."""

    def epoch_begin(self, fit, epoch):
        fit.state.optimizer.param_groups[0]["lr"] = 0.0 if epoch in (2, 3) else 0.1


def held_epoch(*observers, **settings):
    fit = prepared(observers=observers, **{"max_epochs": 5, **SGD, **settings})
    train([fit])
    return fit.state.best_epoch


def test_weights_that_come_back_are_recognised():
    assert held_epoch(BringsBack(2)) == 2


def test_the_held_epoch_is_named_before_the_result_is_told():
    observer = Looks()
    assert held_epoch(BringsBack(2), observer) == observer.seen["result"] == 2


def test_the_epoch_that_an_observer_names_counts_where_epochs_have_the_same_weights():
    for epoch in (1, 2, 3):
        assert held_epoch(StandsStill(), BringsBack(2, named=[epoch])) == epoch


def test_of_epochs_with_the_same_weights_the_last_counts_if_no_observer_names_one():
    assert held_epoch(StandsStill(), BringsBack(1)) == 3


def test_an_epoch_that_is_named_and_has_other_weights_does_not_count():
    assert held_epoch(BringsBack(2, named=[4])) == 2
    assert held_epoch(StandsStill(), BringsBack(2, named=[4, 2])) == 2


def test_weights_of_no_epoch_are_warned_of():
    with pytest.warns(AccuracyWarning, match="to none of the recorded epochs") as caught:
        assert held_epoch(BringsBack(2, named=[2], factor=0.5)) == 5
    assert caught[0].message.code == "ACC-E6"


def test_weights_that_no_observer_of_others_touched_are_not_looked_at(monkeypatch):
    from sktorch_acc.engine.snapshot import Snapshot

    monkeypatch.setattr(Snapshot, "differs", lambda *_: pytest.fail("looked at"))

    class Ours(Heard):
        foreign = False

    assert held_epoch(Ours()) == 5
    assert held_epoch() == 5


class Drifts(Worse):
    """Keeps a state that no snapshot holds: from the third step on it predicts other labels for fitted samples."""

    steps = 0

    def forward(self, X):
        self.steps += self.training
        output = super().forward(X)
        return output if self.training or self.steps < 3 else output + 1e6 * (X[:, :1] > 0) * torch.tensor([0.0, 1.0])


def test_a_module_that_no_longer_predicts_as_in_its_best_epoch_is_warned_of():
    with pytest.warns(AccuracyWarning, match="register_buffer") as caught:
        train([prepared(max_epochs=50, **{**FOLLOWED, "module": Drifts})])
    assert caught[0].message.code == "ACC-E6"


def test_a_module_that_predicts_as_in_its_best_epoch_is_not():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train([prepared(max_epochs=50, **FOLLOWED)])
