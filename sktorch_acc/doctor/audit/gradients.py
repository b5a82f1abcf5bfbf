"""Watch gradients from the backward pass to the step: whether an old one is still in the sum, or there is none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from sktorch_acc.doctor.audit.hooks import Hooks

__all__ = ["GradientWatch"]

# Parameters that are watched: of more than these, so many spread over all.
_MOST = 32


class GradientWatch:
    """Gradients of the parameters of an optimizer.

    A hook on a parameter runs before its new gradient is added to ``.grad``, another one after it; of
    ``torch.autograd.grad``, which adds nothing, the first alone. What ``.grad`` was after the last step is
    compared with what it is then: the same tensor that nobody wrote to, and not zero, is carried on into the
    next step. The values are read only then: a loop that clears its gradients pays nothing.

    Attributes
    ----------
    steps : int
        Steps of the optimizer.
    stale_steps : int
        Steps with a gradient that held one of an earlier step.
    backwards : int
        Gradients that arrived at one of the parameters, at its most.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, hooks: Hooks) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad and p.is_leaf]
        stride = -(-len(parameters) // _MOST) or 1
        self._held = [_Held(p) for p in parameters[::stride]]
        self._all = {id(p) for p in parameters}
        self._seen_one = self._stale = False
        self.steps = self.stale_steps = 0
        for held in self._held:
            hooks.add(held.parameter.register_hook, held.before)
            hooks.add(held.parameter.register_post_accumulate_grad_hook, held.after)

    @property
    def backwards(self) -> int:
        """Gradients that arrived at one of the parameters, at its most."""
        return max((held.arrived for held in self._held), default=0)

    def before_step(self) -> None:
        """See what the optimizer is about to use."""
        self._stale = self._any_is_stale()
        self._look_for_one()

    def after_step(self) -> None:
        """Remember what the optimizer has used; a closure goes back inside the step."""
        self._look_for_one()
        self.steps += 1
        self.stale_steps += self._stale or self._any_is_stale()
        for held in self._held:
            held.use()

    def nothing_moved(self) -> bool:
        """Whether no step had a gradient and no parameter is another than at the start."""
        if not self._held or self._seen_one or not all(held.parameter.requires_grad for held in self._held):
            return False
        return not any(held.has_moved() for held in self._held)

    def may_train(self, parameters: Iterable[torch.Tensor]) -> bool:
        """Whether these get gradients, or move, in the loop; or whether that cannot be told of them."""
        own = {id(p) for p in parameters}
        watched = [held for held in self._held if id(held.parameter) in own]
        return any(held.arrived or held.has_moved() for held in watched) or (not watched and bool(own & self._all))

    def close(self) -> None:
        """Let go of the parameters."""
        self._held = []

    def _any_is_stale(self) -> bool:
        return any(held.is_still_stale() for held in self._held)

    def _look_for_one(self) -> None:
        self._seen_one = self._seen_one or any(_is_nonzero(held.parameter.grad) for held in self._held)


class _Held:
    """One parameter, and what is known of the gradient that it holds.

    Attributes
    ----------
    arrived : int
        Gradients that were added to the sum.
    stale : bool
        Whether the sum, when the last one was added, held one that a step has used.
    """

    def __init__(self, parameter: torch.Tensor) -> None:
        self.parameter = parameter
        self.arrived = 0
        self._start = self._sum()
        self._mark: tuple[int, int] | None = None
        self._used = self._untouched = self.stale = False

    def before(self, _: Any) -> None:
        """See whether an old gradient is still there, when a new one was computed."""
        grad = self.parameter.grad
        if self._used:
            self._untouched = self._mark is not None and _state(grad) == self._mark and _is_nonzero(grad)
        elif self.stale and _state(grad) != self._mark:
            self.stale = _is_nonzero(grad)  # cleared late, as by the other optimizer of a GAN, or clipped

    def after(self, _: Any) -> None:
        """Remember the sum, to which the new one was added."""
        self.arrived += 1
        if self._used:
            self.stale, self._used = self._untouched, False
        self._mark = _state(self.parameter.grad)

    def is_still_stale(self) -> bool:
        """Whether the sum is still in ``.grad``: another tensor was put there by hand, zeros were cleared late."""
        grad = self.parameter.grad
        if not self.stale or grad is None or self._mark is None:
            return False
        return _state(grad) == self._mark or (id(grad) == self._mark[0] and _is_nonzero(grad))  # or: clipped

    def use(self) -> None:
        """Note that a step has used what is there."""
        self._mark, self._used, self.stale = _state(self.parameter.grad), True, False

    def has_moved(self) -> bool:
        """Whether the parameter is another than at the start, as its sum tells."""
        return self._sum() != self._start

    def _sum(self) -> float:
        return float(self.parameter.detach().double().sum())


def _state(grad: torch.Tensor | None) -> tuple[int, int] | None:
    """Return which tensor it is, and how often it was written to."""
    return None if grad is None else (id(grad), grad._version)


def _is_nonzero(grad: torch.Tensor | None) -> bool:
    if grad is None:
        return False
    return bool((grad.coalesce().values() if grad.is_sparse else grad).any())
