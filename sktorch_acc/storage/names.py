"""Classes and functions by name: a file contains names, and the caller passes the objects.

A name from a file is never imported. A name without a colon is a class of torch or of this library, from a table;
``package.module:Name`` is looked up among the objects that the caller allows.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch
from torch import nn

from sktorch_acc.exceptions import ModelFileError
from sktorch_acc.modules import MLP

# The classes that are allowed for parameters that are called while loading, with arguments from the file. Layers are
# not: a number in the file would determine their size.
_ROLES: dict[str, tuple[str, type, str]] = {
    "criterion": ("torch.nn.modules.loss", nn.Module, "a loss of torch"),
    "optimizer": ("torch.optim", torch.optim.Optimizer, "an optimizer of torch"),
    "lr_scheduler": ("torch.optim", torch.optim.lr_scheduler.LRScheduler, "a schedule of torch"),
}


@functools.cache
def _table() -> dict[str, type]:
    """Return the classes that are always allowed: torch's layers, losses, optimizers and schedules, and the MLP."""
    homes: tuple[tuple[str, Any, type], ...] = (
        ("torch.nn", nn, nn.Module),
        ("torch.optim", torch.optim, torch.optim.Optimizer),
        ("torch.optim.lr_scheduler", torch.optim.lr_scheduler, torch.optim.lr_scheduler.LRScheduler),
    )
    table: dict[str, type] = {"sktorch_acc.modules.MLP": MLP}
    for prefix, home, base in homes:
        for name, value in vars(home).items():
            if isinstance(value, type) and issubclass(value, base) and value.__module__.startswith(prefix):
                table[f"{prefix}.{name}"] = value
    return table


def is_named(value: Any) -> bool:
    """Whether a value is stored by its name: a class or a function."""
    return isinstance(value, (type, FunctionType, BuiltinFunctionType))


def name_of(value: Any) -> str | None:
    """Return the name under which a class or function is stored; None for a lambda, which has none."""
    for name, known in _table().items():
        if known is value:
            return name
    if value.__name__ == "<lambda>":
        return None
    return f"{value.__module__}:{value.__qualname__}"


class Names:
    """The objects that names in a file may refer to.

    Parameters
    ----------
    allow : iterable of classes and functions
        The argument of `load_model`.

    Raises
    ------
    TypeError
        If `allow` holds something else.
    """

    def __init__(self, allow: Iterable[Any]) -> None:
        self._allowed: dict[str, Any] = {}
        for value in allow:
            if not is_named(value):
                raise TypeError(f"allow must hold classes and functions, but holds {value!r}.")
            name = name_of(value)
            if name is not None:
                self._allowed[name] = value

    def allowed(self, name: str) -> Any:
        """Return the allowed object with a name; None if there is none.

        For a class that was saved from a script (``__main__:Net``) the module is not compared.
        """
        if name in self._allowed:
            return self._allowed[name]
        script, _, bare = name.partition(":")
        if script == "__main__":
            same = [value for known, value in self._allowed.items() if known.partition(":")[2] == bare]
            return same[0] if len(same) == 1 else None
        return None

    def resolve(self, name: str, where: str) -> Any:
        """Return the object with a name, for the parameter `where`.

        Raises
        ------
        ModelFileError
            If it is neither allowed nor a class of torch of the right kind.
        """
        home, base, kind = _ROLES.get(where, ("", object, "a class of torch"))
        found, own = self.allowed(name), _table().get(name)
        if found is None and own is not None and own.__module__.startswith(home) and issubclass(own, base):
            found = own
        if found is None:
            short = name.rpartition(":")[2].rpartition(".")[2]
            raise ModelFileError(
                f"{where} is {name!r}, which is not {kind} and was not allowed. load_model does not import it: if "
                f"you trust it, import it and pass load_model(..., allow=[{short}])."
            )
        return found
