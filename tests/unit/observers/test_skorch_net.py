"""The net that skorch's callbacks see, and the observer that runs them."""

import copy
import math
import pickle
import random

import numpy as np
import pytest
import scipy.sparse
import torch
from skorch.callbacks import Callback, EpochScoring, EpochTimer
from skorch.dataset import Dataset
from torch import nn

from sktorch_acc.engine.history import EpochRow
from sktorch_acc.engine.train import train
from sktorch_acc.observers.skorch_net import SkorchNet, SkorchObserver, net_of, own_callbacks
from tests.fits import Heard, examples, prepared, settings, table


class Nothing(Callback):
    """Overrides no hook."""


def state_of(*, callbacks=None, **given):
    fit = prepared(callbacks=callbacks, **{"max_epochs": 2, "warm_start": True, **given})
    train([fit])
    return fit.state


# ------------------------------------------------------------ a view


def test_the_net_shows_the_parts_of_the_state():
    state = state_of()
    net = net_of(state)
    assert net.module_ is state.model.module
    assert net.criterion_ is state.model.criterion
    assert net.optimizer_ is state.optimizer
    assert net.classes_.tolist() == [0, 1]
    assert net.labels_.tolist() == [0, 1]


def test_the_net_follows_the_state():
    state = state_of()
    net = net_of(state)
    state.use(module=nn.Linear(3, 2))
    assert net.module_ is state.model.module


@pytest.mark.parametrize("part", ["module_", "criterion_"])
def test_an_assignment_goes_to_the_state(part):
    state = state_of()
    net = net_of(state)
    other = copy.deepcopy(getattr(net, part))
    setattr(net, part, other)
    assert getattr(state.model, part.rstrip("_")) is other
    assert getattr(net, part) is other


def test_an_optimizer_that_is_assigned_goes_to_the_state():
    state = state_of()
    net = net_of(state)
    net.optimizer_ = torch.optim.SGD(net.module_.parameters(), lr=0.5)
    assert state.optimizer is net.optimizer_
    assert type(state.optimizer) is torch.optim.SGD


def test_an_optimizer_that_was_not_kept_is_an_attribute_that_is_missing():
    state = state_of()
    state.optimizer = None
    net = net_of(state)
    assert not hasattr(net, "optimizer_")
    net.initialize_optimizer()
    assert state.optimizer is net.optimizer_


def test_the_state_holds_no_second_copy_of_the_module():
    assert not [name for name, value in vars(net_of(state_of())).items() if isinstance(value, nn.Module)]


def test_a_net_is_not_trained_by_itself():
    net = net_of(state_of())
    for method in (net.fit, net.partial_fit):
        with pytest.raises(TypeError, match="belongs to a TorchClassifier"):
            method(table(), np.zeros(20, dtype="int64"))


# ------------------------------------------------------------ parameters of skorch


def test_a_learning_rate_that_is_set_reaches_the_optimizer():
    state = state_of()
    net_of(state).set_params(lr=0.7)
    assert state.optimizer.param_groups[0]["lr"] == 0.7


def test_a_parameter_of_the_optimizer_that_is_set_reaches_it():
    state = state_of()
    net_of(state).set_params(optimizer__weight_decay=0.25)
    assert state.optimizer.param_groups[0]["weight_decay"] == 0.25


def test_a_parameter_of_a_group_that_is_set_reaches_that_group():
    state = state_of(optimizer__param_groups=[("weight", {"lr": 0.1})], optimizer=torch.optim.SGD)
    net_of(state).set_params(optimizer__param_groups__0__lr=0.3)
    assert [group["lr"] for group in state.optimizer.param_groups] == [0.3, 0.001]


def test_parameters_of_the_optimizer_can_be_set_where_its_state_was_not_kept():
    state = state_of()
    state.optimizer = None
    net = net_of(state)
    net.initialize_optimizer()
    net.set_params(optimizer__weight_decay=0.25)
    assert state.optimizer.param_groups[0]["weight_decay"] == 0.25


def test_a_new_optimizer_is_built_as_the_first_with_the_learning_rate_of_the_net():
    state = state_of(optimizer=torch.optim.SGD, optimizer__momentum=0.9)
    first, net = state.optimizer, net_of(state)
    net.lr = 0.3
    net.initialize_optimizer()
    assert state.optimizer is not first
    group = state.optimizer.param_groups[0]
    assert (type(state.optimizer), group["lr"], group["momentum"]) == (torch.optim.SGD, 0.3, 0.9)
    assert {id(parameter) for parameter in group["params"]} == {id(p) for p in state.model.module.parameters()}


def test_all_learnable_parameters_are_those_of_module_and_criterion():
    class Trained(nn.CrossEntropyLoss):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

    net = net_of(state_of(criterion=Trained))
    assert [name for name, _ in net.get_all_learnable_params()] == ["weight", "bias", "scale"]


# ------------------------------------------------------------ outputs


def test_predictions_are_class_indices_and_probabilities_of_the_module():
    state = state_of()
    net = net_of(state)
    with torch.no_grad():
        z = state.model.module(torch.from_numpy(table()))
    assert net.predict(table()).tolist() == z.argmax(1).tolist()
    assert np.array_equal(net.predict_proba(table()), z.softmax(1).numpy())
    assert torch.equal(torch.cat(list(net.forward_iter(table()))), z)


@pytest.mark.parametrize(
    "rows",
    [
        table(),
        torch.from_numpy(table()),
        table().astype("float64"),
        scipy.sparse.csr_array(table()),
        Dataset(table(), np.zeros(20)),
    ],
    ids=["array", "tensor", "float64", "sparse", "data set"],
)
def test_rows_of_every_kind_can_be_predicted(rows):
    net = net_of(state_of())
    assert np.array_equal(net.predict_proba(rows), net.predict_proba(table()))


def test_part_of_a_data_set_can_be_predicted():
    net = net_of(state_of())
    part = torch.utils.data.Subset(Dataset(table(), np.zeros(20)), [3, 1])
    assert net.predict(part).tolist() == net.predict(table()[[3, 1]]).tolist()


def test_the_loss_of_outputs_is_that_of_the_criterion():
    net = net_of(state_of())
    z, y = torch.randn(5, 2), torch.tensor([0, 1, 1, 0, 1])
    assert net.get_loss(z, y) == nn.functional.cross_entropy(z, y)
    assert net.get_loss(z, y.numpy()) == nn.functional.cross_entropy(z, y)


# ------------------------------------------------------------ history


def recorded(*rows, callbacks=None):
    state = state_of(callbacks=callbacks)
    state.rows[:] = rows
    return list(net_of(state).history)


def row(epoch, train_loss, valid_loss=None):
    values, sizes = {"train_loss": train_loss, "lr": 0.1, "seconds": 2.5}, {"train": (20, 4)}
    if valid_loss is not None:
        values["valid_loss"], sizes["valid"] = valid_loss, (5, 1)
    counts = {"train_acc": (np.array([3, 4]), np.array([5, 5]))}
    return EpochRow(epoch, values, counts, sizes)


def test_an_epoch_is_written_under_the_names_of_skorch():
    [record] = recorded(row(1, 0.5, 0.25))
    assert record == {
        "epoch": 1,
        "batches": [{"train_loss": 0.5, "train_batch_size": 20, "valid_loss": 0.25, "valid_batch_size": 5}],
        "train_loss": 0.5,
        "train_loss_best": True,
        "train_batch_count": 4,
        "valid_loss": 0.25,
        "valid_loss_best": True,
        "valid_batch_count": 1,
        "train_acc": 0.7,
        "dur": 2.5,
    }


def test_a_loss_is_best_where_it_is_lower_than_all_before():
    records = recorded(row(1, 0.5), row(2, 0.7), row(3, 0.5), row(4, 0.4))
    assert [record["train_loss_best"] for record in records] == [True, False, False, True]


def test_a_loss_that_is_nan_is_never_best_and_hides_no_other():
    records = recorded(row(1, 1.0, math.nan), row(2, 1.0, 0.5), row(3, 1.0, math.nan), row(4, 1.0, 0.4))
    assert [record["valid_loss_best"] for record in records] == [False, True, False, True]


def test_epochs_without_validation_have_no_record_of_it():
    records = recorded(row(1, 0.5), row(2, 0.4, 0.3))
    assert "valid_loss" not in records[0]
    assert records[1]["valid_loss_best"]


class HearsBatches(Callback):
    def on_batch_end(self, net, **kwargs):
        pass


def test_where_batches_are_heard_there_is_no_summary_of_them():
    assert recorded(row(1, 0.5), callbacks=[HearsBatches])[0]["batches"] == []


def test_batches_are_heard_where_the_type_of_a_callback_overrides_a_hook_of_theirs():
    assert not net_of(state_of()).hears_batches()
    assert not net_of(state_of(callbacks=[Nothing, EpochTimer])).hears_batches()
    assert net_of(state_of(callbacks=[Nothing, HearsBatches])).hears_batches()


# ------------------------------------------------------------ no side effects


class Draws(Callback):
    def initialize(self):
        torch.rand(1)
        np.random.rand()  # noqa: NPY002
        random.random()
        return self


def generators():
    return torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()  # noqa: NPY002


@pytest.mark.parametrize("callbacks", [None, [Draws]])
def test_making_a_net_moves_no_generator_and_changes_no_weight(callbacks):
    state = state_of(callbacks=callbacks)
    before, weight, module = generators(), state.model.module.weight.clone(), state.model.module
    net_of(state)
    assert generators() == before
    assert state.model.module is module
    assert torch.equal(module.weight, weight)


def test_making_a_net_does_not_compile_move_or_run_the_module():
    class Fails(nn.Linear):
        def forward(self, X):
            if getattr(self, "done", False):
                raise AssertionError
            return super().forward(X)

        def to(self, *arguments, **options):
            raise AssertionError

    state = state_of(module=lambda: Fails(3, 2))
    state.model.module.done = True
    assert net_of(state).module_ is state.model.module


# ------------------------------------------------------------ pickle


def test_a_pickled_net_comes_with_its_state():
    net = pickle.loads(pickle.dumps(net_of(state_of())))
    assert isinstance(net, SkorchNet)
    assert net.module_ is net.state_.model.module
    assert len(net.history) == 2
    assert net.predict(table()).shape == (20,)


# ------------------------------------------------------------ callbacks


def test_callbacks_are_copied_together():
    class Holds(Callback):
        def __init__(self, other=None):
            self.other = other

    other = Nothing()
    first, second = own_callbacks(settings(callbacks=[other, Holds(other)]))
    assert first is not other
    assert second.other is first


@pytest.mark.parametrize("callback", [Nothing, Nothing(), ("name", Nothing), ("name", Nothing()), ["name", None]])
def test_callbacks_come_as_classes_instances_or_pairs(callback):
    [own] = own_callbacks(settings(callbacks=[callback]))
    assert isinstance(own, tuple) == isinstance(callback, (tuple, list))


def test_what_is_no_callback_is_refused():
    for wrong in ("early", nn.Linear, ("name", 3)):
        with pytest.raises(TypeError, match=r"must hold skorch callbacks.*set_callbacks"):
            own_callbacks(settings(callbacks=[wrong]))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("callbacks__scor__name", "no callback 'scor'. Did you mean 'score'"),
        ("callbacks__score__nam", "Did you mean 'callbacks__score__name'"),
        ("callbacks__score_x__name", "no callback 'score_x'"),
    ],
)
def test_a_parameter_of_no_callback_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        own_callbacks(settings(callbacks=[("score", EpochScoring("accuracy"))], **{name: "x"}))


@pytest.mark.parametrize("name", ["callbacks__score__name", "callbacks__score_2__name", "callbacks__score"])
def test_parameters_of_callbacks_and_of_numbered_ones_are_known(name):
    assert len(own_callbacks(settings(callbacks=[("score", EpochScoring("accuracy"))], **{name: None}))) == 1


def test_parameters_of_callbacks_that_were_taken_away_are_let_be():
    assert own_callbacks(settings(callbacks=None, callbacks__score__name="x")) == []
    assert net_of(state_of(callbacks=None, callbacks__score__name="x")).callbacks_ == []


# ------------------------------------------------------------ the observer


class Writes(Callback):
    """Writes down the hooks that it hears and what comes with them."""

    def __init__(self):
        self.log = []

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.log.append(("train_begin", len(X), len(y), len(net.history)))

    def on_epoch_begin(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.log.append(("epoch_begin", len(dataset_train), dataset_valid and len(dataset_valid), len(net.history)))

    def on_epoch_end(self, net, dataset_train=None, dataset_valid=None, **kwargs):
        self.log.append(
            ("epoch_end", len(dataset_train), net.history[-1, "train_loss_best"], net.history[-1, "dur"] > 0)
        )

    def on_train_end(self, net, X=None, y=None, **kwargs):
        self.log.append(("train_end", len(X), len(y), len(net.history)))


class Interrupts(Callback):
    """Stops a training as skorch's callbacks do."""

    def on_epoch_begin(self, net, **kwargs):
        raise KeyboardInterrupt


def observed(*callbacks, given=None, validation=None, net=None, others=(), **parameters):
    observer = SkorchObserver(net)
    fit = prepared(nn.Linear, given, validation, observers=[observer, *others], callbacks=list(callbacks), **parameters)
    train([fit])
    return observer, fit


def test_callbacks_hear_a_fit_with_the_data_it_is_fitted_on():
    validation = examples(table(6))
    observer, _ = observed(Writes(), validation=validation, max_epochs=1)
    [(_, callback)] = observer.net.callbacks_
    assert callback.log == [
        ("train_begin", 20, 20, 0),
        ("epoch_begin", 20, 6, 1),
        ("epoch_end", 20, True, True),
        ("train_end", 20, 20, 1),
    ]


def test_one_net_is_shown_in_fits_that_continue():
    writes = Writes()
    first, fit = observed(writes, max_epochs=2, warm_start=True)
    second, _ = observed(writes, net=first.net, state=fit.state, max_epochs=2, warm_start=True)
    assert second.net is first.net
    [(_, callback)] = first.net.callbacks_
    assert [entry[-1] for entry in callback.log if entry[0] == "train_begin"] == [0, 2]


def test_the_net_has_the_learning_rate_of_each_fit():
    nothing = Nothing()
    first, fit = observed(nothing, lr=0.25, max_epochs=1, warm_start=True)
    assert first.net.lr == 0.25
    observed(nothing, net=first.net, state=fit.state, lr=0.5, max_epochs=1, warm_start=True)
    assert first.net.lr == 0.5


def test_a_stop_that_a_callback_asks_for_is_kept_for_the_end_of_the_epoch():
    heard = Heard()
    _, fit = observed(Interrupts, others=[heard], max_epochs=5)
    assert fit.state.epoch == 1
    assert "epoch_end 1" in heard.log


def test_a_stop_that_the_user_asked_for_is_let_through():
    observer = SkorchObserver(None)
    fit = prepared(nn.Linear, observers=[observer], callbacks=[Interrupts], max_epochs=5)
    fit.interrupts.pending = True
    with pytest.raises(KeyboardInterrupt):
        train([fit])


def test_the_weights_of_every_epoch_are_remembered():
    _, fit = observed(Nothing, max_epochs=3)
    assert list(fit.state.fingerprints) == [1, 2, 3]
    assert len(set(fit.state.fingerprints.values())) == 3


def test_what_callbacks_name_as_their_best_epoch_is_told():
    class Best(Callback):
        def __init__(self, best=None):
            self.best_epoch_ = best

    observer = SkorchObserver(None)
    fit = prepared(observers=[observer], callbacks=[Best(2), Nothing(), Best(), Best(1)], max_epochs=1)
    observer.fit_begin(fit)
    assert observer.fit_end(fit) == [2, 1]


def test_no_data_are_kept_after_the_fit():
    observer, _ = observed(Nothing, given=examples(table(5000)), max_epochs=1)
    assert len(pickle.dumps(observer.net)) < 5000 * 3 * 4
