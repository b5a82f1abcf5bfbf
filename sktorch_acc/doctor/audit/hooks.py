"""Hooks on the objects of a loop: they change no result, are removed after the block and are not copied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_MOST_TENSORS = 16  # that are looked for in what a module takes or returns


class Hook:
    """A hook that is not part of a copy or pickle of the module, and that never raises in the loop.

    Parameters
    ----------
    call : callable or None, default=None
        Called by the hook, which returns None. None: the hook does nothing.
    failed : callable or None, default=None
        Called with the error if `call` raises one; the hook then does nothing more.
    """

    __slots__ = ("call", "failed")

    def __init__(
        self, call: Callable[..., Any] | None = None, failed: Callable[[Exception], None] | None = None
    ) -> None:
        self.call, self.failed = call, failed

    def __call__(self, *args: Any) -> None:
        """Run `call`, but not while torch.compile or torch.export trace the loop."""
        if self.call is None or torch.compiler.is_compiling():
            return
        try:
            self.call(*args)
        except Exception as err:  # an error in the audit must not stop the loop
            self.call = None
            if self.failed is not None:
                self.failed(err)

    @property
    def __name__(self) -> str:
        # torch.jit.script compiles the hooks of a module by name; other code looks whether there is a name.
        raise AttributeError(
            "A module cannot be scripted while audit_loop monitors it: call torch.jit.script before or after the block."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Hook, ()


class Hooks:
    """All hooks of one audit, removed together."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._made: list[tuple[Hook, Any]] = []

    def add(self, register: Callable[..., Any], call: Callable[..., Any], **how: Any) -> None:
        """Register `call` with one of torch's methods that return a handle."""
        hook = Hook(call, self._failed)
        self._made.append((hook, register(hook, **how)))

    def guard(self, call: Callable[..., Any], *args: Any) -> None:
        """Call a function of the audit; an error is kept, not raised."""
        Hook(call, self._failed)(*args)

    def remove(self) -> None:
        """Remove all hooks; those that copies of a module share do nothing more."""
        while self._made:
            hook, handle = self._made.pop()
            hook.call = None
            handle.remove()

    def _failed(self, err: Exception) -> None:
        self.error = self.error or err


def inside_transform() -> bool:
    """Whether a transform of torch.func is active, in which the values of tensors cannot be read."""
    return torch._C._functorch.maybe_current_level() is not None  # there is no public name for it


def tensors_in(value: Any, found: list[torch.Tensor] | None = None) -> list[torch.Tensor]:
    """Return the tensors in what a module takes or returns: a tensor, or tuples, lists and dicts of them."""
    found = [] if found is None else found
    if isinstance(value, torch.Tensor):
        found.append(value)
    elif isinstance(value, (tuple, list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            if len(found) < _MOST_TENSORS:
                tensors_in(item, found)
    return found


def nodes_of(tensors: list[torch.Tensor]) -> list[Any]:
    """Return the nodes of the graph that computed these tensors, each once."""
    return list(dict.fromkeys(t.grad_fn for t in tensors if t.grad_fn is not None))


def count_correct(spec: Any, output: Any, targets: Any) -> torch.Tensor | None:
    """Count the correct predictions on the tensors' device: int64 of shape (); None if that is not possible.

    Parameters
    ----------
    spec : OutputSpec or None
        Kind of the output; None: unknown.
    output : Tensor of shape (n, n_classes), (n, 1) or (n,), floating
        The output of the module.
    targets : Tensor of shape (n,), or (n, 1) for one column
        Class indices.
    """
    if spec is None or not isinstance(output, torch.Tensor) or not isinstance(targets, torch.Tensor):
        return None
    if not output.is_floating_point() or not output.numel():
        return None
    if spec.one_column:
        fits = output.ndim > 0 and output.numel() == len(output) == targets.numel()
    else:
        fits = output.ndim == 2 and output.shape[1] > 1 and targets.shape == output.shape[:1]
        fits = fits and not targets.is_floating_point()
    if not fits:
        return None
    correct: torch.Tensor = (spec.classes(output.detach()) == targets.detach().reshape(-1)).sum()
    return correct
