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

__all__ = ["EpochRow", "check_monitor", "history_frame", "monitored_value"]

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
    """

    epoch: int
    values: dict[str, float]
    counts: dict[str, Counts] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def accuracies(self) -> dict[str, float]:
        """Return the overall accuracy of each measure that was counted."""
        return {name: float(rates(c.sum(), s.sum())) for name, (c, s) in self.counts.items()}

    def measures(self, labels: npt.NDArray[Any]) -> list[str]:
        """Return the measures that are known for each class."""
        stored = [name for name in _ORDER if f"{name}[{labels[0]}]" in self.values]
        return list(self.counts) or stored

    def by_class(self, measure: str, labels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Return the accuracy of each class, float64 of shape (n_classes,); NaN where it was not recorded."""
        if measure in self.counts:
            return rates(*self.counts[measure])
        return np.array([self.values.get(f"{measure}[{label}]", np.nan) for label in labels])

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
    if not rows:
        return pd.DataFrame(np.empty((0, 0)), index=pd.RangeIndex(1, 1, name="epoch"))
    numbers = [row.numbers() for row in rows]
    names = [name for name in _ORDER if any(name in known for known in numbers)]
    blocks = [np.array([[known.get(name, np.nan) for name in names] for known in numbers])]
    for measure in dict.fromkeys(name for row in rows for name in row.measures(labels)):
        blocks.append(np.stack([row.by_class(measure, labels) for row in rows]))
        names += [f"{measure}[{label}]" for label in labels]
    index = pd.RangeIndex(rows[0].epoch, rows[0].epoch + len(rows), name="epoch")  # consecutive
    return pd.DataFrame(np.concatenate(blocks, axis=1), index=index, columns=_columns(tuple(names)).view())


@functools.lru_cache(maxsize=16)
def _columns(names: tuple[str, ...]) -> pd.Index[str]:
    """Return the names as an index: the folds of a cross-validation have the same."""
    return pd.Index(names)
