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


class OwnError(Exception):
    """What a handler of the user raises."""


def test_any_error_of_a_handler_ends_the_interruptible_part():
    def fail(*_):
        raise OwnError

    interrupts, done = Interrupts(), []

    def part():
        with interrupts.watching():
            try:
                with interrupts.interruptible():
                    press()
            finally:
                press()  # waits
                done.append("in order")

    signal.signal(signal.SIGINT, fail)
    with pytest.raises(OwnError):
        part()
    assert done == ["in order"]
    assert interrupts.pending
    assert signal.getsignal(signal.SIGINT) is fail


@pytest.mark.parametrize("name", ["SIGTERM", "SIGALRM", "SIGUSR1"])
def test_other_signals_with_a_handler_wait_too(name):
    number = getattr(signal, name, None)
    if number is None:
        pytest.skip(f"no {name} here")
    done = []

    def exits(*_):
        done.append("handler")
        raise SystemExit

    before = signal.signal(number, exits)
    try:
        with pytest.raises(SystemExit):
            fit(Interrupts(), [lambda: signal.raise_signal(number), lambda: done.append("delayed")])
        assert signal.getsignal(number) is exits
    finally:
        signal.signal(number, before)
    assert done == ["delayed", "handler"]


def test_every_signal_that_waits_is_passed_on_also_if_one_raises():
    seen = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(Interrupts(), [lambda: signal.raise_signal(signal.SIGTERM), press])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert seen == [signal.SIGTERM]


def test_all_handlers_are_put_back_if_one_raises_meanwhile(handler, monkeypatch):
    set_handler, raised = signal.signal, []

    def raises_once(number, new):
        before = set_handler(number, new)
        if number == signal.SIGTERM and new is counts and not raised:
            raised.append(number)
            raise OwnError  # as the handler that is back just now
        return before

    def counts(*_):
        pass

    before = signal.signal(signal.SIGTERM, counts)
    with monkeypatch.context() as patch:
        patch.setattr(signal, "signal", raises_once)
        with pytest.raises(OwnError):
            fit(Interrupts())
    assert raised == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is counts
    assert signal.getsignal(signal.SIGINT) is handler
    signal.signal(signal.SIGTERM, before)
