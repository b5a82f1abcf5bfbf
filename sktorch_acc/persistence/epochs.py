"""The record of the epochs as JSON and tensors. Counts are stored instead of rates, so that no bit is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sktorch_acc.engine.history import EpochRow
from sktorch_acc.exceptions import ModelFileError
from sktorch_acc.storage.tensors import Tensors
from sktorch_acc.storage.values import number, plain_number

EPOCHS_SPEC = {"numbers": "counts", "values": "object", "sizes": "object", "measures": "texts"}
_PREFIX = "counts."
_ABSENT = -1  # in the place of counts, for an epoch without the measure


def epochs_to_json(rows: Sequence[EpochRow]) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Return the entry of the manifest, and for each measure the counts, int64 of shape (n_epochs, 2, n_classes)."""
    names = dict.fromkeys(name for row in rows for name in row.values)
    phases = dict.fromkeys(phase for row in rows for phase in row.sizes)
    measures = dict.fromkeys(measure for row in rows for measure in row.counts)
    entry = {
        "numbers": [row.epoch for row in rows],
        "values": {name: [_written(row.values.get(name)) for row in rows] for name in names},
        "sizes": {phase: [list(row.sizes[phase]) if phase in row.sizes else None for row in rows] for phase in phases},
        "measures": list(measures),
    }
    return entry, {_PREFIX + measure: _counts(rows, measure) for measure in measures}


def _written(value: float | None) -> float | str | None:
    return None if value is None else plain_number(value)


def _counts(rows: Sequence[EpochRow], measure: str) -> torch.Tensor:
    known = next(row.counts[measure] for row in rows if measure in row.counts)
    absent = np.full_like(np.stack(known), _ABSENT)
    counts = [np.stack(row.counts[measure]) if measure in row.counts else absent for row in rows]
    return torch.from_numpy(np.stack(counts))


def epochs_from_json(entry: dict[str, Any], tensors: Tensors, n_classes: int) -> list[EpochRow]:
    """Return the record that `epochs_to_json` converted.

    Raises
    ------
    ModelFileError
        If an entry is invalid, or counts are missing or have another shape.
    """
    numbers, measures = entry["numbers"], entry["measures"]
    n_epochs = len(numbers)
    if numbers and (numbers[0] < 1 or numbers != list(range(numbers[0], numbers[0] + n_epochs))):
        raise ModelFileError(
            f"manifest.json: epochs must have consecutive numbers from 1 or more, but has {str(numbers[:5])[:60]}."
        )
    for name, column in (*entry["values"].items(), *entry["sizes"].items()):
        if type(column) is not list or len(column) != n_epochs:
            raise ModelFileError(f"manifest.json: epochs must hold {n_epochs} values for {name[:40]!r}.")
    counts = {measure: _checked_counts(measure, tensors, (n_epochs, 2, n_classes)) for measure in measures}
    return [_row(entry, i, counts) for i in range(n_epochs)]


def _checked_counts(measure: str, tensors: Tensors, shape: tuple[int, ...]) -> Any:
    counts = tensors.get(_PREFIX + measure)
    if counts is None or counts.dtype is not torch.int64 or tuple(counts.shape) != shape:
        raise ModelFileError(f"The file has no int64 counts of shape {shape} for the measure {measure[:40]!r}.")
    return counts.numpy()


def _row(entry: dict[str, Any], i: int, counts: dict[str, Any]) -> EpochRow:
    values = {name: number(column[i]) for name, column in entry["values"].items() if column[i] is not None}
    if not {"train_loss", "lr", "seconds"} <= values.keys():
        raise ModelFileError("manifest.json: each of the epochs must have train_loss, lr and seconds.")
    sizes = {phase: _size(column[i]) for phase, column in entry["sizes"].items() if column[i] is not None}
    without = [phase for phase in sizes if f"{phase}_loss" not in values]
    if without:
        raise ModelFileError(f"manifest.json: epochs have sizes but no loss of {without[0][:40]!r}.")
    measured = {measure: (pair[i][0], pair[i][1]) for measure, pair in counts.items() if (pair[i] != _ABSENT).any()}
    return EpochRow(entry["numbers"][i], values, measured, sizes)


def _size(value: Any) -> tuple[int, int]:
    if type(value) is not list or len(value) != 2 or not all(type(part) is int and part >= 0 for part in value):
        raise ModelFileError(f"manifest.json: sizes of epochs must be pairs of counts, but one is {str(value)[:40]!r}.")
    return value[0], value[1]
