"""Ctrl-C at a random moment: a signal from a timer, and what a process shares, to be compared."""

import random
import signal
import time
from contextlib import contextmanager

import numpy as np
import torch

SHORTEST = 1e-5  # seconds; 0 would switch the timer off


@contextmanager
def default_handler():
    """Python's own handler of SIGINT during the body, whatever the process was started with."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def interrupted(call, delay, *, must_raise=True):
    """Run a call with one SIGINT after `delay` seconds; return whether it was interrupted.

    A timer that did not end before the call is switched off. With `must_raise`, a signal that came must interrupt.
    """
    came = []

    def press(signum, frame):
        came.append(signum)
        signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGALRM, press)
    raised = False
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, max(delay, SHORTEST))
            call()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        raised = True
    signal.signal(signal.SIGALRM, before)
    assert raised or not came or not must_raise, "a Ctrl-C was lost"
    return raised


def duration(call, times=5):
    """Return the seconds that a call takes, the median of several; the first of a process takes much longer."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return sorted(taken)[times // 2]


def shared_state():
    """Return what a fit and `predict` leave as they found it."""
    numpy_state = np.random.get_state()  # noqa: NPY002
    return {
        "torch": torch.default_generator.get_state().tolist(),
        "numpy": (numpy_state[1].tolist(), *numpy_state[2:]),
        "python": random.getstate(),
        "gradients": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)],
    }
