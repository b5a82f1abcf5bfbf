"""Monitor a metric object: what it has seen since its last reset, and which threshold it uses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch

from sktorch_acc._global_state import guarded_generators
from sktorch_acc._text import class_name
from sktorch_acc.checks.counting import check_metric_reset, check_thresholds
from sktorch_acc.engine.interrupts import Interrupts
from sktorch_acc.findings import Finding

_METHODS = ("update", "compute", "reset")
_MOST_BATCHES = 8  # that are tried of each kind: with outputs in [0, 1], and others
_NOISE = 1e-6


class MetricMonitor:
    """A metric whose methods are wrapped while it is monitored.

    Parameters
    ----------
    metric : object
        With `update(outputs, targets)`, `compute()` and `reset()`, like an `AccuracyCounter` and the metrics
        of torchmetrics and ignite.
    """

    def __init__(self, metric: Any) -> None:
        self._metric, self._depth = metric, 0
        self._seen = self._in_epoch = 0
        self._worst = (0, 0)  # samples since the last reset, and of that epoch, at the compute where they differed most
        self._thresholds: dict[float | None, int] = {0.0: 0, 0.5: 0, None: 0}  # batches by the threshold used
        self._tried = {True: 0, False: 0}  # batches by whether all outputs are in [0, 1]
        self._probe = _probe_of(metric)
        self._wrapped: dict[str, _Wrapped] = {}

    def wrap(self) -> None:
        """Wrap the methods of this instance."""
        after = {"update": self._updated, "compute": self._computed, "reset": self._reset}
        if callable(getattr(self._metric, "forward", None)):  # torchmetrics: update, compute and reset are inside
            after["forward"] = self._updated
        for name, tell in after.items():
            wrapped = _Wrapped(self._metric, name, self, tell)
            setattr(self._metric, name, wrapped)
            self._wrapped[name] = wrapped

    def unwrap(self) -> None:
        """Restore the methods of the metric."""
        for name, wrapped in self._wrapped.items():
            wrapped.monitor = None
            if vars(self._metric).get(name) is not wrapped:
                continue  # wrapped again by other code, which still calls this wrapper
            before = wrapped.before
            while isinstance(before, _Wrapped) and before.monitor is None:  # of an audit that ended earlier
                before = before.before
            if before is None:
                delattr(self._metric, name)
            else:
                setattr(self._metric, name, before)
        self._wrapped.clear()
        self._metric = self._probe = None

    def end_epoch(self) -> None:
        """Start to count the samples of the next epoch."""
        self._in_epoch = 0

    def checks(self) -> list[Finding | None]:
        """Report a metric that is never reset, or that guesses its threshold."""
        as_logits, as_probabilities, neither = self._thresholds.values()
        return [check_metric_reset(*self._worst), check_thresholds(as_logits, as_probabilities, neither)]

    # ------------------------------------------------------------------ calls of the metric

    def _updated(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        values = [*args, *kwargs.values()]
        if len(values) == 1 and isinstance(values[0], (tuple, list)):  # ignite: update((outputs, targets))
            values = [*values[0]]
        shape = getattr(values[0], "shape", ()) if values else ()
        n_samples = int(shape[0]) if shape else 0
        self._seen, self._in_epoch = self._seen + n_samples, self._in_epoch + n_samples
        if len(values) == 2 and all(isinstance(value, torch.Tensor) for value in values):
            try:
                self._try(values[0].detach(), values[1].detach(), args, kwargs)
            except Exception:  # tensors of a kind that cannot be compared
                self._probe = None

    def _computed(self, *_: Any) -> None:
        if self._in_epoch and self._seen - self._in_epoch > self._worst[0] - self._worst[1]:
            self._worst = (self._seen, self._in_epoch)

    def _reset(self, *_: Any) -> None:
        self._seen = 0

    def _try(self, outputs: torch.Tensor, targets: torch.Tensor, args: Any, kwargs: Any) -> None:
        """Compute the accuracy of this batch with a copy of the metric, if the two thresholds give different ones."""
        enough = min(self._tried.values()) >= _MOST_BATCHES
        if self._probe is None or enough or not _has_one_decision_each(outputs, targets):
            return
        inside = bool(((outputs >= 0) & (outputs <= 1)).all())
        truth = targets.reshape(outputs.shape)
        expected = {t: float(((outputs > t) == truth).double().mean()) for t in (0.0, 0.5)}
        if expected[0.0] == expected[0.5] or self._tried[inside] >= _MOST_BATCHES:
            return
        self._tried[inside] += 1
        accuracy = self._accuracy(args, kwargs, outputs.device)
        if accuracy is not None:
            used = next((t for t, e in expected.items() if abs(accuracy - e) <= _NOISE), None)
            self._thresholds[used] += 1

    def _accuracy(self, args: Any, kwargs: Any, device: torch.device) -> float | None:
        try:
            guard = guarded_generators(device)
            with Interrupts().watching() as interrupts, guard, torch.no_grad(), interrupts.interruptible():
                self._probe.update(*copy.deepcopy(_detached(args)), **copy.deepcopy(_detached(kwargs)))
                accuracy = self._probe.compute()
                self._probe.reset()
            return float(accuracy)
        except Exception:  # a metric of another kind
            self._probe = None
            return None


class _Wrapped:
    """A wrapped method, which a copy of the metric does not have, and what is called after it."""

    def __init__(self, metric: Any, name: str, monitor: MetricMonitor, tell: Callable[..., None]) -> None:
        self.metric, self.name, self.tell = metric, name, tell
        self.monitor: MetricMonitor | None = monitor
        self.method = self.__wrapped__ = getattr(metric, name)
        self.before = vars(metric).get(name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        monitor = self.monitor
        if monitor is None:
            return self.method(*args, **kwargs)
        monitor._depth += 1
        try:
            result = self.method(*args, **kwargs)
        finally:
            monitor._depth -= 1
        if not monitor._depth:
            self.tell(args, kwargs)
        return result

    def __reduce__(self) -> tuple[Any, ...]:
        # The copy has no attributes yet when this is called, and gets the method of its class.
        return getattr, (self.metric, self.name)


def _probe_of(metric: Any) -> Any:
    """Return an empty copy of the metric; None if it cannot be copied independently."""
    missing = [name for name in _METHODS if not callable(getattr(metric, name, None))]
    if missing or isinstance(metric, type):
        what = "a class, not an object" if isinstance(metric, type) else f"without {', '.join(missing)}"
        raise TypeError(
            f"metric must be an object with update, compute and reset, but got {class_name(metric)}: {what}. Leave "
            "metric=None and pass the accuracy to audit.epoch(...)."
        )
    if not hasattr(metric, "__dict__"):
        raise TypeError(f"{type(metric).__name__} has __slots__: its methods cannot be wrapped. Leave metric=None.")
    try:
        guard = guarded_generators(torch.device("cpu"))
        with Interrupts().watching() as interrupts, guard, interrupts.interruptible():
            probe = copy.deepcopy(metric)
            if any(name in vars(probe) and vars(probe)[name] is vars(metric).get(name) for name in _METHODS):
                return None
            probe.reset()
    except Exception:  # cannot be copied
        return None
    return probe


def _has_one_decision_each(outputs: torch.Tensor, targets: torch.Tensor) -> bool:
    """Whether the output has one value for each target, to be compared with a threshold."""
    if not outputs.is_floating_point() or not outputs.numel() or outputs.numel() != targets.numel():
        return False
    return outputs.ndim == 1 or outputs.shape == targets.shape or outputs.numel() == len(outputs)


def _detached(values: Any) -> Any:
    if isinstance(values, torch.Tensor):
        return values.detach()
    if isinstance(values, dict):
        return {name: _detached(value) for name, value in values.items()}
    return type(values)(map(_detached, values)) if isinstance(values, (tuple, list)) else values
