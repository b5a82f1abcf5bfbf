"""Monitor in which mode steps are taken, as far as it matters to a layer."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from torch import nn

from sktorch_acc.checks.evaluation import check_left_in_evaluation
from sktorch_acc.doctor.audit.graphs import ForwardPass
from sktorch_acc.findings import Finding


class ModeMonitor:
    """The mode of a module, and of its layers that depend on it."""

    def __init__(self, model: nn.Module) -> None:
        self._root = _unwrapped(model)
        self._layers = [layer for layer in model.modules() if _depends_on_mode(layer)]
        self._names = [type(layer).__name__ for layer in self._layers]
        self._trained: set[int] = set()
        self._first = (0, 0)  # epoch and step
        self._steps, self._changed = 0, set[int]()

    def now(self) -> tuple[bool, tuple[bool, ...]]:
        """Return the modes of the module and of its layers."""
        return self._root.training, tuple(layer.training for layer in self._layers)

    def after_step(self, used: Sequence[ForwardPass], epoch: int, step: int) -> None:
        """Note in which modes the forward passes of a step were run."""
        if not used:
            return
        active = {i for forward in used for i, training in enumerate(forward.modes) if training}
        if any(forward.training for forward in used):
            self._trained |= active
            return
        changed = self._trained - active
        if changed:
            self._first = self._first if self._steps else (epoch, step)
            self._steps += 1
            self._changed |= changed

    def check(self) -> Finding | None:
        """Report steps in evaluation mode after others in training mode."""
        layers = list(dict.fromkeys(self._names[i] for i in sorted(self._changed)))
        return check_left_in_evaluation(*self._first, self._steps, layers)


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside wrappers such as DataParallel, whose own mode has no effect."""
    while True:
        children = dict(model.named_children())
        if set(children) not in ({"module"}, {"_orig_mod"}) or any(True for _ in model.parameters(recurse=False)):
            return model
        (model,) = children.values()


def _depends_on_mode(layer: nn.Module) -> bool:
    """Whether a layer, without those in it, computes something else in evaluation mode."""
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
    # A custom forward that reads the mode: F.dropout(x, training=self.training).
    code = getattr(inspect.getattr_static(type(layer), "forward", None), "__code__", None)
    return code is not None and "training" in code.co_names
