"""Count the graphs that are kept alive, without keeping one: a sentinel in a graph dies with it."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from sktorch_acc.doctor.audit.passed import Passed

__all__ = ["Graphs"]

# A graph is old once two more steps were taken: variables of the last batch may live on until the next.
_OLD_STEPS = 2
# One that nobody went back through is kept for nothing once so many others were made.
_OLD_FORWARDS = 3


class _Sentinel:
    """A hook on the nodes of a graph: called on the way back, and alive as long as one of them."""

    __slots__ = ("__weakref__", "passed", "used")

    def __init__(self, passed: Passed, used: Callable[[Passed], None]) -> None:
        self.passed, self.used = passed, weakref.WeakMethod(used)

    def __call__(self, _: Any) -> None:
        if not self.passed.trained:
            self.passed.trained = True
            tell = self.used()
            if tell is not None:
                tell(self.passed)


class _Ref(weakref.ref[_Sentinel]):
    __slots__ = ("made", "old", "passed", "step")

    passed: Passed
    made: int
    step: int
    old: bool


class Graphs:
    """The graphs of the forward passes.

    Attributes
    ----------
    made : int
        Forward passes that made a graph.
    kept : int
        Most graphs that were alive at one time although they were of no use any more: two steps older than
        the last one, or never gone back through while others were made and no step was taken.
    """

    def __init__(self) -> None:
        self.made = self.kept = 0
        self._alive: set[_Ref] = set()
        self._young: deque[_Ref] = deque()
        self._old, self._scanned, self._step = 0, -1, 0

    def watch(self, nodes: list[Any], passed: Passed, used: Callable[[Passed], None]) -> None:
        """Put a sentinel into a new graph; `used` is told when a backward pass reaches it."""
        sentinel = _Sentinel(passed, used)
        for node in nodes:
            node.register_prehook(sentinel)
        self.made += 1
        ref = _Ref(sentinel, self._died)
        ref.passed, ref.made, ref.step, ref.old = passed, self.made, self._step, False
        self._alive.add(ref)
        self._young.append(ref)
        self._age()

    def after_step(self) -> None:
        """Let all graphs grow older."""
        self._step += 1
        self._age()

    def close(self) -> None:
        """Stop watching; what lives on without having been used counts as kept."""
        self.kept = max(self.kept, len(self._unused()))
        self._alive.clear()
        self._young.clear()

    def _age(self) -> None:
        while self._young and self._young[0].step <= self._step - _OLD_STEPS:
            ref = self._young.popleft()
            if ref() is not None:
                ref.old = True
                self._old += 1
                self.kept = max(self.kept, self._old)

    def _died(self, ref: weakref.ref[_Sentinel]) -> None:
        assert isinstance(ref, _Ref)
        self._alive.discard(ref)
        if ref.old:
            self._old -= 1
        elif self._is_unused(ref) and self._scanned != self.made:  # the first to go of a list that is dropped
            self._scanned = self.made
            self.kept = max(self.kept, 1 + len(self._unused()))

    def _is_unused(self, ref: _Ref) -> bool:
        """Whether nobody went back through it while others were made.

        After a step it may have been one that the step chose among, which lives until the next choice.
        """
        return not ref.passed.trained and self.made - ref.made >= _OLD_FORWARDS and ref.step == self._step

    def _unused(self) -> list[_Ref]:
        return [ref for ref in list(self._alive) if self._is_unused(ref)]
