"""The table that ``verbose=1`` prints: an aligned line of fewer than 80 characters per epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sktorch_acc._rates import rates
from sktorch_acc.engine.history import EpochRow
from sktorch_acc.engine.observer import Observer
from sktorch_acc.engine.state import Fit

_HEADER_EVERY = 20
_SHOWN = {
    "train_loss": "train_loss",
    "train_acc": "train_acc",
    "train_acc_running": "running",
    "valid_loss": "valid_loss",
    "valid_acc": "valid_acc",
}
_LABEL_WIDTH = 15


class EpochTable(Observer):
    """Print a line at the end of each epoch: losses, accuracies, seconds and the worst class.

    The worst class is that of the validation samples if there are any, else of the fitted samples.
    """

    foreign = False

    def __init__(self) -> None:
        self._printed = 0

    def epoch_end(self, fit: Fit, row: EpochRow) -> bool:
        """Print the line of the epoch; return False, as the fit is not to stop."""
        numbers = row.numbers()
        cells = [f"{row.epoch:>5}"]
        header = [f"{'epoch':>5}"]
        for name, title in _SHOWN.items():
            if name in numbers and not (title == "running" and "train_acc" in numbers):
                header.append(f"{title:>10}")
                cells.append(f"{numbers[name]:>10.4f}" if numbers[name] < 1e5 else f"{numbers[name]:>10.3e}")
        header.append(f"{'sec':>6}")
        cells.append(f"{numbers['seconds']:>6.2f}")
        worst = _worst(row, fit.model.labels.classes)
        if worst:
            header.append("worst class")
            cells.append(worst)
        if self._printed % _HEADER_EVERY == 0:
            print(" ".join(header))
        print(" ".join(cells), flush=True)
        self._printed += 1
        return False


def _worst(row: EpochRow, labels: npt.NDArray[Any]) -> str:
    """Return the accuracy and the label of the class with the lowest accuracy; "" if nothing was counted."""
    for measure in ("valid_acc", "train_acc", "train_acc_running"):
        if measure in row.counts:
            by_class = rates(*row.counts[measure])
            if np.isnan(by_class).all():
                return ""
            index = int(np.nanargmin(by_class))
            label = str(labels[index]).replace("\n", " ")
            if len(label) > _LABEL_WIDTH:
                label = label[: _LABEL_WIDTH - 1] + "…"
            return f"{by_class[index]:.4f} {label}"
    return ""
