"""(e) What is paid once: importing the library, and the fixed cost of a fit."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.leanest import LeanestFit
from benchmarks.measure import Row, Settings, alternate, now, ratio_row, value_row
from benchmarks.tables import SMALL, Case, estimator

__all__ = ["rows"]

_BASE = "import torch, sklearn"
_IMPORTS = {
    _BASE: _BASE,
    "+ import sktorch_acc": f"{_BASE}, sktorch_acc",
    "+ TorchClassifier": f"{_BASE}; from sktorch_acc import TorchClassifier",
    "+ skorch": f"{_BASE}, skorch",
}


def rows(settings: Settings) -> Iterator[Row]:
    """Yield the rows of this family."""
    contenders = {name: lambda c=code: _process_seconds(c) for name, code in _IMPORTS.items()}
    times = alternate(contenders, settings.n_rounds(9))
    for name in list(_IMPORTS)[1:]:
        yield ratio_row("e", "import in a new process", times, name, _BASE, 1.10 if "skorch" not in name else None)
    yield from _fixed_cost(settings, replace(SMALL, n_rows=SMALL.batch_size), 3.0)
    yield from _fixed_cost(settings, replace(SMALL, n_classes=1000, n_rows=1024, batch_size=1024), None)


def _fixed_cost(settings: Settings, case: Case, target: float | None) -> Iterator[Row]:
    """Yield the cost of a fit of one epoch and one step, less that of the leanest loop's."""
    X, y = case.data()
    tensors = torch.from_numpy(X), torch.from_numpy(y)
    contenders = {
        "ours": lambda: _milliseconds(lambda: estimator(case, "exact", 1).fit(X, y)),
        "leanest loop": lambda: _milliseconds(lambda: LeanestFit(case.module(), *tensors, case.batch_size).fit(1)),
    }
    times = alternate(contenders, settings.n_rounds(200))
    title = f"fit of one step, {case.n_classes} classes"
    yield value_row("e", title, "leanest loop", times["leanest loop"], "ms")
    yield value_row("e", title, "ours, all", times["ours"], "ms")
    beyond = [a - b for a, b in zip(times["ours"], times["leanest loop"], strict=True)]
    yield value_row("e", title, "ours, beyond the leanest", beyond, "ms", target)


def _milliseconds(call: Callable[[], Any]) -> float:
    start = now()
    call()
    return (now() - start) * 1e3


def _process_seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
    return time.perf_counter() - start
