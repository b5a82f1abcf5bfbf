"""Ctrl-C during a fit: distinguished from a callback's stop, and delayed where it would leave things half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupts:
    """Handle SIGINT while a fit runs: it is delayed, except in the parts of the fit that are `interruptible`.

    skorch's callbacks stop a training by raising KeyboardInterrupt, and so does a user at the keyboard. Only the
    latter comes through the signal handler, which notes it in `pending`. A handler that the user has installed is
    called; if it raises nothing, the fit goes on.

    Attributes
    ----------
    pending : bool
        Whether the user has pressed Ctrl-C.
    stop_requested : bool
        Whether a callback asked to stop; that takes effect at the end of the epoch.
    """

    def __init__(self) -> None:
        self.pending = False
        self.stop_requested = False
        self._delayed = True
        self._waiting: tuple[int, FrameType | None] | None = None
        self._previous: Any = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Handle SIGINT during the body; only the main thread receives signals.

        A signal that was delayed until the end is passed on when the handler of before is back.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._previous = signal.getsignal(signal.SIGINT)
        if not callable(self._previous):  # ignored, or not installed from Python
            yield
            return
        signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, self._previous)
            self._pass_on_waiting()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Pass a SIGINT on at once during the body, and one that was delayed before it."""
        before, self._delayed = self._delayed, False
        try:
            self._pass_on_waiting()
            yield
        finally:
            self._delayed = before or self.pending

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._delayed:
            self._waiting = signum, frame
        else:
            self._pass_on(signum, frame)

    def _pass_on_waiting(self) -> None:
        if self._waiting is not None:
            self._pass_on(*self._waiting)

    def _pass_on(self, signum: int, frame: FrameType | None) -> None:
        self._waiting = None
        try:
            self._previous(signum, frame)
        except KeyboardInterrupt:
            self.pending = self._delayed = True  # until the fit is in order again
            raise
