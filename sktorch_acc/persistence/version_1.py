"""Model files of format 1: the conversion of their manifest to the current format."""

from __future__ import annotations

from typing import Any

from sktorch_acc.exceptions import ModelFileError

_CALLBACKS = ("TrainAccuracy", "PerClassAccuracy")
_RENAMED = {"door": "schema", "meaning": "output"}
_MOVED = {f"sktorch_acc.engine.recording:{name}": f"sktorch_acc.callbacks:{name}" for name in _CALLBACKS}


def upgraded(entries: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of a manifest of format 1, as those of format 2.

    Raises
    ------
    ModelFileError
        If the record of the epochs contradicts the history.
    """
    entries = {_RENAMED.get(name, name): value for name, value in entries.items()}
    history, record = entries.pop("history"), entries.pop("record")
    training = {name: value for name, value in entries["training"].items() if name != "n_iter"}
    with_callbacks = bool(entries["parameters"].get("callbacks"))
    return {
        **entries,
        "parameters": _with_current_names(entries["parameters"]),
        "training": training,
        "epochs": _epochs(history, record),
        "callback_record": record if with_callbacks else None,
        "optimizer": _unscheduled(entries["optimizer"]),
        "extensions": {},
    }


def _with_current_names(value: Any) -> Any:
    """Return stored parameters with the current names of classes that have moved to another module."""
    if type(value) is list:
        return [_with_current_names(item) for item in value]
    if type(value) is not dict:
        return value
    if type(value.get("$name")) is str:
        return {**value, "$name": _MOVED.get(value["$name"], value["$name"])}
    return {key: _with_current_names(part) for key, part in value.items()}


def _epochs(history: dict[str, Any], record: list[Any]) -> dict[str, Any]:
    """Return the record of the epochs; format 1 has rates, not counts."""
    columns, epochs = history["columns"], history["epochs"]
    if len(history["values"]) != len(columns) or not all(
        type(column) is list and len(column) == len(epochs) for column in history["values"]
    ):
        raise ModelFileError(f"manifest.json: history must hold {len(epochs)} values for each of its columns.")
    if not all(type(row) is dict and type(row.get("batches")) is list for row in record):
        raise ModelFileError("manifest.json: the record of the epochs must be a list of objects with their batches.")
    by_epoch = {row.get("epoch"): row for row in record if type(row.get("epoch")) is int}
    phases = [phase for phase in ("train", "valid") if f"{phase}_loss" in columns]
    return {
        "numbers": epochs,
        "values": dict(zip(columns, history["values"], strict=True)),
        "sizes": {phase: [_size(by_epoch.get(epoch), phase) for epoch in epochs] for phase in phases},
        "measures": [],
    }


def _size(row: dict[str, Any] | None, phase: str) -> list[int] | None:
    """Return the numbers of samples and batches of a phase, from an epoch of skorch's history."""
    if row is None or type(row.get(f"{phase}_batch_count")) is not int:
        return None
    sizes = [batch.get(f"{phase}_batch_size") for batch in row["batches"] if type(batch) is dict]
    return [sum(size for size in sizes if type(size) is int), row[f"{phase}_batch_count"]]


def _unscheduled(optimizer: Any) -> Any:
    """Return the state of an optimizer with the learning rates before a schedule changed them."""
    groups = optimizer.get("param_groups") if type(optimizer) is dict else None
    if type(groups) is not list or not all(type(group) is dict for group in groups):
        return optimizer  # an error is raised later
    return {**optimizer, "param_groups": [_unscheduled_group(group) for group in groups]}


def _unscheduled_group(group: dict[str, Any]) -> dict[str, Any]:
    if "unscheduled_lr" not in group:
        return group
    plain = {name: value for name, value in group.items() if name not in ("unscheduled_lr", "initial_lr")}
    return {**plain, "lr": group["unscheduled_lr"]}
