"""Ctrl-C during training: distinguished from a callback's stop, and delayed while an epoch is recorded."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Interrupts"]


class Interrupts:
    """Handle SIGINT while a fit runs.

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
        self._shielded = False
        self._waiting: tuple[int, FrameType | None] | None = None
        self._previous: Any = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Handle SIGINT during the body; only the main thread receives signals."""
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

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Delay a SIGINT until the body has finished."""
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False
        if self._waiting is not None:
            self._pass_on(*self._waiting)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._shielded:
            self._waiting = signum, frame
        else:
            self._pass_on(signum, frame)

    def _pass_on(self, signum: int, frame: FrameType | None) -> None:
        self._waiting = None
        try:
            self._previous(signum, frame)
        except KeyboardInterrupt:
            self.pending = True
            raise
