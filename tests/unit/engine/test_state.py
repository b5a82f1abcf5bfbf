"""How far a training has come: what is kept between fits, copied, pickled and moved."""

import copy
import pickle
from dataclasses import replace

import pytest
import torch
from torch import nn

from sktorch_acc import AccuracyWarning
from sktorch_acc.engine.observer import Observer
from sktorch_acc.engine.state import _move
from sktorch_acc.engine.train import train
from tests.fits import examples, prepared

META = torch.device("meta")


def state_of(*, warm_start=False, **settings):
    fit = prepared(nn.Linear, warm_start=warm_start, **{"max_epochs": 2, **settings})
    train([fit])
    return fit.state


def pickled(state):
    return pickle.loads(pickle.dumps(state))


# ------------------------------------------------------------ module and criterion


def test_another_module_or_criterion_takes_the_place_of_the_first():
    state = state_of()
    module, criterion, spec = nn.Linear(3, 2), nn.CrossEntropyLoss(), state.model.spec
    state.use(module=module)
    state.use(criterion=criterion)
    assert (state.model.module, state.model.criterion, state.model.spec) == (module, criterion, spec)


def test_a_module_of_no_length_is_a_module_too():
    class Empty(nn.Linear):
        def __len__(self):
            return 0

    class NoCriteria(nn.CrossEntropyLoss):
        def __len__(self):
            return 0

    state = state_of()
    module, criterion = Empty(3, 2), NoCriteria()
    state.use(module=module, criterion=criterion)
    assert state.model.module is module
    assert state.model.criterion is criterion


# ------------------------------------------------------------ epochs


def test_rows_are_found_by_their_epoch():
    state = state_of()
    assert state.row_of(2) is state.rows[1]
    assert state.row_of(3) is None


def test_a_fit_knows_the_rows_of_its_own():
    state = state_of(warm_start=True)
    fit = prepared(state=state, warm_start=True, max_epochs=1)
    train([fit])
    assert [row.epoch for row in fit.rows] == [3]
    assert [row.epoch for row in state.rows] == [1, 2, 3]


# ------------------------------------------------------------ copies


class Snapshots(Observer):
    """Takes a snapshot of the state after every epoch."""

    def __init__(self):
        self.taken = []

    def epoch_end(self, fit, row):
        self.taken.append(fit.state.snapshot())


def test_a_snapshot_in_mid_fit_does_not_follow_the_training():
    observer = Snapshots()
    fit = prepared(observers=[observer], max_epochs=2, lr=0.5, lr_scheduler="cosine")
    train([fit])
    first = observer.taken[0]
    assert [row.epoch for row in first.rows] == [1]
    assert first.epoch == 1
    assert not torch.equal(first.model.module.weight, fit.model.module.weight)
    assert not first.model.module.training
    assert (first.optimizer, first.schedule, first.last, first.running) == (None, None, None, False)


# ------------------------------------------------------------ pickle


def test_a_pickle_holds_the_optimizer_only_if_it_will_be_needed():
    assert pickled(state_of()).optimizer is None
    assert pickled(state_of(warm_start=True)).optimizer is not None


def test_the_optimizer_in_a_pickle_goes_on_with_the_parameters_in_it():
    state = pickled(state_of(warm_start=True))
    members = {id(parameter) for group in state.optimizer.param_groups for parameter in group["params"]}
    assert members == {id(parameter) for parameter in state.model.module.parameters()}
    assert [int(values["step"]) for values in state.optimizer.state.values()] == [2, 2]


class Pickles(Observer):
    def __init__(self):
        self.data = []

    def epoch_end(self, fit, row):
        self.data.append(pickle.dumps(fit.state))


def test_a_pickle_in_mid_fit_holds_the_optimizer_and_nothing_else_of_the_fit():
    observer = Pickles()
    settings = {"early_stopping": True, "lr_scheduler": "cosine", "n_iter_no_change": 9}
    large = examples(torch.randn(2000, 3).numpy())
    fit = prepared(nn.Linear, large, large, observers=[observer], max_epochs=2, **settings)
    train([fit])
    state = pickle.loads(observer.data[0])
    assert state.optimizer is not None
    assert [state.schedule, state.stopping, state.last, state.best, state.running] == [None, None, None, None, False]
    assert len(observer.data[0]) < 2000 * 3 * 4  # less than the samples alone


def test_record_and_seed_come_back():
    state = state_of()
    again = pickled(state)
    assert [row.values for row in again.rows] == [row.values for row in state.rows]
    assert [row.counts["train_acc"][0].tolist() for row in again.rows] == [
        row.counts["train_acc"][0].tolist() for row in state.rows
    ]
    assert (again.seed, again.epoch, again.best_epoch, again.lr) == (state.seed, 2, 2, state.lr)


# ------------------------------------------------------------ devices


@pytest.mark.parametrize("warm_start", [False, True])
def test_a_state_moves_with_its_optimizer(warm_start):
    state = state_of(warm_start=warm_start)
    state.to(META)
    assert state.model.device == META
    members = [id(parameter) for group in state.optimizer.param_groups for parameter in group["params"]]
    assert members == [id(parameter) for parameter in state.model.module.parameters()]
    tensors = [value for values in state.optimizer.state.values() for value in values.values()]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


def test_a_state_without_an_optimizer_moves():
    state = pickled(state_of())
    state.to(META)
    assert state.model.module.weight.device.type == "meta"


def test_a_pickle_from_a_device_that_is_not_here_comes_to_the_cpu_with_a_warning():
    state = state_of(warm_start=True)
    state.model = replace(state.model, device=torch.device("cuda", 7))
    with pytest.warns(AccuracyWarning, match=r"was on 'cuda:7', which is not available here"):
        again = pickled(state)
    assert again.model.device == torch.device("cpu")
    members = {id(parameter) for group in again.optimizer.param_groups for parameter in group["params"]}
    assert members == {id(parameter) for parameter in again.model.module.parameters()}


def test_pickling_leaves_the_state_on_its_device():
    state = state_of(warm_start=True)
    state.model = replace(state.model, device=torch.device("cuda", 7))
    model, optimizer = state.model, state.optimizer
    pickle.dumps(state)
    assert state.model is model
    assert state.optimizer is optimizer


def test_a_deep_copy_shares_nothing():
    state = state_of(warm_start=True)
    twin = copy.deepcopy(state)
    with torch.no_grad():
        twin.model.module.weight.zero_()
    assert (state.model.module.weight != 0).any()
    assert twin.optimizer.param_groups[0]["params"][0] is twin.model.module.weight


# ------------------------------------------------------------ another device


def test_lbfgs_moves_the_parameters_that_a_device_made():
    module = nn.Linear(3, 2)
    optimizer = torch.optim.LBFGS(module.parameters(), lr=0.1, max_iter=3)

    def closure():
        optimizer.zero_grad()
        loss = module(torch.ones(4, 3)).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    new = {id(p): nn.Parameter(p.detach().clone()) for p in module.parameters()}
    _move(optimizer, new, torch.device("meta"))
    assert [id(p) for p in optimizer._params] == [id(p) for p in new.values()]
    values = next(iter(optimizer.state.values()))
    assert {direction.device.type for direction in [*values["old_dirs"], *values["old_stps"]]} == {"meta"}
