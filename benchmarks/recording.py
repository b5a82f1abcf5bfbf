"""(b) Cost of recording: each mode of `train_accuracy` against the leanest loop, which records nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks import rivals
from benchmarks.measure import Measurement, Row, Settings, alternate, ratio_row
from benchmarks.tables import LARGE, MEDIUM, SMALL, Case, ours

__all__ = ["measurements", "rows"]

LEANEST = "leanest loop"
_ROUNDS = {SMALL.name: 25, MEDIUM.name: 13, LARGE.name: 9}
_EXACT = {SMALL.name: 1.12, MEDIUM.name: 1.15, LARGE.name: 1.38}


def rows(settings: Settings) -> Iterator[Row]:
    """Yield the rows of this family."""
    for full in (SMALL, MEDIUM, LARGE):
        case = full.scaled(settings)
        X, y = case.data()
        contenders = {
            LEANEST: lambda: rivals.leanest(case, X, y),  # noqa: B023 - called before the next case
            **_by_mode(case, X, y),
        }
        times = alternate(contenders, settings.n_rounds(_ROUNDS[case.name]))
        targets = {"None": 1.05, "running": 1.08, "exact": _EXACT[case.name]}
        for mode, target in targets.items():
            yield ratio_row("b", case.title, times, mode, LEANEST, target)


def measurements(settings: Settings) -> Iterator[Measurement]:
    """Yield the measurements of the library alone in this family."""
    for full in (SMALL, MEDIUM, LARGE):
        case = full.scaled(settings)
        for mode, call in _by_mode(case, *case.data()).items():
            yield Measurement("b", case.title, mode, settings.n_rounds(_ROUNDS[case.name]), call)


def _by_mode(case: Case, X: Any, y: Any) -> dict[str, Callable[[], float]]:
    return {str(mode): partial(ours, case, X, y, mode) for mode in (None, "running", "exact")}
