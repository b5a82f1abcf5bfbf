"""The JSON part of a model file, and the types of its entries."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import Any

from sktorch_acc.exceptions import ModelFileError
from sktorch_acc.persistence.epochs import EPOCHS_SPEC
from sktorch_acc.persistence.probe import PROBE_SPEC
from sktorch_acc.persistence.version_1 import upgraded
from sktorch_acc.storage.spec import check
from sktorch_acc.storage.strict_json import parse, write

FORMAT, VERSION = "sktorch-acc model", 2

# The types of the entries, in the notation of storage.spec: those of every format, then those of one.
_SHARED: dict[str, Any] = {
    "versions": "strings by name",
    "module": {"kind": "text", "name": "text or null"},
    "parameters": "object",
    "classes": {"dtype": "text", "values": "list"},
    "class_count": "counts",
    "n_features": "count",
    "feature_names": "texts or null",
    "requests": "object",
    "optimizer": "object or null",
    "tensors": "object",
    "frozen": "texts",
    "weights": {"size": "count", "sha256": "digest"},
}
_SCHEMA = {"row_shape": "counts", "integers": "flag", "dtype": "text"}
_OUTPUT = {"kind": "text", "one_column": "flag or null", "n_classes": "count"}
_TRAINING = {
    "device": "text",
    "dtype": "text",
    "seed": "count",
    "lr": "number",
    "n_threads": "count",
    "best_epoch": "count",
    "continued": "flag",
}
_SPECS: dict[int, dict[str, Any]] = {
    1: {
        **_SHARED,
        "door": _SCHEMA,
        "meaning": _OUTPUT,
        "training": {**_TRAINING, "n_iter": "count"},
        "history": {"epochs": "counts", "columns": "texts", "values": "list"},
        "record": "list",
    },
    2: {
        **_SHARED,
        "schema": _SCHEMA,
        "output": _OUTPUT,
        "training": _TRAINING,
        "epochs": EPOCHS_SPEC,
        "callback_record": "list or null",
        "extensions": "object",  # a file with an extension that is not known is refused
    },
}
_EXTENSIONS: dict[str, Any] = {"probe": PROBE_SPEC}


def manifest_to_bytes(entries: dict[str, Any]) -> bytes:
    """Return the JSON of the newest format."""
    return write({"format": FORMAT, "format_version": VERSION, **entries})


def manifest_from_bytes(data: bytes) -> SimpleNamespace:
    """Return the manifest in `data`; its attributes are the entries of the newest format, and `format_version`.

    Raises
    ------
    ModelFileError
        If `data` is not a manifest of a format that this version reads, or an entry has another type.
    """
    entries = parse(data)
    if type(entries) is not dict or entries.pop("format", None) != FORMAT:
        raise ModelFileError(f"manifest.json must be an object whose 'format' is {FORMAT!r}.")
    version = entries.pop("format_version", None)
    if type(version) is not int or version not in _SPECS:
        newer = type(version) is int and version > VERSION
        advice = "Update sktorch-acc." if newer else "save_model does not write this format."
        raise ModelFileError(
            f"manifest.json has format_version {version!r}; this version reads 1 to {VERSION}. {advice}"
        )
    check(entries, _SPECS[version], "manifest.json")
    if version == 1:
        entries = upgraded(entries)
    unknown = sorted(set(entries["extensions"]) - set(_EXTENSIONS))
    if unknown:
        raise ModelFileError(f"The file needs {unknown[:5]}, which this version does not know. Update sktorch-acc.")
    for name, entry in entries["extensions"].items():
        check(entry, _EXTENSIONS[name], f"manifest.json: {name}")
    return SimpleNamespace(**entries, format_version=version)


def check_weights(manifest: SimpleNamespace, data: bytes) -> None:
    """Raise an error for weights that were not saved with this manifest."""
    size, expected = manifest.weights["size"], manifest.weights["sha256"]
    digest = hashlib.sha256(data).hexdigest()
    if (len(data), digest) != (size, expected):
        raise ModelFileError(
            f"weights.safetensors is not the one that was saved with this manifest: {size} bytes, SHA-256 "
            f"{expected[:12]}... were expected, but got {len(data)} bytes, {digest[:12]}..."
        )
