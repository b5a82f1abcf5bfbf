"""Strict JSON: written in one form, and read without NaN, duplicate keys or deep nesting."""

from __future__ import annotations

import json
import math
from typing import Any

from sktorch_acc.exceptions import ModelFileError

_MAX_CONTAINERS = 2**20  # an empty list takes three bytes of JSON and twenty times that in memory
_MAX_DEPTH = 200


def parse(data: bytes) -> Any:
    """Parse strict JSON: UTF-8 without NaN, infinity or duplicate keys, and of limited size and depth.

    Raises
    ------
    ModelFileError
        If `data` is not strict JSON.
    """
    limit_containers(data)
    try:
        entries = json.loads(
            data.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=_distinct,
        )
        _limit_depth(entries)
    except (ValueError, RecursionError) as err:
        raise ModelFileError(f"manifest.json is not valid JSON: {err}") from err
    return entries


def write(entries: Any) -> bytes:
    """Return ASCII JSON, indented by one space; the same on every machine."""
    data = json.dumps(entries, indent=1, ensure_ascii=True, allow_nan=False).encode("ascii")
    limit_containers(data)
    return data


def limit_containers(data: bytes) -> None:
    """Raise an error for more lists and objects than may be loaded into memory."""
    if data.count(b"[") + data.count(b"{") > _MAX_CONTAINERS:
        raise ModelFileError(
            f"The manifest holds more than {_MAX_CONTAINERS} lists and objects: most of them are batches that "
            "callbacks recorded in net_.history. clf.net_.history.clear() deletes them; history_ is kept."
        )


def _limit_depth(value: Any) -> None:
    level, depth = [value] if type(value) in (list, dict) else [], 0
    while level:
        depth += 1
        if depth > _MAX_DEPTH:
            raise ValueError(f"it is nested more than {_MAX_DEPTH} levels deep")
        inner = [item.values() if type(item) is dict else item for item in level]
        level = [child for children in inner for child in children if type(child) in (list, dict)]


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not a number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large for a float")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)[:40]!r} is a duplicate key")
    return entries
