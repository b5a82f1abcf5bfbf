"""Ctrl-C during a fit: distinguished from a callback's stop, and delayed where it would leave things half done.

A handler that raises an error may do so between any two instructions, also while a context is left. So every place
that changes what outlives it has this form, and the order matters::

    with Interrupts().watching() as interrupts, changed(), interrupts.interruptible():
        ...

Signals are delayed while ``changed()`` is entered and left, and take effect in the body alone.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

# Those whose handlers stop a program or end a wait. SIGINT is put back last, because it is the one that comes.
_NAMES = ("SIGALRM", "SIGHUP", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGINT")
_SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))


class Interrupts:
    """Handle signals while a fit runs: they are delayed, except in the parts of the fit that are `interruptible`.

    skorch's callbacks stop a training by raising KeyboardInterrupt, and so does a user at the keyboard. Only the
    latter comes through the signal handler, which notes it in `pending`. A handler that the user has installed is
    called; if it raises nothing, the fit goes on. SIGINT is meant, and other signals with a handler in Python.

    Attributes
    ----------
    pending : bool
        Whether a handler has raised an error: the user has pressed Ctrl-C.
    stop_requested : bool
        Whether a callback asked to stop; that takes effect at the end of the epoch.
    """

    def __init__(self) -> None:
        self.pending = False
        self.stop_requested = False
        self._delayed = True
        self._waiting: dict[int, FrameType | None] = {}
        self._previous: dict[int, Any] = {}
        self._installed: list[int] = []

    @contextmanager
    def watching(self) -> Iterator[Self]:
        """Handle the signals during the body; only the main thread receives them.

        Signals that were delayed until the end are passed on when the handlers of before are back.
        """
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        try:
            for signum in _SIGNALS:
                handler = signal.getsignal(signum)
                if callable(handler):  # else it is ignored, or not installed from Python
                    self._previous[signum] = handler
                    self._installed.append(signum)
                    signal.signal(signum, self._handle)
            yield self
        finally:
            try:
                self._put_back()
            finally:
                self._put_back()  # what a handler interrupted that was back already
                self._pass_on_all()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Pass a signal on at once during the body, and those that were delayed before it."""
        before, self._delayed = self._delayed, False
        try:
            while self._waiting and not self._delayed:
                self._pass_on(*self._waiting.popitem())
            yield
        finally:
            self._delayed = before or self.pending

    def _put_back(self) -> None:
        while self._installed:
            signal.signal(self._installed[0], self._previous[self._installed[0]])
            del self._installed[0]

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._delayed:
            self._waiting[signum] = frame
        else:
            self._pass_on(signum, frame)

    def _pass_on_all(self) -> None:
        """Call the handlers of all delayed signals, also if one raises an error."""
        if self._waiting:
            first = self._waiting.popitem()
            try:
                self._pass_on(*first)
            finally:
                self._pass_on_all()

    def _pass_on(self, signum: int, frame: FrameType | None) -> None:
        try:
            self._previous[signum](signum, frame)
        except BaseException:
            self.pending = self._delayed = True  # until the fit is in order again
            raise
