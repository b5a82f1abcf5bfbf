"""Saving and restoring what a process shares, also when the body fails."""

import random

import numpy as np
import pytest
import torch

from sktorch_acc._global_state import guarded_generators, isolated, seed_generators, thread_limit

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
