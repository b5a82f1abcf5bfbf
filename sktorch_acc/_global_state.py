"""Save, seed and restore the global state of the process; no other module of the library changes it.

The global state consists of the generators of torch (CPU and accelerator), numpy and Python, the default dtype, the
number of intra-op threads and the gradient mode. The seeds of fits and epochs are computed here too.
"""

from __future__ import annotations

import ctypes
import functools
import os
import pickle
import random
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from numbers import Integral
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import numpy as np
import torch
from sklearn.utils import check_random_state


def _accelerator(device: torch.device) -> Any:
    """Return the torch module that owns the generators of `device`; None for a CPU."""
    return None if device.type in ("cpu", "meta") else torch.get_device_module(device)


def seed_generators(seeds: tuple[int, int, int], device: torch.device) -> None:
    """Seed torch, numpy and Python with one integer each (numpy's below 2**32)."""
    # 0.8 us; torch.manual_seed also seeds lazily started accelerators and takes 53 us.
    torch.default_generator.manual_seed(seeds[0])
    accelerator = _accelerator(device)
    if accelerator is not None:
        accelerator.manual_seed(seeds[0])
    np.random.seed(seeds[1])  # noqa: NPY002 - the global generator is to be seeded
    random.seed(seeds[2])


_Result = TypeVar("_Result")
_FIRST = random.Random(0).random()
_WORDS = 624  # of the state of numpy's global generator, and the position in it


def drawn_by(call: Callable[[], _Result], device: torch.device) -> tuple[_Result, bool]:
    """Return what a call returns, and whether it drew from the generators of torch, numpy or Python.

    Python's generator moves on; what follows from its seed still does.
    """
    # To read its state takes 7 us, twice; seeding it takes 3 us, and one draw tells whether there was another.
    key = random.getrandbits(64)
    random.seed(0)
    try:
        host, others = torch.default_generator.get_state(), _state_of_numpy()
        accelerator = _accelerator(device)
        there = accelerator and accelerator.get_rng_state(device)
        result = call()
        drawn = (
            random.random() != _FIRST
            or others != _state_of_numpy()
            or not torch.equal(host, torch.default_generator.get_state())
            or (accelerator is not None and not torch.equal(there, accelerator.get_rng_state(device)))
        )
    finally:
        random.seed(key)
    return result, drawn


def _state_of_numpy() -> bytes:
    """Return the state of numpy's global generator; `np.random.get_state` takes 24 us."""
    shared: Any = np.random  # its stubs do not name the function
    generator = shared.get_bit_generator()
    if type(generator) is not np.random.MT19937:  # the user replaced it
        return pickle.dumps(generator.state)
    return ctypes.string_at(generator.ctypes.state_address, 4 * (_WORDS + 1))


def guarded_generators(device: torch.device) -> AbstractContextManager[None]:
    """Restore the generators after the body, whatever it drew from them.

    Where bodies overlap in threads, the first that begins saves the generators, and the last that ends restores them.
    """
    return _GuardedGenerators(device)


_Saved = tuple[Callable[[Any], object], Any]  # a function that restores a state, and the state


class _Overlap:
    """What threads do at one time: the guarded bodies, and the limits of intra-op threads.

    Guards are held weakly: one that Ctrl-C abandoned does not count.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.guards: WeakValueDictionary[int, _GuardedGenerators] = WeakValueDictionary()
        self.saved: dict[str, list[_Saved]] = {}  # by the first
        self.limits: dict[int, tuple[int, int]] = {}  # of each thread: its number of threads, and the limit


_OVERLAP = _Overlap()
if hasattr(os, "register_at_fork"):  # the other threads, which may hold the lock, are not in the new process
    os.register_at_fork(after_in_child=_OVERLAP.__init__)  # type: ignore[misc]


class _GuardedGenerators(AbstractContextManager[None]):
    # A class, not a generator: Ctrl-C while a body is left may abandon a generator, whose `finally` then runs when it
    # is collected, long after the fit.

    def __init__(self, device: torch.device) -> None:
        self._device, self._accelerator = device, _accelerator(device)
        self._own: list[_Saved] = []

    def __enter__(self) -> None:
        thread = threading.get_ident()
        with _OVERLAP.lock:
            saved = self._states()
            self._outermost = thread not in _OVERLAP.guards
            if not self._outermost:
                self._own = [one for states in saved.values() for one in states]
                return
            if not _OVERLAP.guards:
                _OVERLAP.saved.clear()
            for name, states in saved.items():
                _OVERLAP.saved.setdefault(name, states)
            _OVERLAP.guards[thread] = self

    def _states(self) -> dict[str, list[_Saved]]:
        default = torch.default_generator
        states: dict[str, list[_Saved]] = {
            "host": [
                (default.set_state, default.get_state()),
                (np.random.set_state, np.random.get_state(legacy=False)),  # noqa: NPY002
                (random.setstate, random.getstate()),
            ]
        }
        if self._accelerator is not None:
            put_back = functools.partial(self._accelerator.set_rng_state, device=self._device)
            states[str(self._device)] = [(put_back, self._accelerator.get_rng_state(self._device))]
        return states

    def __exit__(self, *_: object) -> None:
        with _OVERLAP.lock:
            if self._outermost:
                _OVERLAP.guards.pop(threading.get_ident(), None)
                if not _OVERLAP.guards:
                    self._own = [one for states in _OVERLAP.saved.values() for one in states]
                    _OVERLAP.saved.clear()
            for put_back, state in self._own:
                put_back(state)


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context without autocast: `fit` and `predict` compute in the dtype of the module only."""
    if not torch.is_autocast_enabled(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def without_inference_mode() -> AbstractContextManager[Any]:
    """Return a context outside of inference mode, whose tensors can be trained on.

    torch leaves the mode, and brings back the gradient mode of before, when an object is deleted. Where Ctrl-C abandons
    the object, that happens as late as the traceback is gone; so there is none where it would change nothing.
    """
    return torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext()


_HERE = threading.local()


def available_threads() -> int:
    """Return the number of intra-op threads of torch in this thread.

    The number belongs to a thread, but a new thread begins with the one that was set last in any: with the limit of a
    body that runs in another thread just now. In this case it is put right.
    """
    number = torch.get_num_threads()
    if not hasattr(_HERE, "known"):
        _HERE.known = True
        with _OVERLAP.lock:
            for before, limit in _OVERLAP.limits.values():
                if number == limit != before:
                    torch.set_num_threads(before)
                    return before
    return number


@contextmanager
def thread_limit(n_threads: int) -> Iterator[None]:
    """Run the body with `n_threads` intra-op threads of torch."""
    before = available_threads()
    thread = threading.get_ident()
    outer = _OVERLAP.limits.get(thread)
    try:
        if n_threads != before:
            with _OVERLAP.lock:
                _OVERLAP.limits[thread] = (before if outer is None else outer[0], n_threads)
                torch.set_num_threads(n_threads)
        yield
    finally:
        with _OVERLAP.lock:
            if torch.get_num_threads() != before:
                torch.set_num_threads(before)
            if outer is None:
                _OVERLAP.limits.pop(thread, None)
            else:
                _OVERLAP.limits[thread] = outer


@contextmanager
def isolated(device: torch.device) -> Iterator[None]:
    """Restore the global state after the body, also if it raises an error.

    Inside, gradients are on and autocast is off, so that `fit` trains also under ``torch.no_grad()``.
    """
    dtype, threads = torch.get_default_dtype(), available_threads()
    try:
        with (
            guarded_generators(device),
            without_inference_mode(),
            torch.enable_grad(),
            full_precision(device),
        ):
            yield
    finally:
        if torch.get_default_dtype() is not dtype:
            torch.set_default_dtype(dtype)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


# ------------------------------------------------------------ seeds

_GOLDEN = 0x9E3779B97F4A7C15  # spreads consecutive epochs over the seeds
_SPLIT_EPOCH = -1  # in place of an epoch, for the seed of the hold-out
# Seeding an existing RandomState is fifty times faster than creating one.
_SEEDED, _SEEDING = np.random.RandomState(), threading.Lock()


def epoch_seeds(seed: int, epoch: int) -> tuple[int, int, int, int]:
    """Return the seeds of an epoch: torch, numpy, Python, order of the samples. Those of epoch 0 are for the module."""
    mixed = (seed + epoch * _GOLDEN) % 2**64
    return mixed % 2**63, mixed % 2**32, mixed >> 1, (mixed ^ _GOLDEN) % 2**63


def split_seed(seed: int) -> int:
    """Return the seed of the hold-out."""
    return epoch_seeds(seed, _SPLIT_EPOCH)[3]


def fit_seed(random_state: Any) -> int:
    """Return the seed of a fit (62 bits): new entropy for None, else drawn from `random_state` as in scikit-learn."""
    if random_state is None:
        return secrets.randbits(62)
    if isinstance(random_state, Integral):
        return _seed_of(int(random_state))
    return _two_draws(check_random_state(random_state))


@functools.lru_cache(maxsize=64)
def _seed_of(random_state: int) -> int:
    # Remembered: all folds of a cross-validation have the same.
    with _SEEDING:
        _SEEDED.seed(random_state)
        return _two_draws(_SEEDED)


def _two_draws(generator: np.random.RandomState) -> int:
    low, high = generator.randint(0, 2**31, size=2, dtype=np.int64)
    return (int(high) << 31) | int(low)
