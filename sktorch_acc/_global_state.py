"""The only place that saves, seeds and restores the state that a process shares.

That state is: the generators of torch (CPU and accelerator), numpy and Python, the default dtype, the
number of intra-op threads and the gradient mode. Nothing else in the library touches it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

__all__ = ["full_precision", "guarded_generators", "isolated", "seed_generators", "thread_limit"]


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
    np.random.seed(seeds[1])  # noqa: NPY002 - the global generator is what is to be seeded
    random.seed(seeds[2])


@contextmanager
def guarded_generators(device: torch.device) -> Iterator[None]:
    """Give the body the generators as they are, and put them back afterwards, whatever it drew."""
    accelerator = _accelerator(device)
    torch_state = torch.default_generator.get_state()
    device_state = None if accelerator is None else accelerator.get_rng_state(device)
    numpy_state, python_state = np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    try:
        yield
    finally:
        torch.default_generator.set_state(torch_state)
        if accelerator is not None:
            accelerator.set_rng_state(device_state, device)
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(python_state)


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context without autocast: `fit` and `predict` compute in the module's dtype alone."""
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
    """Run the body so that no shared state is different afterwards, also when it fails.

    Gradients are on inside and autocast is off: `fit` must train also under ``torch.no_grad()``.
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
