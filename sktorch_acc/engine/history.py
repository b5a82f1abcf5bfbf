"""The record of a fit: one row per epoch, int64 counts until the table is made."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sktorch_acc._rates import rates

_ORDER = ("train_loss", "train_acc", "train_acc_running", "valid_loss", "valid_acc", "lr", "seconds")
Counts = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


@dataclass(frozen=True)
class EpochRow:
    """What was recorded of one epoch.

    Parameters
    ----------
    epoch : int
        From 1.
    values : dict of str to float
        Losses, learning rate, seconds; of a model file of format 1 accuracies too, without counts.
    counts : dict of str to (correct, support)
        int64 arrays of shape (n_classes,), under ``"train_acc"``, ``"train_acc_running"``, ``"valid_acc"``.
    sizes : dict of str to (int, int)
        Samples and batches of each phase, under ``"train"`` and ``"valid"``.
    n_unusable : int
        Of the samples evaluated, those whose outputs were no probabilities.
    """

    epoch: int
    values: dict[str, float]
    counts: dict[str, Counts] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    n_unusable: int = 0

    def accuracies(self) -> dict[str, float]:
        """Return the overall accuracy of each measure that was counted."""
        return {name: float(rates(c.sum(), s.sum())) for name, (c, s) in self.counts.items()}

    def numbers(self) -> dict[str, float]:
        """Return all overall values in the order of the table's columns."""
        known = {**self.values, **self.accuracies()}
        return {name: known[name] for name in _ORDER if name in known}


def monitored_value(row: EpochRow, name: str, labels: npt.NDArray[Any]) -> float:
    """Return the value of column `name`, per-class columns too.

    Raises
    ------
    ValueError
        If there is no such column.
    """
    numbers = row.numbers()
    if name in numbers:
        return numbers[name]
    columns = list(numbers)
    for measure, (correct, support) in row.counts.items():
        for index, label in enumerate(labels):
            if name == f"{measure}[{label}]":
                return float(rates(correct[index], support[index]))
        columns += [f"{measure}[{label}]" for label in labels]
    shown = columns[:12]
    raise ValueError(f"monitor={name!r} is not a column of history_. Columns: {shown}.")


def check_monitor(name: str, train_accuracy: Any, validated: bool, labels: npt.NDArray[Any]) -> None:
    """Raise ValueError before the first epoch if the epochs will have no column `name`."""
    counted = {"exact": ["train_acc", "train_acc_running"], "running": ["train_acc_running"]}.get(train_accuracy, [])
    if validated and counted:
        counted.append("valid_acc")
    losses = ["train_loss", "valid_loss"] if validated else ["train_loss"]
    none = np.zeros(len(labels), dtype=np.int64)
    expected = EpochRow(0, dict.fromkeys([*losses, "lr", "seconds"], np.nan), dict.fromkeys(counted, (none, none)))
    monitored_value(expected, name, labels)


def history_frame(rows: Sequence[EpochRow], labels: npt.NDArray[Any]) -> pd.DataFrame:
    """Return the table of all epochs: index ``epoch``, overall columns, then a block per measure and class.

    A value that an epoch did not record is NaN there.
    """
    recorded: dict[str, Any] = {}
    measures: dict[str, Any] = {}
    for row in rows:
        recorded |= row.values
        measures |= row.counts
    for name in recorded:
        recorded[name] = np.array([row.values.get(name, np.nan) for row in rows])
    none = np.zeros((2, len(labels)), dtype=np.int64)
    counts = np.array([[row.counts.get(measure, none) for row in rows] for measure in measures], dtype=np.int64)
    correct, support = counts.reshape(len(measures), len(rows), 2, len(labels)).transpose(2, 0, 1, 3)
    overall = {**recorded, **dict(zip(measures, rates(correct.sum(axis=2), support.sum(axis=2)), strict=True))}
    order = [name for name in _ORDER if name in overall]
    names = [f"{measure}[{label}]" for measure in measures for label in labels]
    columns = [overall[name] for name in order]
    values = np.column_stack([*columns, *rates(correct, support)]) if columns else np.empty((0, 0))
    first = rows[0].epoch if rows else 1  # consecutive
    index = pd.RangeIndex(first, first + len(rows), name="epoch")
    table = pd.DataFrame(values, index=index, columns=_columns((*order, *names)).view())
    return _with_stored_rates(table, recorded)


def _with_stored_rates(table: pd.DataFrame, recorded: dict[str, Any]) -> pd.DataFrame:
    """Return the table with the accuracies of epochs that were stored without counts, in a file of format 1."""
    for name, values in recorded.items():
        if "_acc" in name:
            stored = pd.Series(values, index=table.index)
            table[name] = table[name].fillna(stored) if name in table else stored
    return table


@functools.lru_cache(maxsize=16)
def _columns(names: tuple[str, ...]) -> pd.Index[str]:
    """Return the names as an index: the folds of a cross-validation have the same."""
    return pd.Index(names)
