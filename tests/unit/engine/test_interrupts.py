"""Ctrl-C during a fit: noted, and passed on at once only where a fit can be interrupted."""

import signal
import threading
from contextlib import nullcontext

import pytest

from sktorch_acc.engine.interrupts import Interrupts


def press():
    signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def handler():
    """Python's own handler during the test, whatever pytest runs under."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def fit(interrupts, *parts):
    """Run parts of a fit; those that are tuples can be interrupted."""
    with interrupts.watching():
        for part in parts:
            with interrupts.interruptible() if isinstance(part, tuple) else nullcontext():
                for step in part:
                    step()


def test_a_signal_in_an_interruptible_part_is_raised_at_once_and_noted():
    interrupts, done = Interrupts(), []
    with pytest.raises(KeyboardInterrupt):
        fit(interrupts, (press, lambda: done.append("never")))
    assert not done
    assert interrupts.pending


def test_the_handler_is_put_back_whatever_happens(handler):
    for error in (None, KeyboardInterrupt, OSError("disk full")):
        interrupts = Interrupts()
        try:
            with interrupts.watching():
                assert signal.getsignal(signal.SIGINT) is not handler
                if error is KeyboardInterrupt:
                    with interrupts.interruptible():
                        press()
                elif error is not None:
                    raise error
        except (KeyboardInterrupt, OSError):
            pass
        assert signal.getsignal(signal.SIGINT) is handler


def test_an_interrupt_that_code_raises_is_not_one_of_the_user():
    interrupts = Interrupts()
    with pytest.raises(KeyboardInterrupt), interrupts.watching():
        raise KeyboardInterrupt
    assert not interrupts.pending


def test_a_signal_waits_until_the_next_interruptible_part():
    interrupts, done = Interrupts(), []
    with pytest.raises(KeyboardInterrupt):
        fit(interrupts, [press, lambda: done.append("delayed")], (lambda: done.append("never"),))
    assert done == ["delayed"]
    assert interrupts.pending


def test_a_signal_that_waits_at_the_end_is_raised_then(handler):
    done = []
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupts(), [press, lambda: done.append("delayed")])
    assert done == ["delayed"]
    assert signal.getsignal(signal.SIGINT) is handler


def test_after_an_interruptible_part_signals_wait_again():
    done = []
    with pytest.raises(KeyboardInterrupt):
        fit(Interrupts(), (), [press, lambda: done.append("delayed")])
    assert done == ["delayed"]


def test_a_signal_is_not_lost_to_an_error():
    def fail():
        raise OSError("disk full")

    with pytest.raises(KeyboardInterrupt) as raised:
        fit(Interrupts(), [press, fail])
    assert isinstance(raised.value.__context__, OSError)


def test_a_handler_that_raises_nothing_lets_the_fit_go_on():
    seen, interrupts = [], Interrupts()
    signal.signal(signal.SIGINT, lambda *arguments: seen.append(arguments))
    fit(interrupts, (press,), [press])
    assert len(seen) == 2
    assert not interrupts.pending


def test_an_ignored_signal_stays_ignored():
    interrupts = Interrupts()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupts.watching():
        press()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert not interrupts.pending


def test_outside_of_the_main_thread_nothing_is_installed(handler):
    seen = []

    def run():
        with Interrupts().watching():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [handler]


def test_a_fit_inside_a_fit_passes_the_signal_on():
    outer, inner = Interrupts(), Interrupts()
    with pytest.raises(KeyboardInterrupt):
        fit(outer, (lambda: fit(inner, (press,)),))
    assert outer.pending
    assert inner.pending
