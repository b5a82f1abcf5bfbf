"""Monitor gradients from the backward pass to the step: whether they include old ones, and whether there are any."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from sktorch_acc.doctor.audit.hooks import Hooks

# Most parameters that are monitored, evenly spaced.
_MOST = 32


class GradientMonitor:
    """Gradients of the parameters of an optimizer.

    One hook on a parameter runs before its new gradient is added to ``.grad``, another one after it; with
    ``torch.autograd.grad``, which adds nothing, only the first. ``.grad`` after the last step is compared
    with ``.grad`` in the first hook: if it is the same tensor, was not written to and is not zero, the old
    gradient goes into the next step. Values are read only in that case, so that a loop that clears its
    gradients pays nothing.

    Attributes
    ----------
    steps : int
        Steps of the optimizer.
    stale_steps : int
        Steps with a gradient that included one of an earlier step.
    backwards : int
        Gradients of the parameter that got most of them.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, hooks: Hooks) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad and p.is_leaf]
        stride = -(-len(parameters) // _MOST) or 1
        self._parameters = [_Parameter(p) for p in parameters[::stride]]
        self._all = {id(p) for p in parameters}
        self._seen_any = self._stale = False
        self.steps = self.stale_steps = 0
        for one in self._parameters:
            hooks.add(one.parameter.register_hook, one.before)
            hooks.add(one.parameter.register_post_accumulate_grad_hook, one.after)

    @property
    def backwards(self) -> int:
        """Gradients of the parameter that got most of them."""
        return max((one.arrived for one in self._parameters), default=0)

    def before_step(self, *_: Any) -> None:
        """Look at the gradients that the optimizer is about to use."""
        self._stale = self._any_is_stale()
        self._look_for_any()

    def after_step(self) -> None:
        """Mark the gradients as used; a closure calls backward() inside the step."""
        self._look_for_any()
        self.steps += 1
        self.stale_steps += self._stale or self._any_is_stale()
        for one in self._parameters:
            one.use()

    def nothing_changed(self) -> bool:
        """Whether no step had a gradient and no parameter has changed."""
        if not self._parameters or self._seen_any or not all(one.parameter.requires_grad for one in self._parameters):
            return False
        return not any(one.has_changed() for one in self._parameters)

    def may_train(self, parameters: Iterable[torch.Tensor]) -> bool:
        """Whether these got gradients or changed; also if the optimizer has some of them, but none is monitored."""
        own = {id(p) for p in parameters}
        monitored = [one for one in self._parameters if id(one.parameter) in own]
        return any(one.arrived or one.has_changed() for one in monitored) or (not monitored and bool(own & self._all))

    def _any_is_stale(self) -> bool:
        return any(one.is_still_stale() for one in self._parameters)

    def _look_for_any(self) -> None:
        self._seen_any = self._seen_any or any(_is_nonzero(one.parameter.grad) for one in self._parameters)


class _Parameter:
    """One parameter and the state of its gradient.

    Attributes
    ----------
    arrived : int
        Gradients that were added to ``.grad``.
    stale : bool
        Whether the last one was added to a gradient that a step had used.
    """

    def __init__(self, parameter: torch.Tensor) -> None:
        self.parameter = parameter
        self.arrived = 0
        self._start = self._sum()
        self._mark: tuple[int, int] | None = None
        self._used = self._untouched = self.stale = False

    def before(self, _: Any) -> None:
        """Look whether an old gradient is still there when a new one was computed."""
        grad = self.parameter.grad
        if self._used:
            self._untouched = self._mark is not None and _state(grad) == self._mark and _is_nonzero(grad)
        elif self.stale and _state(grad) != self._mark:
            self.stale = _is_nonzero(grad)  # cleared late, as by the other optimizer of a GAN, or clipped

    def after(self, _: Any) -> None:
        """Mark ``.grad``, to which the new one was added."""
        self.arrived += 1
        if self._used:
            self.stale, self._used = self._untouched, False
        self._mark = _state(self.parameter.grad)

    def is_still_stale(self) -> bool:
        """Whether the stale sum is still in ``.grad``: it may have been replaced, or cleared late."""
        grad = self.parameter.grad
        if not self.stale or grad is None or self._mark is None:
            return False
        return _state(grad) == self._mark or (id(grad) == self._mark[0] and _is_nonzero(grad))  # or: clipped

    def use(self) -> None:
        """Note that a step has used the gradient."""
        self._mark, self._used, self.stale = _state(self.parameter.grad), True, False

    def has_changed(self) -> bool:
        """Whether the parameter, by its sum, differs from the start."""
        return self._sum() != self._start

    def _sum(self) -> float:
        return float(self.parameter.detach().double().sum())


def _state(grad: torch.Tensor | None) -> tuple[int, int] | None:
    """Return the identity of the tensor and its version, which counts the writes."""
    return None if grad is None else (id(grad), grad._version)


def _is_nonzero(grad: torch.Tensor | None) -> bool:
    if grad is None:
        return False
    return bool((grad.coalesce().values() if grad.is_sparse else grad).any())
