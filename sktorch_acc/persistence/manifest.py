"""What the JSON part of a model file says, and what it must look like to be believed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from typing import Any

from sktorch_acc.exceptions import ModelFileError
from sktorch_acc.persistence.epochs import EPOCHS_SPEC
from sktorch_acc.persistence.version_1 import SPEC_1, upgraded
from sktorch_acc.storage.spec import check
from sktorch_acc.storage.strict_json import parse, write

__all__ = ["FORMAT", "VERSION", "Manifest"]

FORMAT, VERSION = "sktorch-acc model", 2

# What each entry must be, in the words of storage.spec.
_SPEC: dict[str, Any] = {
    "versions": "strings by name",
    "module": {"kind": "text", "name": "text or null"},
    "parameters": "object",
    "classes": {"dtype": "text", "values": "list"},
    "class_count": "counts",
    "n_features": "count",
    "feature_names": "texts or null",
    "schema": {"row_shape": "counts", "integers": "flag", "dtype": "text"},
    "output": {"kind": "text", "one_column": "flag or null", "n_classes": "count"},
    "training": {
        "device": "text",
        "dtype": "text",
        "seed": "count",
        "lr": "number",
        "n_threads": "count",
        "best_epoch": "count",
        "continued": "flag",
    },
    "epochs": EPOCHS_SPEC,
    "callback_record": "list or null",
    "requests": "object",
    "optimizer": "object or null",
    "tensors": "object",
    "frozen": "texts",
    "weights": {"size": "count", "sha256": "digest"},
    "extensions": "object",
}


@dataclass(frozen=True)
class Manifest:
    """The JSON part, entry by entry; ``_SPEC`` says what each may hold.

    ``extensions`` is for what later versions add: a reader that does not know one refuses the file.
    """

    versions: dict[str, str]
    module: dict[str, Any]
    parameters: dict[str, Any]
    classes: dict[str, Any]
    class_count: list[int]
    n_features: int
    feature_names: list[str] | None
    schema: dict[str, Any]
    output: dict[str, Any]
    training: dict[str, Any]
    epochs: dict[str, Any]
    callback_record: list[Any] | None
    requests: dict[str, Any]
    optimizer: dict[str, Any] | None
    tensors: dict[str, Any]
    frozen: list[str]
    weights: dict[str, Any]
    extensions: dict[str, Any]

    def to_bytes(self) -> bytes:
        """Return the JSON of the newest format."""
        entries = {"format": FORMAT, "format_version": VERSION}
        return write(entries | {field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Return the manifest in `data`, every entry checked for its type.

        Raises
        ------
        ModelFileError
            If `data` is no manifest of a format that this version knows.
        """
        entries = parse(data)
        if type(entries) is not dict or entries.pop("format", None) != FORMAT:
            raise ModelFileError(f"manifest.json must be an object whose 'format' is {FORMAT!r}.")
        version = entries.pop("format_version", None)
        if type(version) is not int or not 1 <= version <= VERSION:
            newer = type(version) is int and version > VERSION
            advice = "Update sktorch-acc." if newer else "save_model never wrote that."
            raise ModelFileError(
                f"manifest.json has format_version {version!r}; this version reads 1 to {VERSION}. {advice}"
            )
        if version == 1:
            check(entries, SPEC_1, "manifest.json")
            entries = upgraded(entries)
        check(entries, _SPEC, "manifest.json")
        if entries["extensions"]:
            raise ModelFileError(
                f"The file needs {sorted(entries['extensions'])[:5]}, which this version does not know. "
                "Update sktorch-acc."
            )
        return cls(**{field.name: entries[field.name] for field in fields(cls)})

    def check_weights(self, data: bytes) -> None:
        """Refuse weights that are not those that were saved with this manifest."""
        digest = hashlib.sha256(data).hexdigest()
        if len(data) != self.weights["size"] or digest != self.weights["sha256"]:
            raise ModelFileError(
                f"weights.safetensors is not the one that was saved with this manifest: {self.weights['size']} bytes, "
                f"SHA-256 {self.weights['sha256'][:12]}... were expected, but {len(data)} bytes, {digest[:12]}... came."
            )
