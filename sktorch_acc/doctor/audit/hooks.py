"""Hooks on somebody's objects: none of them changes a result, survives the block, or goes into a copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch

__all__ = ["Hook", "Hooks", "count_right", "first_tensor", "inside_transform", "nodes_of", "tensors_in"]

# What a module returns is searched for tensors; more of them than this are not needed to know its batch.
_MOST_TENSORS = 16


class Hook:
    """A hook that a copy or a pickle of the module does not take along, and that never fails in the loop.

    Parameters
    ----------
    call : callable or None, default=None
        What is done; its result is dropped. None: nothing.
    failed : callable or None, default=None
        Told of the error, if `call` raises one; the hook is then silent.
    """

    __slots__ = ("call", "failed")

    def __init__(
        self, call: Callable[..., Any] | None = None, failed: Callable[[Exception], None] | None = None
    ) -> None:
        self.call, self.failed = call, failed

    def __call__(self, *args: Any) -> None:
        """Do it, and change nothing; in what torch.compile or torch.export takes up, do nothing."""
        if self.call is None or torch.compiler.is_compiling():
            return
        try:
            self.call(*args)
        except Exception as err:  # a mistake of the audit must not be one of the loop
            self.call = None
            if self.failed is not None:
                self.failed(err)

    @property
    def __name__(self) -> str:
        # torch.jit.script compiles the hooks of a module, by name; others ask whether there is one.
        raise AttributeError(
            "A module cannot be scripted while audit_loop watches it: call torch.jit.script before or after the block."
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
        """Call in the loop's stead: what fails is kept, not raised."""
        Hook(call, self._failed)(*args)

    def remove(self) -> None:
        """Take all hooks away; those that copies of a module share fall silent."""
        while self._made:
            hook, handle = self._made.pop()
            hook.call = None
            handle.remove()

    def _failed(self, err: Exception) -> None:
        self.error = self.error or err


def inside_transform() -> bool:
    """Whether a transform of torch.func is at work, inside of which tensors have no values to look at."""
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


def first_tensor(*values: Any) -> torch.Tensor | None:
    """Return the first tensor in `values`."""
    return next(_all_in(values), None)


def _all_in(values: tuple[Any, ...]) -> Iterator[torch.Tensor]:
    for value in values:
        yield from tensors_in(value)


def nodes_of(tensors: list[torch.Tensor]) -> list[Any]:
    """Return the nodes of the graph that made these tensors, each once."""
    return list(dict.fromkeys(t.grad_fn for t in tensors if t.grad_fn is not None))


def count_right(spec: Any, output: Any, targets: Any) -> torch.Tensor | None:
    """Count the right rows, where the tensors are: int64 of shape (); None if that cannot be told.

    Parameters
    ----------
    spec : OutputSpec or None
        What outputs mean; None: unknown.
    output : Tensor of shape (n, n_classes), (n, 1) or (n,), floating
        What the criterion, or its forerunner, was given.
    targets : Tensor of shape (n,), or (n, 1) for one column
        Class indices, whole numbers.
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
    right: torch.Tensor = (spec.classes(output.detach()) == targets.detach().reshape(-1)).sum()
    return right
