"""Watch the mode in which steps are trained, as far as it matters to a layer."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from sktorch_acc.doctor.audit.passed import Passed

__all__ = ["LeftInEval", "ModeWatch"]


@dataclass(frozen=True)
class LeftInEval:
    """Steps that were trained in evaluation mode, after others in training mode.

    Parameters
    ----------
    epoch, step : int
        Where it began, both from 1.
    steps : int
        How many there were.
    layers : tuple of str
        Types of the layers that behave in another way then.
    """

    epoch: int
    step: int
    steps: int
    layers: tuple[str, ...]


class ModeWatch:
    """The mode of a module and of the layers to which it matters."""

    def __init__(self, model: nn.Module) -> None:
        self._root: nn.Module | None = _unwrapped(model)
        self._layers = [layer for layer in model.modules() if _matters(layer)]
        self._names = [type(layer).__name__ for layer in self._layers]
        self._trained: set[int] = set()
        self._first: tuple[int, int] | None = None
        self._steps, self._changed = 0, set[int]()

    def now(self) -> tuple[bool, tuple[bool, ...]]:
        """Return the modes of the module and of its layers."""
        assert self._root is not None
        return self._root.training, tuple(layer.training for layer in self._layers)

    def after_step(self, used: Sequence[Passed], epoch: int, step: int) -> None:
        """Note in which modes the forward passes of a step were run."""
        if not used:
            return
        active = {i for passed in used for i, training in enumerate(passed.modes) if training}
        if any(passed.training for passed in used):
            self._trained |= active
            return
        changed = self._trained - active
        if changed:
            self._first = self._first or (epoch, step)
            self._steps += 1
            self._changed |= changed

    def found(self) -> LeftInEval | None:
        """Return what was found, if anything."""
        if self._first is None:
            return None
        return LeftInEval(
            *self._first, self._steps, tuple(dict.fromkeys(self._names[i] for i in sorted(self._changed)))
        )

    def close(self) -> None:
        """Let go of the module."""
        self._root = None
        self._layers = []


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside wrappers such as DataParallel, whose own mode says nothing."""
    while True:
        children = dict(model.named_children())
        if set(children) not in ({"module"}, {"_orig_mod"}) or any(True for _ in model.parameters(recurse=False)):
            return model
        (model,) = children.values()


def _matters(layer: nn.Module) -> bool:
    """Whether a layer, less those in it, does something else in evaluation mode."""
    if isinstance(layer, nn.modules.dropout._DropoutNd):
        return layer.p > 0
    if isinstance(layer, (nn.modules.batchnorm._NormBase)):
        return layer.running_mean is not None
    if isinstance(layer, nn.RNNBase):
        return bool(layer.dropout > 0 and layer.num_layers > 1)
    if isinstance(layer, nn.MultiheadAttention):
        return bool(layer.dropout > 0)
    if isinstance(layer, nn.RReLU):
        return True
    if type(layer).__module__.startswith("torch.nn."):
        return False
    # A forward of their own, that asks for the mode: F.dropout(x, training=self.training).
    code = getattr(inspect.getattr_static(type(layer), "forward", None), "__code__", None)
    return code is not None and "training" in code.co_names
