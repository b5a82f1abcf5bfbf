"""Save, seed and restore the global state of the process; no other module of the library changes it.

The global state consists of the generators of torch (CPU and accelerator), numpy and Python, the default dtype, the
number of intra-op threads and the gradient mode. The seeds of fits and epochs are computed here too.
"""

from __future__ import annotations

import random
import secrets
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from numbers import Integral
from typing import Any

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


def guarded_generators(device: torch.device) -> AbstractContextManager[None]:
    """Restore the generators after the body, whatever it drew from them."""
    return _GuardedGenerators(device)


class _GuardedGenerators(AbstractContextManager[None]):
    # A class, not a generator: Ctrl-C while a body is left may abandon a generator, whose `finally` then runs when it
    # is collected, long after the fit.

    def __init__(self, device: torch.device) -> None:
        self._device, self._accelerator = device, _accelerator(device)

    def __enter__(self) -> None:
        self._torch = torch.default_generator.get_state()
        self._own = None if self._accelerator is None else self._accelerator.get_rng_state(self._device)
        self._numpy, self._python = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002

    def __exit__(self, *_: object) -> None:
        torch.default_generator.set_state(self._torch)
        if self._accelerator is not None:
            self._accelerator.set_rng_state(self._own, self._device)
        np.random.set_state(self._numpy)  # noqa: NPY002
        random.setstate(self._python)


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context without autocast: `fit` and `predict` compute in the dtype of the module only."""
    if not torch.is_autocast_enabled(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


@contextmanager
def thread_limit(n_threads: int) -> Iterator[None]:
    """Run the body with `n_threads` intra-op threads of torch."""
    before = torch.get_num_threads()
    if n_threads != before:
        torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


@contextmanager
def isolated(device: torch.device) -> Iterator[None]:
    """Restore the global state after the body, also if it raises an error.

    Inside, gradients are on and autocast is off, so that `fit` trains also under ``torch.no_grad()``.
    """
    dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
    try:
        with (
            guarded_generators(device),
            torch.inference_mode(False),
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
        with _SEEDING:
            _SEEDED.seed(int(random_state))
            return _two_draws(_SEEDED)
    return _two_draws(check_random_state(random_state))


def _two_draws(generator: np.random.RandomState) -> int:
    low, high = generator.randint(0, 2**31, size=2, dtype=np.int64)
    return (int(high) << 31) | int(low)
