"""Convert values to JSON and back. A type that JSON does not have is an object with one key, such as ``$tuple``.

Tensors and arrays are stored in the safetensors part; the JSON refers to them by name. Classes and functions are
stored by name.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from sktorch_acc.exceptions import ModelFileError
from sktorch_acc.storage.names import Names, is_named, name_of

_DEPTH = 30
# A table, because getattr(torch, name) can import.
_DTYPES = {str(value).removeprefix("torch."): value for value in vars(torch).values() if isinstance(value, torch.dtype)}
_NONFINITE = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def plain_number(value: float) -> float | str:
    """Return a float in a form that JSON can hold: NaN and infinity as strings."""
    return value if math.isfinite(value) else str(value)


def number(value: Any) -> float:
    """Return the float that `plain_number` converted.

    Raises
    ------
    ModelFileError
        If `value` is not such a number.
    """
    if type(value) is float or (type(value) is int and abs(value) < 2**1000):
        return float(value)
    if type(value) is str and value in _NONFINITE:
        return _NONFINITE[value]
    raise ModelFileError(f"A number was expected in manifest.json, but got {str(value)[:40]!r}.")


class Writer:
    """Convert values to JSON, and collect their tensors in `tensors`."""

    def __init__(self) -> None:
        self.tensors: dict[str, torch.Tensor] = {}

    def encode(self, value: Any, where: str, depth: int = 0) -> Any:
        """Return a value in a form that JSON can hold; `where` is its name in messages.

        Raises
        ------
        ModelFileError
            If the value cannot be stored; the message says what to do.
        """
        if isinstance(value, np.generic) and value.dtype.kind in "biufU" and value.dtype.char != "g":
            value = value.item()
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"$float": str(value)}
        if isinstance(value, (torch.Tensor, np.ndarray)):
            return self._collect(value, where)
        if isinstance(value, torch.dtype):
            return {"$dtype": str(value).removeprefix("torch.")}
        if isinstance(value, torch.device):
            return {"$device": str(value)}
        if is_named(value):
            return {"$name": self._name(value, where)}
        if depth < _DEPTH and type(value) in (list, tuple, dict, torch.Size):
            return self._container(value, where, depth + 1)
        raise ModelFileError(_refusal(value, where))

    def _container(self, value: Any, where: str, depth: int) -> Any:
        if type(value) is dict:
            parts = {key: self.encode(item, f"{where}[{key!r}]", depth) for key, item in value.items()}
            if all(type(key) is str and not key.startswith("$") for key in parts):
                return parts
            return {"$dict": [[self.encode(key, f"a key of {where}", depth), part] for key, part in parts.items()]}
        items = [self.encode(item, f"{where}[{i}]", depth) for i, item in enumerate(value)]
        return items if type(value) is list else {"$tuple": items}

    def _collect(self, value: Any, where: str) -> dict[str, str]:
        kind = "$tensor"
        if isinstance(value, np.ndarray):
            if value.dtype.kind not in "biuf" or value.dtype.char == "g":
                raise ModelFileError(
                    f"{where} is an array of dtype {value.dtype}: only arrays of numbers and bools can be stored."
                )
            kind, value = "$array", torch.from_numpy(np.ascontiguousarray(value.astype(value.dtype.newbyteorder("="))))
        name = f"value.{len(self.tensors)}"
        self.tensors[name] = value
        return {kind: name}

    def _name(self, value: Any, where: str) -> str:
        name = name_of(value)
        if name is None:
            raise ModelFileError(
                f"{where} is a lambda, which cannot be stored by name. Write it as a function with def, or pass a "
                "class and its parameters."
            )
        return name


def _refusal(value: Any, where: str) -> str:
    kind = type(value).__name__
    start = f"{where} is a {kind} ({repr(value)[:80]}), which a model file cannot hold."
    if isinstance(value, nn.Module):
        if "__" not in where:
            return f"{start} Pass the class as {where} and its arguments as {where}__<name>, and fit again."
        return (
            f"{start} Pass what it is made from as numbers and names, a function with `def`, or the whole "
            "module as an instance, and fit again."
        )
    if isinstance(value, functools.partial):
        return f"{start} Pass the class as {where} and its arguments as {where}__<name>."
    if where.startswith("net_.history"):
        return f"{start} A callback recorded it: clf.net_.history.clear() deletes it; history_ is kept."
    if isinstance(value, np.random.RandomState):
        return f"{start} Predictions do not depend on it: call clf.set_params(random_state=None) before saving."
    return (
        f"{start} Numbers, strings, lists, tuples, dicts, arrays, tensors, classes and functions can be stored: "
        "change it with set_params, or pickle the estimator."
    )


class Reader:
    """Convert JSON to values.

    Parameters
    ----------
    tensors : mapping of str to Tensor
        The tensors of the file.
    names : Names
        The objects that names refer to.
    """

    def __init__(self, tensors: Mapping[str, torch.Tensor], names: Names) -> None:
        self._tensors, self._names = tensors, names

    def decode(self, value: Any, where: str, depth: int = 0) -> Any:
        """Return the value that `Writer.encode` converted.

        Raises
        ------
        ModelFileError
            If the JSON is invalid, or contains a name that is not allowed.
        """
        if depth > 2 * _DEPTH:
            raise ModelFileError(f"{where} is nested more than {_DEPTH} levels deep.")
        if type(value) is list:
            return [self.decode(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]
        if type(value) is not dict:
            return value
        if not any(key.startswith("$") for key in value):
            return {key: self.decode(item, f"{where}[{key!r}]", depth + 1) for key, item in value.items()}
        if len(value) == 1:
            (kind, content) = next(iter(value.items()))
            decode = _KINDS.get(kind)
            if decode is not None:
                return decode(self, content, where, depth + 1)
        raise ModelFileError(f"{where} is stored as {sorted(value)[:3]}, which this version does not know.")

    def _text(self, content: Any, where: str) -> str:
        if type(content) is not str:
            raise ModelFileError(f"{where} must name something by a string, but holds {str(content)[:40]!r}.")
        return content

    def _items(self, content: Any, where: str, depth: int) -> list[Any]:
        if type(content) is not list:
            raise ModelFileError(f"{where} must hold a list, but holds {str(content)[:40]!r}.")
        return [self.decode(item, f"{where}[{i}]", depth) for i, item in enumerate(content)]

    def _pairs(self, content: Any, where: str, depth: int) -> dict[Any, Any]:
        pairs = self._items(content, where, depth)
        if not all(type(pair) is list and len(pair) == 2 and isinstance(pair[0], _KEYS) for pair in pairs):
            raise ModelFileError(f"{where} must hold pairs of a key and a value.")
        return dict(pairs)

    def _tensor(self, content: Any, where: str) -> torch.Tensor:
        name = self._text(content, where)
        if not name.startswith("value.") or name not in self._tensors:
            raise ModelFileError(f"{where} is stored as tensor {name!r}, which weights.safetensors does not hold.")
        return self._tensors[name]

    def _dtype(self, content: Any, where: str) -> torch.dtype:
        dtype = _DTYPES.get(self._text(content, where))
        if dtype is None:
            raise ModelFileError(f"{where} is {content!r}, which is not a dtype of torch.")
        return dtype

    def _device(self, content: Any, where: str) -> torch.device:
        try:
            return torch.device(self._text(content, where))
        except RuntimeError as err:
            raise ModelFileError(f"{where} is {content!r}, which is not a device of torch.") from err


_KEYS = (str, int, float, type(None))
_KINDS: dict[str, Any] = {
    "$float": lambda reader, content, where, depth: number(content),
    "$tuple": lambda reader, content, where, depth: tuple(reader._items(content, where, depth)),
    "$dict": lambda reader, content, where, depth: reader._pairs(content, where, depth),
    "$name": lambda reader, content, where, depth: reader._names.resolve(reader._text(content, where), where),
    "$tensor": lambda reader, content, where, depth: reader._tensor(content, where),
    "$array": lambda reader, content, where, depth: reader._tensor(content, where).numpy(),
    "$dtype": lambda reader, content, where, depth: reader._dtype(content, where),
    "$device": lambda reader, content, where, depth: reader._device(content, where),
}
