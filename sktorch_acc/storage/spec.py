"""Check the types of JSON values against a spec."""

from __future__ import annotations

import re
from typing import Any

from sktorch_acc.exceptions import ModelFileError

_LARGEST = 2**63


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _LARGEST


def _all(test: Any) -> Any:
    return lambda value: type(value) is list and all(test(item) for item in value)


def _is_text(value: Any) -> bool:
    return type(value) is str


_PREDICATES: dict[str, Any] = {
    "text": _is_text,
    "texts": _all(_is_text),
    "count": _is_count,
    "counts": _all(_is_count),
    "flag": lambda value: type(value) is bool,
    "number": lambda value: type(value) in (int, float),
    "list": lambda value: type(value) is list,
    "object": lambda value: type(value) is dict,
    "strings by name": lambda value: type(value) is dict and all(map(_is_text, value.values())),
    "digest": lambda value: _is_text(value) and bool(re.fullmatch("[0-9a-f]{64}", value)),
}


def check(value: Any, spec: Any, where: str) -> None:
    """Raise an error for a value that does not match `spec`.

    A spec is one of the names in `_PREDICATES`, optionally followed by "or null", or a dict of specs for an object
    with exactly these keys.

    Raises
    ------
    ModelFileError
        If the value does not match; `where` is the place that the message names.
    """
    if isinstance(spec, dict):
        if type(value) is not dict or set(value) != set(spec):
            given = sorted(value) if type(value) is dict else type(value).__name__
            odd = sorted(set(value) ^ set(spec)) if type(value) is dict else given
            raise ModelFileError(f"{where} must hold the entries {sorted(spec)}. Missing or unknown: {odd}.")
        for name, part in spec.items():
            check(value[name], part, f"{where}: {name}")
        return
    kind = spec.removesuffix(" or null")
    if value is None and kind != spec:
        return
    if not _PREDICATES[kind](value):
        raise ModelFileError(f"{where} must be {spec} (of JSON), but is {str(value)[:60]!r}.")
