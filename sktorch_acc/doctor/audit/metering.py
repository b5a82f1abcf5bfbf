"""Watch a metric object: which rows it has seen since its last reset, and how it reads a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch

from sktorch_acc._global_state import guarded_generators

__all__ = ["MetricWatch"]

_METHODS = ("update", "compute", "reset")
# Batches of each kind, outputs in [0, 1] and others, whose figure is asked for.
_MOST_BATCHES = 8
_NOISE = 1e-6


class MetricWatch:
    """A metric whose methods are wrapped while it is watched.

    Parameters
    ----------
    metric : object
        With `update(outputs, targets)`, `compute()` and `reset()`, as those of torchmetrics, ignite and
        `AccuracyCounter` have.

    Attributes
    ----------
    worst : tuple of int
        Rows it had seen at a `compute`, and rows of that epoch, where the two differed most.
    readings : dict
        Batches read with a threshold of 0, of 0.5, and in neither way.
    """

    def __init__(self, metric: Any) -> None:
        self._metric, self._depth = metric, 0
        self._seen = self._rows = 0
        self.worst = (0, 0)
        self.readings = {"logits": 0, "probabilities": 0, "neither": 0}
        self._asked = {True: 0, False: 0}
        self._probe = _probe_of(metric)
        self._wrapped: dict[str, _Wrapped] = {}

    def wrap(self) -> None:
        """Put a wrapper before each method, on this instance alone."""
        after = {"update": self._updated, "compute": self._computed, "reset": self._reset}
        if callable(getattr(self._metric, "forward", None)):  # torchmetrics: update, compute and reset are inside
            after["forward"] = self._updated
        for name, tell in after.items():
            wrapped = _Wrapped(self._metric, name, self, tell)
            setattr(self._metric, name, wrapped)
            self._wrapped[name] = wrapped

    def unwrap(self) -> None:
        """Give the metric its own methods back."""
        for name, wrapped in self._wrapped.items():
            wrapped.watch = None
            if vars(self._metric).get(name) is not wrapped:
                continue  # somebody wrapped it once more and still uses ours, which now only passes on
            before = wrapped.before
            while isinstance(before, _Wrapped) and before.watch is None:  # of an audit that ended earlier
                before = before.before
            if before is None:
                delattr(self._metric, name)
            else:
                setattr(self._metric, name, before)
        self._wrapped.clear()
        self._metric = self._probe = None

    def end_epoch(self) -> None:
        """Start to count the rows of the next epoch."""
        self._rows = 0

    # ------------------------------------------------------------------ what happened

    def _updated(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        values = [*args, *kwargs.values()]
        if len(values) == 1 and isinstance(values[0], (tuple, list)):  # ignite: update((outputs, targets))
            values = [*values[0]]
        shape = getattr(values[0], "shape", ()) if values else ()
        rows = int(shape[0]) if shape else 0
        self._seen, self._rows = self._seen + rows, self._rows + rows
        if len(values) == 2 and all(isinstance(value, torch.Tensor) for value in values):
            try:
                self._ask(values[0].detach(), values[1].detach(), args, kwargs)
            except Exception:  # tensors of a kind that cannot be compared
                self._probe = None

    def _computed(self, *_: Any) -> None:
        if self._rows and self._seen - self._rows > self.worst[0] - self.worst[1]:
            self.worst = (self._seen, self._rows)

    def _reset(self, *_: Any) -> None:
        self._seen = 0

    def _ask(self, outputs: torch.Tensor, targets: torch.Tensor, args: Any, kwargs: Any) -> None:
        """Ask a copy of the metric for the figure of this batch alone, if it tells the two readings apart."""
        if self._probe is None or not self._wanted() or not _one_decision_each(outputs, targets):
            return
        inside = bool(((outputs >= 0) & (outputs <= 1)).all())
        truth = targets.reshape(outputs.shape)
        figures = [float(((outputs > threshold) == truth).double().mean()) for threshold in (0.0, 0.5)]
        if figures[0] == figures[1] or self._asked[inside] >= _MOST_BATCHES:
            return
        self._asked[inside] += 1
        given = self._figure(args, kwargs, outputs.device)
        if given is not None:
            near = [abs(given - figure) <= _NOISE for figure in figures]
            self.readings["logits" if near[0] else "probabilities" if near[1] else "neither"] += 1

    def _wanted(self) -> bool:
        return min(self._asked.values()) < _MOST_BATCHES

    def _figure(self, args: Any, kwargs: Any, device: torch.device) -> float | None:
        try:
            with guarded_generators(device), torch.no_grad():
                self._probe.update(*copy.deepcopy(_detached(args)), **copy.deepcopy(_detached(kwargs)))
                figure = self._probe.compute()
                self._probe.reset()
            return float(figure)
        except Exception:  # a metric of another kind: it is not asked again
            self._probe = None
            return None


class _Wrapped:
    """A method of the metric, and what is told after it. A copy of the metric has its own method again."""

    def __init__(self, metric: Any, name: str, watch: MetricWatch, tell: Callable[..., None]) -> None:
        self.metric, self.name, self.tell = metric, name, tell
        self.watch: MetricWatch | None = watch
        self.method = self.__wrapped__ = getattr(metric, name)
        self.before = vars(metric).get(name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        watch = self.watch
        if watch is None:
            return self.method(*args, **kwargs)
        watch._depth += 1
        try:
            result = self.method(*args, **kwargs)
        finally:
            watch._depth -= 1
        if not watch._depth:
            self.tell(args, kwargs)
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        # When the copy asks for the method its attributes are not set yet: it gets that of its class.
        return getattr, (self.metric, self.name)


def _probe_of(metric: Any) -> Any:
    """Return an empty copy to ask; None if there is no copy that is independent of the metric."""
    missing = [name for name in _METHODS if not callable(getattr(metric, name, None))]
    if missing or isinstance(metric, type):
        what = "a class, not an object" if isinstance(metric, type) else f"without {', '.join(missing)}"
        name = metric.__name__ if isinstance(metric, type) else type(metric).__name__
        raise TypeError(
            f"metric must be an object with update, compute and reset, but got {name}: {what}. Leave metric=None and "
            "pass the figure to audit.epoch(...)."
        )
    if not hasattr(metric, "__dict__"):
        raise TypeError(f"{type(metric).__name__} has __slots__: its methods cannot be watched. Leave metric=None.")
    try:
        with guarded_generators(torch.device("cpu")):
            probe = copy.deepcopy(metric)
            if any(name in vars(probe) and vars(probe)[name] is vars(metric).get(name) for name in _METHODS):
                return None
            probe.reset()
    except Exception:  # what cannot be copied is not asked
        return None
    return probe


def _one_decision_each(outputs: torch.Tensor, targets: torch.Tensor) -> bool:
    """Whether each value of the output is compared with a threshold, and each target is 0 or 1."""
    if not outputs.is_floating_point() or not outputs.numel() or outputs.numel() != targets.numel():
        return False
    return outputs.ndim == 1 or outputs.shape == targets.shape or outputs.numel() == len(outputs)


def _detached(values: Any) -> Any:
    if isinstance(values, torch.Tensor):
        return values.detach()
    if isinstance(values, dict):
        return {name: _detached(value) for name, value in values.items()}
    return type(values)(map(_detached, values)) if isinstance(values, (tuple, list)) else values
