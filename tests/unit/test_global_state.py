"""Saving and restoring what a process shares, also when the body fails."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from sktorch_acc._global_state import (
    available_threads,
    drawn_by,
    guarded_generators,
    isolated,
    seed_generators,
    thread_limit,
    without_inference_mode,
)

CPU = torch.device("cpu")


def draws():
    return torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()  # noqa: NPY002


def _draw_and_fail():
    draws()
    raise ZeroDivisionError


def test_the_same_seeds_give_the_same_draws():
    with isolated(CPU):
        seed_generators((1, 2, 3), CPU)
        first = draws()
        seed_generators((1, 2, 3), CPU)
        assert draws() == first


@pytest.mark.parametrize("context", [guarded_generators, isolated])
def test_generators_are_put_back_also_after_an_error(context):
    with isolated(CPU):
        seed_generators((1, 2, 3), CPU)
        expected = draws()
        seed_generators((1, 2, 3), CPU)
        with pytest.raises(ZeroDivisionError), context(CPU):
            _draw_and_fail()
        assert draws() == expected


def test_a_guard_that_an_interrupt_abandons_changes_nothing_later():
    with isolated(CPU):
        guard = guarded_generators(CPU)
        guard.__enter__()
        seed_generators((1, 2, 3), CPU)
        expected = draws()
        seed_generators((1, 2, 3), CPU)
        del guard  # collected
        assert draws() == expected


def test_isolated_puts_back_dtype_threads_and_gradient_mode():
    before = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    with torch.no_grad():
        with isolated(CPU):
            assert torch.is_grad_enabled()
            torch.set_default_dtype(torch.float64)
            torch.set_num_threads(2)
        assert not torch.is_grad_enabled()
    assert (torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()) == before


def test_a_thread_limit_ends_with_its_body():
    before = torch.get_num_threads()
    with thread_limit(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_another_bit_generator_of_numpys_is_put_back_too():
    before = np.random.get_bit_generator()
    np.random.set_bit_generator(np.random.PCG64(3))
    try:
        state = str(np.random.get_state(legacy=False))  # noqa: NPY002
        with isolated(CPU):
            seed_generators((1, 2, 3), CPU)
            draws()
        assert str(np.random.get_state(legacy=False)) == state  # noqa: NPY002
    finally:
        np.random.set_bit_generator(before)


def in_thread(call):
    """Return what a call returns in a new thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(timeout=60)


class Stepwise:
    """A thread that holds a context from `enter` to `leave`."""

    def __init__(self, context):
        self._context, self._pool = context, ThreadPoolExecutor(1)

    def enter(self):
        self._pool.submit(self._context.__enter__).result(timeout=60)

    def run(self, call):
        return self._pool.submit(call).result(timeout=60)

    def leave(self):
        self._pool.submit(self._context.__exit__, None, None, None).result(timeout=60)
        self._pool.shutdown()


@pytest.mark.parametrize("context", [guarded_generators, isolated])
@pytest.mark.parametrize("order", ["first leaves first", "last leaves first"])
def test_the_first_of_overlapping_guards_saves_and_the_last_restores(context, order):
    with isolated(CPU):
        seed_generators((1, 2, 3), CPU)
        expected = draws()
    seed_generators((1, 2, 3), CPU)
    first, second = Stepwise(context(CPU)), Stepwise(context(CPU))
    first.enter()
    first.run(lambda: seed_generators((4, 5, 6), CPU))
    second.enter()
    second.run(draws)
    leaving = [first, second] if order == "first leaves first" else [second, first]
    leaving[0].leave()
    leaving[1].run(draws)
    leaving[1].leave()
    assert draws() == expected


def test_a_guard_inside_a_guard_restores_what_it_found():
    with guarded_generators(CPU):
        seed_generators((1, 2, 3), CPU)
        expected = draws()
        seed_generators((1, 2, 3), CPU)
        with guarded_generators(CPU):
            draws()
        assert draws() == expected


def test_an_abandoned_guard_does_not_keep_others_from_restoring():
    guard = guarded_generators(CPU)
    guard.__enter__()
    del guard  # collected
    seed_generators((1, 2, 3), CPU)
    expected = draws()
    seed_generators((1, 2, 3), CPU)

    def body():
        with guarded_generators(CPU):
            draws()

    in_thread(body)
    assert draws() == expected


def test_a_thread_that_begins_under_the_limit_of_another_keeps_its_own_number():
    before = torch.get_num_threads()
    limited = Stepwise(thread_limit(before + 1))
    limited.enter()
    try:

        def number_after_a_limit():
            with thread_limit(before + 2):
                pass
            return available_threads(), torch.get_num_threads()

        assert in_thread(number_after_a_limit) == (before, before)
    finally:
        limited.leave()
    assert in_thread(torch.get_num_threads) == torch.get_num_threads() == before


def test_a_number_that_a_thread_has_chosen_stays():
    def chosen():
        available_threads()
        torch.set_num_threads(before + 1)
        with thread_limit(before):
            pass
        return torch.get_num_threads()

    before = torch.get_num_threads()
    try:
        with thread_limit(before + 1):
            assert in_thread(chosen) == before + 1
    finally:
        torch.set_num_threads(before)


def test_limits_nest():
    before = torch.get_num_threads()
    with thread_limit(before + 1):
        with thread_limit(before + 2):
            assert torch.get_num_threads() == before + 2
        assert torch.get_num_threads() == before + 1
        assert in_thread(available_threads) == before
    assert torch.get_num_threads() == before


def test_inference_mode_is_left_only_where_it_is_on():
    assert not isinstance(without_inference_mode(), torch.inference_mode)
    with torch.inference_mode():
        with without_inference_mode():
            assert not torch.is_inference_mode_enabled()
        assert torch.is_inference_mode_enabled()


@pytest.mark.parametrize(
    ("draw", "drawn"),
    [
        (lambda: None, False),
        (lambda: torch.rand(()), True),
        (lambda: torch.rand(10_000), True),
        (lambda: np.random.rand(), True),  # noqa: NPY002
        (lambda: np.random.rand(312), True),  # noqa: NPY002 - a whole turn of its state
        (lambda: random.random(), True),
        (lambda: random.getrandbits(1), True),
        (lambda: np.random.default_rng(0).random(), False),
    ],
)
def test_what_is_drawn_is_noticed(draw, drawn):
    with isolated(CPU):
        draws()  # all of them are in the middle of a turn of their states
        before = torch.get_rng_state(), np.random.get_state()[1:3]  # noqa: NPY002
        assert drawn_by(lambda: (draw(), 7)[1], CPU) == (7, drawn)
        if not drawn:
            assert torch.equal(before[0], torch.get_rng_state())
            assert np.array_equal(before[1][0], np.random.get_state()[1])  # noqa: NPY002


def test_after_a_look_at_what_is_drawn_python_draws_what_follows_from_its_seed():
    def following(seed):
        random.seed(seed)
        drawn_by(lambda: None, CPU)
        return random.random()

    with isolated(CPU):
        assert following(1) == following(1) != following(2)


def test_draws_from_a_generator_of_another_kind_are_noticed():
    kept = np.random.get_bit_generator()
    try:
        np.random.set_bit_generator(np.random.PCG64(0))
        assert drawn_by(lambda: None, CPU)[1] is False
        assert drawn_by(np.random.rand, CPU)[1] is True
    finally:
        np.random.set_bit_generator(kept)
