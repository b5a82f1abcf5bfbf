"""What a step moves besides the weights: the state of the optimizer and the tensors of the criterion.

Kept after each epoch of a fit that may be continued, so that an epoch that does not end leaves nothing behind.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sktorch_acc.engine.snapshot import Snapshot

_Values = list[tuple[Any, dict[str, Any]]]  # a parameter, and the values that the optimizer keeps for it


class Rollback:
    """A copy of an optimizer's state and of a criterion's tensors, taken again and again into the same memory."""

    def __init__(self, optimizer: torch.optim.Optimizer, criterion: nn.Module) -> None:
        self._kept: list[torch.Tensor] = []
        self._criterion = Snapshot(criterion)
        self._remember(optimizer)

    def take(self, optimizer: torch.optim.Optimizer, criterion: nn.Module) -> None:
        """Copy the live values."""
        self._criterion.take(criterion)
        self._remember(optimizer)

    def _remember(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._groups = [(group, dict(group), [*group["params"]]) for group in optimizer.param_groups]
        values, live = _taken_apart(optimizer)
        self._values: _Values = values
        with torch.no_grad():
            if [_kind(t) for t in live] == [_kind(t) for t in self._kept]:
                if live:
                    torch._foreach_copy_(self._kept, live)
            else:
                self._kept = [tensor.detach().clone() for tensor in live]

    def restore(self, criterion: nn.Module) -> torch.optim.Optimizer:
        """Write the copy back; return the optimizer, which a callback may have replaced since."""
        self._criterion.restore(criterion)
        kept = [tensor.clone() for tensor in self._kept]
        self._optimizer.state.clear()
        for parameter, values in self._values:
            self._optimizer.state[parameter] = {name: _put_together(v, kept) for name, v in values.items()}
        self._optimizer.param_groups[:] = [group for group, _, _ in self._groups]
        for group, options, parameters in self._groups:
            group.clear()
            group.update(options)
            group["params"][:] = parameters  # in the same list, which LBFGS holds too
        return self._optimizer


class _Place(int):
    """Where a tensor stands in the list of copies."""


def _taken_apart(optimizer: torch.optim.Optimizer) -> tuple[_Values, list[torch.Tensor]]:
    """Return the optimizer's state with places instead of tensors, and the tensors."""
    live: list[torch.Tensor] = []

    def without_tensors(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            live.append(value)
            return _Place(len(live) - 1)
        if type(value) in (list, tuple):  # the history of LBFGS
            return type(value)([without_tensors(item) for item in value])
        return value

    state = optimizer.state.items()
    return [(p, {name: without_tensors(v) for name, v in values.items()}) for p, values in state], live


def _put_together(value: Any, tensors: list[torch.Tensor]) -> Any:
    if isinstance(value, _Place):
        return tensors[value]
    if type(value) in (list, tuple):
        return type(value)([_put_together(item, tensors) for item in value])
    return value


def _kind(tensor: torch.Tensor) -> tuple[Any, ...]:
    return tensor.shape, tensor.dtype, tensor.device
