"""(e) Fixed costs: importing the library, and a fit of one step."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

import sktorch_acc
from benchmarks.leanest import LeanestFit
from benchmarks.measure import Measurement, Row, Settings, alternate, clock_name, now, ratio_row, value_row
from benchmarks.tables import SMALL, Case, estimator

__all__ = ["measurements", "rows"]

_ROOT = Path(sktorch_acc.__file__).parents[1]  # so that a new process imports the same package
_BASE = "import torch, sklearn"
_IMPORTS = {
    _BASE: _BASE,
    "+ import sktorch_acc": f"{_BASE}, sktorch_acc",
    "+ TorchClassifier": f"{_BASE}; from sktorch_acc import TorchClassifier",
    "+ skorch": f"{_BASE}, skorch",
}
_IMPORT_ROUNDS = 9
_ONE_STEP = (
    replace(SMALL, n_rows=SMALL.batch_size),
    replace(SMALL, n_classes=1000, n_rows=1024, batch_size=1024),
)
_FITS = 200


def rows(settings: Settings) -> Iterator[Row]:
    """Yield the rows of this family."""
    contenders = {name: lambda c=code: _process_seconds(c) for name, code in _IMPORTS.items()}
    times = alternate(contenders, settings.n_rounds(_IMPORT_ROUNDS))
    for name in list(_IMPORTS)[1:]:
        yield ratio_row("e", "import in a new process", times, name, _BASE, 1.10 if "skorch" not in name else None)
    for case, target in zip(_ONE_STEP, (3.0, None), strict=True):
        yield from _fixed_cost(settings, case, target)


def measurements(settings: Settings) -> Iterator[Measurement]:
    """Yield the measurements of the library alone in this family."""
    for case in _ONE_STEP:
        fit = partial(_fit_seconds, case, *case.data())
        yield Measurement("e", _title(case), "ours, all", settings.n_rounds(3 * _FITS), fit)
    rounds = settings.n_rounds(_IMPORT_ROUNDS)
    title = "import in a new process, after torch and sklearn"
    yield Measurement("e", title, "TorchClassifier", rounds, _import_seconds)


def _fixed_cost(settings: Settings, case: Case, target: float | None) -> Iterator[Row]:
    """Yield the time of a fit of one epoch with one step, of the leanest loop, and the difference."""
    X, y = case.data()
    tensors = torch.from_numpy(X), torch.from_numpy(y)
    contenders = {
        "ours": lambda: 1e3 * _fit_seconds(case, X, y),
        "leanest loop": lambda: 1e3 * _seconds(lambda: LeanestFit(case.module(), *tensors, case.batch_size).fit(1)),
    }
    times = alternate(contenders, settings.n_rounds(_FITS))
    title = _title(case)
    yield value_row("e", title, "leanest loop", times["leanest loop"], "ms")
    yield value_row("e", title, "ours, all", times["ours"], "ms")
    beyond = [a - b for a, b in zip(times["ours"], times["leanest loop"], strict=True)]
    yield value_row("e", title, "ours, beyond the leanest", beyond, "ms", target)


def _title(case: Case) -> str:
    return f"fit of one step, {case.n_classes} classes"


def _fit_seconds(case: Case, X: Any, y: Any) -> float:
    return _seconds(lambda: estimator(case, "exact", 1).fit(X, y))


def _seconds(call: Callable[[], Any]) -> float:
    start = now()
    call()
    return now() - start


def _process_seconds(code: str) -> float:
    start = time.perf_counter()
    _run(code)
    return time.perf_counter() - start


def _import_seconds() -> float:
    """Return the seconds of importing the classifier, after torch and scikit-learn."""
    return float(
        _run(
            f"from time import {clock_name()} as now; {_BASE}; start = now(); "
            "from sktorch_acc import TorchClassifier; print(now() - start)"
        )
    )


def _run(code: str) -> str:
    """Run code in a new process, which finds compiled modules as a user's does from the second import on."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, cwd=_ROOT, capture_output=True, text=True, env=environment)
    return done.stdout
