"""The optimizer's step with the least Python: torch's functional Adam where it does what ``step()`` does.

``Optimizer.step`` looks its state up anew for every parameter and step, opens a profiler region and
walks hooks; on a small module that takes longer than forward and loss together. Here the lists are made
once per epoch, and the same function of torch gets the same tensors: the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import adam
from torch.optim import optimizer as base

__all__ = ["step_of"]


def step_of(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Return the cheapest callable that does what ``optimizer.step()`` does, for the length of an epoch."""
    return _DirectAdam(optimizer) if _is_plain_adam(optimizer) else optimizer.step


def _is_plain_adam(optimizer: torch.optim.Optimizer) -> bool:
    """Whether ``step()`` is torch's own, with fused kernels, and nobody listens to it."""
    if type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW):
        return False
    # Private names: where torch renames one, the answer is no and step() itself is called.
    hooks = (
        getattr(optimizer, "_optimizer_step_pre_hooks", True),
        getattr(optimizer, "_optimizer_step_post_hooks", True),
        getattr(base, "_global_optimizer_pre_hooks", True),
        getattr(base, "_global_optimizer_post_hooks", True),
        getattr(optimizer, "grad_scale", None) is not None,
        getattr(optimizer, "found_inf", None) is not None,
    )
    if any(hooks):
        return False
    own = vars(optimizer).get("step")  # schedulers wrap it to see that it was called; others may replace it
    if own is not None and getattr(own, "__wrapped__", None) is not type(optimizer).step:
        return False
    return all(group["fused"] is True and not group["differentiable"] for group in optimizer.param_groups)


class _Group:
    """The tensors of a parameter group, in the lists that the functional optimizer takes."""

    def __init__(self, optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> None:
        self.options = group  # read at each step: schedules change lr and betas
        self.active = [p for p in group["params"] if p.grad is not None]
        self.idle = [p for p in group["params"] if p.grad is None]  # frozen, or not part of this forward
        states = [optimizer.state[p] for p in self.active]
        self.averages = [state["exp_avg"] for state in states]
        self.squares = [state["exp_avg_sq"] for state in states]
        self.largest = [state["max_exp_avg_sq"] for state in states] if group["amsgrad"] else []
        self.steps = [state["step"] for state in states]

    def gradients(self) -> list[torch.Tensor] | None:
        """Return the gradients; None if other parameters have one than when the lists were made."""
        gradients = [g for p in self.active if (g := p.grad) is not None]
        if len(gradients) < len(self.active):
            return None
        for parameter in self.idle:
            if parameter.grad is not None:
                return None
        return gradients

    def step(self, gradients: list[torch.Tensor]) -> None:
        """Call the functional optimizer as ``Adam.step`` does."""
        options = self.options
        beta1, beta2 = options["betas"]
        adam.adam(
            self.active,
            gradients,
            self.averages,
            self.squares,
            self.largest,
            self.steps,
            fused=True,
            capturable=options["capturable"],
            decoupled_weight_decay=options["decoupled_weight_decay"],
            amsgrad=options["amsgrad"],
            beta1=beta1,
            beta2=beta2,
            lr=options["lr"],
            weight_decay=options["weight_decay"],
            eps=options["eps"],
            maximize=options["maximize"],
        )


class _DirectAdam:
    """Take the first step by ``optimizer.step()``, which makes the state and tells schedulers; the others directly."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._groups: list[_Group] = []

    def __call__(self) -> None:
        if not self._groups:
            self._optimizer.step()
            self._groups = [_Group(self._optimizer, group) for group in self._optimizer.param_groups]
            return
        gradients = []
        for group in self._groups:
            found = group.gradients()
            if found is None:
                self._optimizer.step()
                return
            gradients.append(found)
        with torch.no_grad():
            for group, found in zip(self._groups, gradients, strict=True):
                group.step(found)
