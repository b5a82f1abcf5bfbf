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

__all__ = ["EpochRow", "check_monitor", "history_frame", "joined", "monitored_value"]

_ORDER = ("train_loss", "train_acc", "train_acc_running", "valid_loss", "valid_acc", "lr", "seconds")
Counts = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


@dataclass
class EpochRow:
    """What one epoch left.

    Parameters
    ----------
    epoch : int
        From 1.
    values : dict of str to float
        Losses, learning rate, seconds.
    counts : dict of str to (correct, support)
        int64 arrays of shape (n_classes,), under ``"train_acc"``, ``"train_acc_running"``, ``"valid_acc"``.
    """

    epoch: int
    values: dict[str, float]
    counts: dict[str, Counts] = field(default_factory=dict)

    def accuracies(self) -> dict[str, float]:
        """Return the overall accuracy of each measure that was counted."""
        return {name: float(rates(c.sum(), s.sum())) for name, (c, s) in self.counts.items()}

    def numbers(self) -> dict[str, float]:
        """Return all overall figures in the order of the table's columns."""
        known = {**self.values, **self.accuracies()}
        return {name: known[name] for name in _ORDER if name in known}


def monitored_value(row: EpochRow, name: str, labels: npt.NDArray[Any]) -> float:
    """Return the figure of column `name`, per-class columns too.

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
    raise ValueError(f"monitor={name!r} is no column of history_. Columns: {shown}.")


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
    """Return the table of a fit: index ``epoch`` from 1, overall columns, then a block per measure and class."""
    numbers = [row.numbers() for row in rows]
    first = rows[0].epoch if rows else 1  # consecutive
    index = pd.RangeIndex(first, first + len(rows), name="epoch")
    columns: dict[str, Any] = {}
    if rows:
        columns = {name: np.array([n.get(name, np.nan) for n in numbers]) for name in _ORDER if name in numbers[0]}
    names, blocks = list(columns), [np.column_stack(list(columns.values()))] if columns else []
    for measure in rows[0].counts if rows else ():
        blocks.append(np.stack([rates(*row.counts[measure]) for row in rows]))
        names += [f"{measure}[{label}]" for label in labels]
    values = np.concatenate(blocks, axis=1) if blocks else np.empty((0, 0))
    return pd.DataFrame(values, index=index, columns=_columns(tuple(names)).view())


@functools.lru_cache(maxsize=16)
def _columns(names: tuple[str, ...]) -> pd.Index[str]:
    """Return the names as an index: the folds of a cross-validation have the same."""
    return pd.Index(names)


def joined(earlier: pd.DataFrame, later: pd.DataFrame) -> pd.DataFrame:
    """Return the epochs of two fits in one table; a figure that one of them did not record is NaN there."""
    table = pd.concat([earlier, later])
    overall = [name for name in _ORDER if name in table]
    return table[[*overall, *(name for name in table if name not in overall)]]
