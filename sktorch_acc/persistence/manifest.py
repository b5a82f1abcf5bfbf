"""What the JSON part of a model file says, and what it must look like to be believed."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import dataclass, fields
from typing import Any

from sktorch_acc.exceptions import ModelFileError

__all__ = ["FORMAT", "VERSION", "Manifest"]

FORMAT, VERSION = "sktorch-acc model", 1
_MAX_CONTAINERS = 2**20  # an empty list takes three bytes of JSON and twenty times that in memory
_MAX_DEPTH = 200
_LARGEST = 2**63

# What each entry must be: the names are those of `_PREDICATES`; a dict describes an object with these keys.
_SPEC: dict[str, Any] = {
    "versions": "strings by name",
    "module": {"kind": "text", "name": "text or null"},
    "parameters": "object",
    "classes": {"dtype": "text", "values": "list"},
    "class_count": "counts",
    "n_features": "count",
    "feature_names": "texts or null",
    "door": {"row_shape": "counts", "integers": "flag", "dtype": "text"},
    "meaning": {"kind": "text", "one_column": "flag or null", "n_classes": "count"},
    "training": {
        "device": "text",
        "dtype": "text",
        "seed": "count",
        "lr": "number",
        "n_threads": "count",
        "n_iter": "count",
        "best_epoch": "count",
        "continued": "flag",
    },
    "history": {"epochs": "counts", "columns": "texts", "values": "list"},
    "record": "list",
    "requests": "object",
    "optimizer": "object or null",
    "tensors": "object",
    "frozen": "texts",
    "weights": {"size": "count", "sha256": "digest"},
}


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


@dataclass(frozen=True)
class Manifest:
    """The JSON part, entry by entry; ``_SPEC`` says what each may hold."""

    versions: dict[str, str]
    module: dict[str, Any]
    parameters: dict[str, Any]
    classes: dict[str, Any]
    class_count: list[int]
    n_features: int
    feature_names: list[str] | None
    door: dict[str, Any]
    meaning: dict[str, Any]
    training: dict[str, Any]
    history: dict[str, Any]
    record: list[Any]
    requests: dict[str, Any]
    optimizer: dict[str, Any] | None
    tensors: dict[str, Any]
    frozen: list[str]
    weights: dict[str, Any]

    def to_bytes(self) -> bytes:
        """Return the JSON: ASCII, indented by one, the same on every machine."""
        entries = {"format": FORMAT, "format_version": VERSION}
        entries |= {field.name: getattr(self, field.name) for field in fields(self)}
        data = json.dumps(entries, indent=1, ensure_ascii=True, allow_nan=False).encode("ascii")
        _limit_containers(data)
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Return the manifest in `data`, every entry checked for its type.

        Raises
        ------
        ModelFileError
            If `data` is no manifest of a format that this version knows.
        """
        entries = _parsed(data)
        if type(entries) is not dict or entries.pop("format", None) != FORMAT:
            raise ModelFileError(f"manifest.json must be an object whose 'format' is {FORMAT!r}.")
        version = entries.pop("format_version", None)
        if type(version) is not int or version != VERSION:
            newer = type(version) is int and version > VERSION
            advice = "Update sktorch-acc." if newer else "save_model never wrote that."
            raise ModelFileError(
                f"manifest.json has format_version {version!r}; this version reads {VERSION}. {advice}"
            )
        _check(entries, _SPEC, "manifest.json")
        return cls(**{field.name: entries[field.name] for field in fields(cls)})

    def check_weights(self, data: bytes) -> None:
        """Refuse weights that are not those that were saved with this manifest."""
        digest = hashlib.sha256(data).hexdigest()
        if len(data) != self.weights["size"] or digest != self.weights["sha256"]:
            raise ModelFileError(
                f"weights.safetensors is not the one that was saved with this manifest: {self.weights['size']} bytes, "
                f"SHA-256 {self.weights['sha256'][:12]}... were expected, but {len(data)} bytes, {digest[:12]}... came."
            )


def _parsed(data: bytes) -> Any:
    """Parse strict JSON: UTF-8, no NaN, no infinity, no key twice."""
    _limit_containers(data)
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


def _limit_containers(data: bytes) -> None:
    if data.count(b"[") + data.count(b"{") > _MAX_CONTAINERS:
        raise ModelFileError(
            f"The manifest holds more than {_MAX_CONTAINERS} lists and objects: most of them are batches in "
            "net_.history. clf.net_.history.clear() forgets them; history_ stays."
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
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large for a float")
    return value


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)[:40]!r} is there twice")
    return entries


def _check(value: Any, spec: Any, where: str) -> None:
    """Refuse a value that is not what `spec` says."""
    if isinstance(spec, dict):
        if type(value) is not dict or set(value) != set(spec):
            given = sorted(value) if type(value) is dict else type(value).__name__
            odd = sorted(set(value) ^ set(spec)) if type(value) is dict else given
            raise ModelFileError(f"{where} must hold the entries {sorted(spec)}. Missing or unknown: {odd}.")
        for name, part in spec.items():
            _check(value[name], part, f"{where}: {name}")
        return
    kind = spec.removesuffix(" or null")
    if value is None and kind != spec:
        return
    if not _PREDICATES[kind](value):
        raise ModelFileError(f"{where} must be {spec} (of JSON), but is {str(value)[:60]!r}.")
