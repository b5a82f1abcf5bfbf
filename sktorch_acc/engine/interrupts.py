"""Ctrl-C during training: told apart from a callback's stop, and held back while an epoch is recorded."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Interrupts"]


class Interrupts:
    """Watch SIGINT while a fit runs.

    skorch's callbacks stop a training by raising KeyboardInterrupt; so does a user at the keyboard.
    Only the latter comes through the signal handler, which notes it in `pending`.
    """

    def __init__(self) -> None:
        self.pending = False
        self._shielded = False
        self._previous: Any = None

    @contextmanager
    def watching(self) -> Iterator[Interrupts]:
        """Note SIGINT during the body; signals reach the main thread alone."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        self._previous = signal.getsignal(signal.SIGINT)
        if not callable(self._previous):  # ignored, or not installed from Python
            yield self
            return
        signal.signal(signal.SIGINT, self._handle)
        try:
            yield self
        finally:
            signal.signal(signal.SIGINT, self._previous)

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Let the body finish before a SIGINT takes effect."""
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False
        if self.pending:
            raise KeyboardInterrupt

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        self.pending = True
        if not self._shielded:
            self._previous(signum, frame)
