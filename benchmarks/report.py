"""Write rows to `results.json` and `results.md`, and compare them with the stored reference."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import skorch
import torch

from benchmarks.measure import Row

__all__ = ["load", "machine", "markdown", "save", "slower"]

FAMILIES = {
    "a": "An epoch of training, against the leanest loop and other libraries",
    "b": "Cost of recording, against the leanest loop, which records nothing",
    "c": "Predicting a million rows, against a hand-written batched forward pass",
    "d": "Five-fold cross-validation, whole fits",
    "e": "Fixed costs",
    "f": "Peak memory over the data",
    "g": "Scaling with rows, classes and features",
    "t": "Two intra-op threads against one",
}


def machine() -> dict[str, Any]:
    """Describe the machine, its software and its load."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].partition(":")[2].strip() if lines else name
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
        "skorch": skorch.__version__,
        "numpy": np.__version__,
        "date": date.today().isoformat(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def save(path: Path, rows: Iterable[Row], about: dict[str, Any]) -> None:
    """Write rows and the description of the machine as JSON."""
    path.write_text(json.dumps({"machine": about, "rows": [row.state() for row in rows]}, indent=1) + "\n")


def load(path: Path) -> dict[str, Row]:
    """Return the rows of a file by their key; an empty dict if there is no file."""
    if not path.exists():
        return {}
    rows = [Row(**state) for state in json.loads(path.read_text())["rows"]]
    return {row.key: row for row in rows}


def slower(row: Row, before: Row | None) -> bool:
    """Whether a row is higher than its reference by more than the spread of both."""
    if before is None or before.clock != row.clock:
        return False
    spread = max(row.high - row.low, before.high - before.low, 0.02 * before.median)
    return row.median > before.median + spread


def markdown(rows: Sequence[Row], about: dict[str, Any], reference: dict[str, Row]) -> str:
    """Return the results as a page of tables."""
    described = ", ".join(f"{key} {value}" for key, value in about.items())
    lines = ["# Measured", "", "Written by `make bench`. Ratios are medians over rounds, with their quartiles.", ""]
    lines += [f"Machine: {described}.", ""]
    for family, title in FAMILIES.items():
        chosen = [row for row in rows if row.family == family]
        if chosen:
            lines += [f"## ({family}) {title}", "", *_table(chosen, reference), ""]
    return "\n".join(lines)


def _table(rows: Sequence[Row], reference: dict[str, Row]) -> list[str]:
    lines = [
        "| case | what | against | median | quartiles | own time | at most | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        unit = "" if row.unit == "x" else f" {row.unit}"
        target = "" if row.target is None else f"{row.target:.2f}"
        notes = [] if row.target is None else ["reached" if row.median <= row.target else "**missed**"]
        if row.clock != "wall":
            notes.append(f"{row.clock} time")
        before = reference.get(row.key)
        if slower(row, before) and before is not None:
            notes.append(f"**slower** (was {before.median:.3g})")
        lines.append(
            f"| {row.case} | {row.contender} | {row.against} | {row.median:.3g}{unit} | {row.low:.3g} - {row.high:.3g} "
            f"| {_seconds(row.measured)} | {target} | {', '.join(notes)} |"
        )
    return lines


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    if value < 1e-6:
        return f"{value * 1e9:.1f} ns"
    return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s"
