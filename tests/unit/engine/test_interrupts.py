"""Ctrl-C during a fit: noted, passed on, and held back while an epoch is recorded."""

import signal
import threading

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


def test_a_signal_is_raised_and_noted():
    interrupts = Interrupts()
    with pytest.raises(KeyboardInterrupt), interrupts.watching():
        assert not interrupts.pending
        press()
    assert interrupts.pending


def test_the_handler_is_put_back_whatever_happens(handler):
    for error in (None, KeyboardInterrupt, OSError("disk full")):
        interrupts = Interrupts()
        try:
            with interrupts.watching():
                assert signal.getsignal(signal.SIGINT) is not handler
                if error is KeyboardInterrupt:
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


def test_a_signal_waits_until_a_shielded_body_is_done():
    interrupts, done = Interrupts(), []
    with pytest.raises(KeyboardInterrupt), interrupts.watching():
        with interrupts.shielded():
            press()
            done.append("body")
        done.append("never")
    assert done == ["body"]
    assert interrupts.pending


def test_after_a_shielded_body_signals_are_raised_at_once_again():
    interrupts = Interrupts()
    with interrupts.watching():
        with interrupts.shielded():
            pass
        with pytest.raises(KeyboardInterrupt):
            press()


def test_an_error_in_a_shielded_body_is_not_hidden_by_a_signal():
    interrupts = Interrupts()
    with pytest.raises(OSError, match="disk full"), interrupts.watching(), interrupts.shielded():
        press()
        raise OSError("disk full")


def test_a_handler_that_raises_nothing_lets_the_fit_go_on():
    seen, interrupts = [], Interrupts()
    signal.signal(signal.SIGINT, lambda *arguments: seen.append(arguments))
    with interrupts.watching():
        press()
        with interrupts.shielded():
            press()
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
    with pytest.raises(KeyboardInterrupt), outer.watching(), inner.watching():
        press()
    assert outer.pending
    assert inner.pending
