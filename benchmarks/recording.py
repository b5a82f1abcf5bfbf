"""(b) What recording costs: each mode of `train_accuracy` against the leanest loop, which records nothing."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import rivals
from benchmarks.measure import Row, Settings, alternate, ratio_row
from benchmarks.tables import LARGE, MEDIUM, SMALL, ours

__all__ = ["rows"]

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
            "None": lambda: ours(case, X, y, None),  # noqa: B023
            "running": lambda: ours(case, X, y, "running"),  # noqa: B023
            "exact": lambda: ours(case, X, y, "exact"),  # noqa: B023
        }
        times = alternate(contenders, settings.n_rounds(_ROUNDS[case.name]))
        targets = {"None": 1.05, "running": 1.08, "exact": _EXACT[case.name]}
        for mode, target in targets.items():
            yield ratio_row("b", case.title, times, mode, LEANEST, target)
