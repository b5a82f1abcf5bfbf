"""Record forward passes, and count the graphs that are kept alive: a sentinel in each is freed with it."""

from __future__ import annotations

import weakref
from collections import deque
from typing import Any

# A graph is old after two more steps: variables of the last batch may live on until the next.
_OLD_STEPS = 2
# One without a backward pass is unused after so many others were made.
_OLD_FORWARDS = 3


class ForwardPass:
    """One forward pass of the module.

    Parameters
    ----------
    n_samples : int
        Samples of its output.
    training : bool
        Whether the module was in training mode.
    modes : tuple of bool
        The same for the layers to which the mode matters.

    Attributes
    ----------
    trained : bool
        Whether a backward pass has reached it.
    labelled : bool
        Whether the criterion was called with its output.
    """

    def __init__(self, n_samples: int, training: bool, modes: tuple[bool, ...]) -> None:
        self.n_samples, self.training, self.modes = n_samples, training, modes
        self.trained = self.labelled = False


class _Sentinel:
    """A hook on the nodes of a graph: called in the backward pass, and alive as long as one of them."""

    __slots__ = ("__weakref__", "forward", "used")

    def __init__(self, forward: ForwardPass, used: list[ForwardPass]) -> None:
        self.forward, self.used = forward, used

    def __call__(self, _: Any) -> None:
        if not self.forward.trained:
            self.forward.trained = True
            self.used.append(self.forward)


class _Ref(weakref.ref[_Sentinel]):
    __slots__ = ("forward", "made", "old", "step")

    forward: ForwardPass
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
        Most graphs that were alive at one time without being needed: made two steps ago or earlier, or
        never used by a backward pass while others were made and no step was taken.
    """

    def __init__(self) -> None:
        self.made = self.kept = 0
        self._alive: set[_Ref] = set()
        self._young: deque[_Ref] = deque()
        self._old, self._scanned, self._step = 0, -1, 0

    def add(self, nodes: list[Any], forward: ForwardPass, used: list[ForwardPass]) -> None:
        """Put a sentinel into a new graph; `forward` is added to `used` when a backward pass reaches it."""
        sentinel = _Sentinel(forward, used)
        for node in nodes:
            node.register_prehook(sentinel)
        self.made += 1
        ref = _Ref(sentinel, self._died)
        ref.forward, ref.made, ref.step, ref.old = forward, self.made, self._step, False
        self._alive.add(ref)
        self._young.append(ref)
        self._age()

    def after_step(self) -> None:
        """Count the step for the age of the graphs."""
        self._step += 1
        self._age()

    def count_unused(self) -> None:
        """Count the graphs that are alive and unused at the end as kept."""
        self.kept = max(self.kept, len(self._unused()))

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
        elif self._is_unused(ref) and self._scanned != self.made:  # the first freed of a list
            self._scanned = self.made
            self.kept = max(self.kept, 1 + len(self._unused()))

    def _is_unused(self, ref: _Ref) -> bool:
        """Whether it had no backward pass while others were made.

        After a step it may have been one of several candidates for that step, which live until the next.
        """
        return not ref.forward.trained and self.made - ref.made >= _OLD_FORWARDS and ref.step == self._step

    def _unused(self) -> list[_Ref]:
        return [ref for ref in list(self._alive) if self._is_unused(ref)]
