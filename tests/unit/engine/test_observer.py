"""Who is told of a fit, in which order, and what is put back around foreign code."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sktorch_acc.engine import observer as room
from sktorch_acc.engine import steps as room_of_steps
from sktorch_acc.engine.interrupts import Interrupts
from sktorch_acc.engine.observer import BatchObserver, Observer, batch_observers, tell
from sktorch_acc.engine.train import train
from tests.fits import CPU, Heard, examples, prepared


def fit_with(*observers):
    """As much of a fit as `tell` looks at."""
    model = SimpleNamespace(device=CPU)
    return SimpleNamespace(observers=list(observers), state=SimpleNamespace(model=model), interrupts=Interrupts())


def two():
    log = []
    return fit_with(Heard("first", log), Heard("second", log)), log


@pytest.mark.parametrize(("hook", "arguments"), [("fit_begin", ()), ("epoch_begin", (1,))])
def test_what_begins_is_told_in_reverse(hook, arguments):
    fit, log = two()
    tell(fit, hook, *arguments)
    assert [name for name, _ in log] == ["second", "first"]


@pytest.mark.parametrize("hook", ["fit_end", "result", "published"])
def test_what_ends_is_told_in_order(hook):
    fit, log = two()
    tell(fit, hook)
    assert log == [("first", hook), ("second", hook)]


@pytest.mark.parametrize("hook", ["epoch_recorded", "epoch_end"])
def test_the_end_of_an_epoch_is_told_in_order(hook):
    fit, log = two()
    tell(fit, hook, SimpleNamespace(epoch=3))
    assert log == [("first", f"{hook} 3"), ("second", f"{hook} 3")]


def test_the_answers_are_those_of_the_observers_in_the_order_told():
    class Answers(Observer):
        def __init__(self, answer):
            self.answer = answer

        def epoch_end(self, fit, row):
            return self.answer

        def fit_begin(self, fit):
            return self.answer

    fit = fit_with(Answers(1), Answers(2))
    assert tell(fit, "epoch_end", None) == [1, 2]
    assert tell(fit, "fit_begin") == [2, 1]


def test_a_whole_fit_is_heard_in_this_order():
    log = []
    fit = prepared(observers=[Heard("a", log), Heard("b", log)], max_epochs=2)
    train([fit])
    tell(fit, "published")
    assert [hook for name, hook in log if name == "a"] == [
        "fit_begin",
        "epoch_begin 1",
        "epoch_recorded 1",
        "epoch_end 1",
        "epoch_begin 2",
        "epoch_recorded 2",
        "epoch_end 2",
        "fit_end",
        "result",
        "published",
    ]
    assert log[:8:2] == [("b", "fit_begin"), ("b", "epoch_begin 1"), ("a", "epoch_recorded 1"), ("a", "epoch_end 1")]


# ------------------------------------------------------------ foreign code


class Draws(Observer):
    """Draws from every generator and looks at the gradient mode."""

    def __init__(self):
        self.grad = []

    def fit_end(self, fit):
        torch.rand(1)
        np.random.rand()  # noqa: NPY002
        random.random()
        self.grad.append(torch.is_grad_enabled())
        return []


class DrawsAtHome(Draws):
    foreign = False


def generators():
    return torch.get_rng_state().tolist(), str(np.random.get_state()), random.getstate()  # noqa: NPY002


def test_the_generators_are_put_back_after_a_foreign_observer():
    before = generators()
    tell(fit_with(Draws()), "fit_end")
    assert generators() == before


def test_an_observer_of_our_own_is_not_guarded():
    before = generators()
    tell(fit_with(DrawsAtHome()), "fit_end")
    assert all(now != then for now, then in zip(generators(), before, strict=True))


@pytest.mark.parametrize("kinds", [(DrawsAtHome, Draws), (Draws, DrawsAtHome)])
def test_beside_a_foreign_observer_ours_is_guarded_too(kinds):
    before = generators()
    tell(fit_with(*(kind() for kind in kinds)), "fit_end")
    assert generators() == before


def test_the_generators_are_put_back_when_an_observer_fails():
    class Fails(Draws):
        def fit_end(self, fit):
            super().fit_end(fit)
            raise OSError("disk full")

    before = generators()
    with pytest.raises(OSError, match="disk full"):
        tell(fit_with(Fails()), "fit_end")
    assert generators() == before


@pytest.mark.parametrize("kind", [Draws, DrawsAtHome])
def test_gradients_are_on_for_an_observer(kind):
    observer = kind()
    with torch.no_grad():
        tell(fit_with(observer), "fit_end")
        assert not torch.is_grad_enabled()
    assert observer.grad == [True]


# ------------------------------------------------------------ what costs nothing


class Silent(Observer):
    """Overrides nothing."""


@pytest.mark.parametrize("hook", ["fit_begin", "epoch_begin", "epoch_end", "fit_end", "batch_begin", "gradients"])
@pytest.mark.parametrize("observers", [[], [Silent()], [Observer()], [BatchObserver()]], ids=len)
def test_nobody_is_called_and_nothing_guarded_where_no_hook_is_overridden(monkeypatch, observers, hook):
    def never(*arguments):
        raise AssertionError

    monkeypatch.setattr(room, "guarded_generators", never)
    monkeypatch.setattr(torch, "enable_grad", never)
    assert tell(fit_with(*observers), hook, None, None, None) == []


class OneHook(Observer):
    def epoch_end(self, fit, row):
        return True


def test_only_the_hooks_that_are_overridden_are_called():
    assert tell(fit_with(OneHook(), Silent()), "epoch_end", None) == [True]
    assert tell(fit_with(OneHook(), Silent()), "fit_begin") == []


def test_a_hook_that_a_parent_class_overrides_counts():
    class Child(OneHook):
        pass

    assert tell(fit_with(Child()), "epoch_end", None) == [True]


# ------------------------------------------------------------ batches


class Batches(BatchObserver):
    def __init__(self, hears):
        self.hears, self.heard = hears, 0

    @property
    def hears_batches(self):
        return self.hears

    def batch_begin(self, fit, batch, training):
        self.heard += 1


def test_batches_are_told_to_those_that_hear_them_now():
    listens, deaf = Batches(True), Batches(False)
    fit = fit_with(Silent(), listens, deaf)
    assert batch_observers(fit) == [listens]
    tell(fit, "batch_begin", None, True)
    assert (listens.heard, deaf.heard) == (1, 0)


def test_an_observer_that_hears_no_batches_leaves_the_fast_path(monkeypatch):
    taken = []
    for name in ("_lean_steps", "_observed_steps"):
        original = getattr(room_of_steps, name)
        monkeypatch.setattr(room_of_steps, name, lambda *a, n=name, f=original: taken.append(n) or f(*a))
    for observers in ([], [Heard()], [Batches(False)], [Batches(True)]):
        train([prepared(given=examples(), observers=observers, max_epochs=1)])
    assert taken == ["_lean_steps"] * 3 + ["_observed_steps"]
