"""(a) An epoch of training, against the leanest loop and other libraries."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import rivals
from benchmarks.measure import Row, Settings, alternate, ratio_row
from benchmarks.tables import LARGE, MEDIUM, SMALL, TALL, ours

__all__ = ["rows"]

LEANEST = "leanest loop"
_ROUNDS = {SMALL.name: 7, MEDIUM.name: 5, LARGE.name: 4, TALL.name: 2}
_RIVAL_EPOCHS = {SMALL.name: 12, MEDIUM.name: 6, LARGE.name: 6, TALL.name: 4}


def rows(settings: Settings) -> Iterator[Row]:
    """Yield the rows of this family."""
    for full in (SMALL, MEDIUM, LARGE, TALL):
        case = full.scaled(settings)
        X, y = case.data()
        epochs = _RIVAL_EPOCHS[case.name]
        own = 12 if case.name != TALL.name else 4
        contenders = {
            LEANEST: lambda: rivals.leanest(case, X, y, own),  # noqa: B023 - called before the next case
            "ours, running": lambda: ours(case, X, y, "running", own),  # noqa: B023
            "ours, exact": lambda: ours(case, X, y, "exact", own),  # noqa: B023
            "tutorial loop": lambda: rivals.tutorial(case, X, y, epochs),  # noqa: B023
            "skorch": lambda: rivals.skorch_net(case, X, y, epochs, False),  # noqa: B023
            "skorch + train accuracy": lambda: rivals.skorch_net(case, X, y, epochs, True),  # noqa: B023
            "MLPClassifier": lambda: rivals.mlp(case, X, y, epochs),  # noqa: B023
        }
        if rivals.has_realmlp():
            contenders["RealMLP"] = lambda: rivals.realmlp(case, X, y, epochs)  # noqa: B023
        times = alternate(contenders, settings.n_rounds(_ROUNDS[case.name]))
        for name in list(contenders)[1:]:
            yield ratio_row("a", case.title, times, name, LEANEST)
        for name, target in (("skorch + train accuracy", 2.5), ("tutorial loop", 2.0), ("MLPClassifier", 1.0)):
            yield _advantage(case.title, times, name, target if case.name == SMALL.name else None)


def _advantage(title: str, times: dict[str, list[float]], rival: str, at_least: float | None) -> Row:
    """Return the ratio of ours to a rival; `at_least` is how many times faster ours should be."""
    return ratio_row("a", title, times, "ours, running", rival, None if at_least is None else 1 / at_least)
