"""Learning-rate schedules: names filled from the parameters, classes per epoch or per step."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from torch.optim import lr_scheduler as torch_schedules

from sktorch_acc import TorchClassifier
from sktorch_acc.engine.schedules import ScheduleFacts, build_schedule

X, Y = make_classification(64, 6, n_informative=4, n_classes=3, random_state=0)
X = X.astype("float32")


def rates_of(scheduler, max_epochs=4, **settings):
    clf = TorchClassifier(
        lr=0.1, max_epochs=max_epochs, batch_size=16, lr_scheduler=scheduler, random_state=0, **settings
    )
    return clf.fit(X, Y).history_["lr"].to_numpy()


def reference(make, n_epochs=4, n_steps=4, per_step=False):
    """The learning rate at each epoch's start, by torch itself."""
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = make(optimizer)
    seen = []
    for _ in range(n_epochs):
        seen.append(optimizer.param_groups[0]["lr"])
        for _ in range(n_steps):
            optimizer.step()
            if per_step:
                scheduler.step()
        if not per_step:
            scheduler.step()
    return np.array(seen)


def test_cosine_ends_with_the_fit():
    assert np.array_equal(rates_of("cosine"), reference(lambda o: torch_schedules.CosineAnnealingLR(o, T_max=4)))


def test_onecycle_steps_with_every_batch():
    expected = reference(lambda o: torch_schedules.OneCycleLR(o, max_lr=0.1, total_steps=16), per_step=True)
    assert np.array_equal(rates_of("onecycle"), expected)


def test_plateau_follows_what_is_monitored():
    rates = rates_of(
        "plateau", max_epochs=6, optimizer=torch.optim.SGD, lr_scheduler__patience=0, lr_scheduler__threshold=10.0
    )
    assert rates[-1] < rates[0]
    rates = rates_of("plateau", validation_fraction=0.25, monitor="valid_acc", lr_scheduler__patience=0, max_epochs=8)
    assert rates[-1] < rates[0]


@pytest.mark.parametrize(
    ("cls", "arguments", "per_step"),
    [
        (torch_schedules.StepLR, {"step_size": 2}, False),
        (torch_schedules.ExponentialLR, {"gamma": 0.5}, False),
        (torch_schedules.OneCycleLR, {"max_lr": 0.3, "total_steps": 16}, True),
        (torch_schedules.CyclicLR, {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 6}, True),
        (torch_schedules.CosineAnnealingWarmRestarts, {"T_0": 5}, True),
    ],
)
def test_classes_of_torch_step_as_they_are_meant_to(cls, arguments, per_step):
    given = {f"lr_scheduler__{name}": value for name, value in arguments.items()}
    assert np.array_equal(rates_of(cls, **given), reference(lambda o: cls(o, **arguments), per_step=per_step))


def test_the_learning_rate_is_that_of_the_epochs_start():
    assert rates_of(torch_schedules.ExponentialLR, lr_scheduler__gamma=0.5).tolist() == [0.1, 0.05, 0.025, 0.0125]


def test_a_schedule_class_on_a_plateau_knows_which_way_is_better():
    settings = {"lr_scheduler__patience": 1, "validation_fraction": 0.25, "monitor": "valid_acc", "max_epochs": 8}
    assert np.array_equal(rates_of(torch_schedules.ReduceLROnPlateau, **settings), rates_of("plateau", **settings))


def test_a_partial_of_a_schedule_steps_as_its_class_does():
    made = partial(torch_schedules.OneCycleLR, max_lr=0.1, total_steps=16)
    assert np.array_equal(rates_of(made), rates_of("onecycle"))


def test_the_optimizers_own_lr_is_refused():
    with pytest.raises(ValueError, match="the learning rate is the parameter lr"):
        rates_of(None, optimizer__lr=0.1)


# ------------------------------------------------------------ by itself


def sgd(*rates):
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates])


FACTS = ScheduleFacts(lr=0.1, max_epochs=4, n_steps=5, maximise=False)


@pytest.mark.parametrize(
    ("spec", "given", "expected"),
    [
        ("cosine", {}, {"T_max": 4}),
        ("cosine", {"T_max": 9}, {"T_max": 9}),
        ("onecycle", {}, {"total_steps": 20}),
        ("onecycle", {"epochs": 3, "steps_per_epoch": 2}, {"total_steps": 6}),
        ("plateau", {}, {"mode": "min"}),
        ("plateau", {"mode": "max"}, {"mode": "max"}),
        (torch_schedules.ReduceLROnPlateau, {}, {"mode": "min"}),
    ],
)
def test_names_are_filled_from_the_fit_and_what_was_given_wins(spec, given, expected):
    scheduler = build_schedule(spec, given, sgd(0.1), FACTS).scheduler
    assert {name: getattr(scheduler, name) for name in expected} == expected


def test_a_plateau_of_an_accuracy_is_where_it_no_longer_rises():
    assert build_schedule("plateau", {}, sgd(0.1), replace(FACTS, maximise=True)).scheduler.mode == "max"


def test_no_schedule_takes_no_parameters():
    assert build_schedule(None, {}, sgd(0.1), FACTS) is None
    with pytest.raises(ValueError, match="lr_scheduler__gamma was set, but lr_scheduler is None"):
        build_schedule(None, {"gamma": 0.5}, sgd(0.1), FACTS)


def test_a_wrong_or_missing_parameter_of_a_schedule_is_named():
    with pytest.raises(ValueError, match=r"Did you mean 'lr_scheduler__gamma'"):
        build_schedule(torch_schedules.StepLR, {"gama": 0.5}, sgd(0.1), FACTS)
    with pytest.raises(TypeError, match=r"lr_scheduler=StepLR cannot be built.*step_size.*lr_scheduler__<name>"):
        build_schedule(torch_schedules.StepLR, {}, sgd(0.1), FACTS)


@pytest.mark.parametrize("spec", ["cosine", "onecycle", "plateau", torch_schedules.ExponentialLR])
def test_afterwards_the_learning_rates_are_what_they_were(spec):
    optimizer = sgd(0.1, 0.3)
    given = {"gamma": 0.5} if spec is torch_schedules.ExponentialLR else {}
    schedule = build_schedule(spec, given, optimizer, FACTS)
    optimizer.step()
    for _ in range(3):
        schedule.scheduler.step(*([1.0] if schedule.wants_metric else []))
        schedule.end_epoch(1.0)
    for group in optimizer.param_groups:
        group["lr"] *= 0.5
    schedule.undo()
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.3]
    assert not any("initial_lr" in group for group in optimizer.param_groups)


@pytest.mark.parametrize(
    ("optimizer", "name", "options"),
    [
        (torch.optim.AdamW, "betas", {"betas": (0.7, 0.99)}),
        (torch.optim.SGD, "momentum", {"momentum": 0.6}),
    ],
)
def test_afterwards_the_momentum_is_what_it_was(optimizer, name, options):
    optimizer = optimizer([torch.nn.Parameter(torch.zeros(1))], lr=0.1, **options)
    schedule = build_schedule("onecycle", {}, optimizer, FACTS)
    optimizer.step()
    schedule.scheduler.step()
    assert optimizer.param_groups[0][name] != options[name]
    schedule.undo()
    assert optimizer.param_groups[0][name] == options[name]


def test_a_group_that_was_added_meanwhile_keeps_its_rate():
    optimizer = sgd(0.1)
    schedule = build_schedule("cosine", {}, optimizer, FACTS)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.7})
    schedule.undo()
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.7]


OPTIMIZERS = [
    "SGD",
    "RMSprop",
    "Adagrad",
    "Adadelta",
    "Adafactor",
    "ASGD",
    "Rprop",
    "Adamax",
    "NAdam",
    "RAdam",
    "AdamW",
]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_onecycle_moves_the_momentum_of_an_optimizer_that_has_one(name):
    clf = TorchClassifier(optimizer=getattr(torch.optim, name), lr=0.01, max_epochs=2, batch_size=16, random_state=0)
    by_name = clf.set_params(lr_scheduler="onecycle").fit(X, Y)
    moves = "betas" in by_name._state.optimizer.defaults
    clf = TorchClassifier(optimizer=getattr(torch.optim, name), lr=0.01, max_epochs=2, batch_size=16, random_state=0)
    clf.set_params(lr_scheduler=torch_schedules.OneCycleLR, lr_scheduler__max_lr=0.01, lr_scheduler__total_steps=8)
    by_class = clf.set_params(lr_scheduler__cycle_momentum=moves).fit(X, Y)
    for one, other in zip(by_name.module_.parameters(), by_class.module_.parameters(), strict=True):
        assert torch.equal(one, other)
    assert all(group.get("momentum", 0) == 0 for group in by_name._state.optimizer.param_groups)


@pytest.mark.parametrize("given", [{"momentum": 0.9}, {}])
def test_a_momentum_is_moved_only_where_there_is_one_or_it_is_asked_for(given):
    clf = TorchClassifier(optimizer=torch.optim.SGD, lr=0.01, max_epochs=2, batch_size=16, random_state=0)
    clf.set_params(**{f"optimizer__{name}": value for name, value in given.items()}, lr_scheduler="onecycle")
    plain = clf.fit(X, Y).history_["train_loss"].tolist()
    cycled = clf.set_params(lr_scheduler__cycle_momentum=True).fit(X, Y).history_["train_loss"].tolist()
    limited = TorchClassifier(optimizer=torch.optim.SGD, lr=0.01, max_epochs=2, batch_size=16, random_state=0)
    limited.set_params(**{f"optimizer__{name}": value for name, value in given.items()}, lr_scheduler="onecycle")
    limited.set_params(lr_scheduler__max_momentum=0.95).fit(X, Y)
    assert (plain == cycled) == bool(given)
    assert limited.history_["train_loss"].tolist() == cycled


def test_a_class_of_torch_is_helped_where_it_would_be_refused():
    clf = TorchClassifier(optimizer=torch.optim.Adagrad, lr=0.01, max_epochs=2, batch_size=16, random_state=0)
    clf.set_params(lr_scheduler=torch_schedules.CyclicLR, lr_scheduler__base_lr=0.001, lr_scheduler__max_lr=0.01)
    assert clf.fit(X, Y).n_iter_ == 2
    with pytest.raises(ValueError, match="momentum"):
        clf.set_params(lr_scheduler__cycle_momentum=True).fit(X, Y)
