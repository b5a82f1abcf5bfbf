"""Measure contenders alternately, and compute ratios of their times with quartiles."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Measurement", "Row", "Settings", "alternate", "clock_name", "now", "ratio_row", "use_clock", "value_row"]

_CLOCKS = {"wall": time.perf_counter, "cpu": time.thread_time}
_clock, _name = _CLOCKS["wall"], "wall"


def use_clock(name: str) -> None:
    """Choose the clock: wall time, or, for contenders with one thread on a busy machine, the CPU time of the thread."""
    global _clock, _name
    _clock, _name = _CLOCKS[name], name


def now() -> float:
    """Return the time of the chosen clock in seconds."""
    return _clock()


def clock_name() -> str:
    """Return the name of the chosen clock's function in the module `time`."""
    return _clock.__name__


@dataclass(frozen=True)
class Settings:
    """How much to measure.

    Parameters
    ----------
    rounds : float
        Factor on the number of rounds of each row.
    rows : float
        Factor on the number of rows of each table; less than 1 to test that the scripts run.
    """

    rounds: float = 1.0
    rows: float = 1.0

    def n_rounds(self, full: int) -> int:
        return max(2, round(full * self.rounds))

    def n_rows(self, full: int) -> int:
        return max(256, round(full * self.rows))


@dataclass(frozen=True)
class Measurement:
    """A measurement of the library alone, without the contenders that it is compared with.

    Parameters
    ----------
    family, case, contender : str
        As in `Row`.
    rounds : int
        Number of times to measure.
    call : callable
        Measures once and returns the seconds; valid until the next measurement of the family is created.
    """

    family: str
    case: str
    contender: str
    rounds: int
    call: Callable[[], float]


@dataclass
class Row:
    """One line of the results.

    Parameters
    ----------
    family : str
        Letter of the family.
    case : str
        Table, module and batch size.
    contender, against : str
        What is compared; `against` is ``""`` for a value that is not a ratio.
    median, low, high : float
        Median and quartiles over the rounds: of the ratios, or of the values.
    unit : str
        ``"x"`` for a ratio.
    measured : float or None
        Median seconds of the contender, if the row is a ratio of times.
    target : float or None
        Upper limit that the design sets.
    clock : {"wall", "cpu"}
        Clock of the measurement.
    """

    family: str
    case: str
    contender: str
    against: str
    median: float
    low: float
    high: float
    rounds: int
    unit: str = "x"
    measured: float | None = None
    target: float | None = None
    clock: str = "wall"

    @property
    def key(self) -> str:
        return " | ".join((self.family, self.case, self.contender, self.against))

    def state(self) -> dict[str, Any]:
        return asdict(self)


def alternate(contenders: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Run every contender once per round, in rotating order; return their results by name.

    One additional round at the start is not counted: it fills caches and runs lazy imports.
    """
    names = list(contenders)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-1, rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            taken = contenders[name]()
            if turn >= 0:
                times[name].append(taken)
    return times


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return lower quartile, median and upper quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def ratio_row(
    family: str,
    case: str,
    times: Mapping[str, Sequence[float]],
    contender: str,
    against: str,
    target: float | None = None,
) -> Row:
    """Return the ratio of two contenders, computed per round, so that a disturbance of a round affects both."""
    ratios = [a / b for a, b in zip(times[contender], times[against], strict=True)]
    low, middle, high = quartiles(ratios)
    measured = statistics.median(times[contender])
    spread = (middle, low, high, len(ratios))
    return Row(family, case, contender, against, *spread, measured=measured, target=target, clock=_name)


def value_row(
    family: str, case: str, contender: str, values: Sequence[float], unit: str, target: float | None = None
) -> Row:
    """Return the row of a value that is not a ratio."""
    low, middle, high = quartiles(values)
    return Row(family, case, contender, "", middle, low, high, len(values), unit=unit, target=target, clock=_name)
