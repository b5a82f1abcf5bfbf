"""Name the counts of a loop that give the figures it reports: those of the model it holds, or others.

A cause is taken only if it gives the figure of every reported epoch, and if nothing harmless does. Figures
of 0 and 1 are given by many causes: they contradict, but they do not accuse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from sktorch_acc._rates import rates
from sktorch_acc.checks.counting import check_batch_mean, check_cumulative_figure
from sktorch_acc.checks.evaluation import check_fitted_batches, check_moving_figure
from sktorch_acc.findings import Finding

__all__ = ["Counts", "Epoch", "of_the_figures"]

# Loops average in float32; a figure with four decimals or fewer, in percent with two, was rounded. That it was is not
# quite so in binary: 50.83 / 100 is not 0.5083.
_NOISE, _ROUNDED, _BINARY = 1e-6, 0.5e-4, 1e-12
# One figure says something if it is one of so many possible ones.
_FEWEST_ROWS = 100
_STILL = 0.02


@dataclass(frozen=True)
class Counts:
    """Right rows and rows of some batches.

    Parameters
    ----------
    right, rows : tuple of int
        One for each batch.
    """

    right: tuple[int, ...]
    rows: tuple[int, ...]

    @property
    def n_right(self) -> int:
        """Right rows of all batches."""
        return sum(self.right)

    @property
    def n_rows(self) -> int:
        """Rows of all batches."""
        return sum(self.rows)

    @property
    def pooled(self) -> float | None:
        """Right rows divided by rows."""
        return float(rates(self.n_right, self.n_rows)) if self.n_rows else None

    @property
    def mean(self) -> float | None:
        """The mean of the batch accuracies."""
        shares = [right / rows for right, rows in zip(self.right, self.rows, strict=True) if rows]
        return sum(shares) / len(shares) if shares else None

    def first_quarter(self) -> Counts:
        """Return the first quarter of the batches, at least one."""
        n = max(1, len(self.rows) // 4)
        return Counts(self.right[:n], self.rows[:n])

    def last_quarter(self) -> Counts:
        """Return the last quarter of the batches, at least one."""
        n = max(1, len(self.rows) // 4)
        return Counts(self.right[-n:], self.rows[-n:])

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.right + other.right, self.rows + other.rows)


_NONE = Counts((), ())


@dataclass(frozen=True)
class Epoch:
    """What was counted in one epoch, and what was reported for it.

    Parameters
    ----------
    reported : float or None
        The figure; None if there was none.
    steps : int
        Steps of the optimizer.
    running : Counts
        Batches as they were trained on, each with the weights of its moment.
    fitted : Counts
        Batches that were run again after the step on them.
    evaluated : tuple of Counts
        Batches run between two steps, or after the last one, of which the targets are known.
    unlabelled : tuple of tuple of int
        Rows of those of which they are not.
    """

    reported: float | None
    steps: int
    running: Counts
    fitted: Counts
    evaluated: tuple[Counts, ...]
    unlabelled: tuple[tuple[int, ...], ...]

    @property
    def held(self) -> Counts:
        """The last evaluation, which is that of the model at the epoch's end."""
        return self.evaluated[-1] if self.evaluated else _NONE


def of_the_figures(epochs: Sequence[Epoch]) -> Iterator[Finding]:
    """Name the one cause that gives all reported figures, if it is a mistake and nothing else gives them."""
    figures = [e.reported for e in epochs if e.reported is not None]
    for scale in (1, 100) if figures and max(figures) > 1 else (1,):
        found = _cause(epochs, scale)
        if found is not None:
            yield found
            return


def _cause(epochs: Sequence[Epoch], scale: int) -> Finding | None:
    told = _Told(epochs, scale)
    if not told.informative or told.may_be_an_evaluation():
        return None
    # From the simplest way to count to the most involved, as several may give one figure: batches of one size
    # have the same pooled and on average, and the first epoch is all epochs so far. The simpler one is taken, and ends
    # the search also where there is nothing to say against it.
    running, fitted = _of(epochs, "running"), _of(epochs, "fitted")
    after = told.by([c.pooled for c in fitted]) or told.by([c.mean for c in fitted])
    before = told.by([c.pooled for c in running])
    if before or after:
        return _of_a_moving_model(told, running, fitted)
    for counts in (running, _of(epochs, "held")):
        if told.by([c.mean for c in counts]):
            epoch = told.last
            return check_batch_mean(told.figure(epoch), counts[epoch].right, counts[epoch].rows)
    for counts in (running, _of(epochs, "held"), fitted, [r + h for r, h in _pairs(epochs)]):
        found = _of_earlier_epochs(told, counts)
        if found is not None:
            return found
    return None


def _of_a_moving_model(told: _Told, running: list[Counts], fitted: list[Counts]) -> Finding | None:
    """E3, or E2 where the lag is largest."""
    if not told.by([c.pooled for c in running]):
        epoch = told.last
        return check_fitted_batches(told.figure(epoch), running[epoch].pooled, len(fitted[epoch].rows), epoch + 1)
    several = [i for i in told.epochs if told.all[i].steps > 1]
    lags = {
        i: running[i].last_quarter() + (running[i + 1] if i + 1 < len(running) else _NONE).first_quarter()
        for i in several
    }
    shares = [running[i].pooled or 0.0 for i in several]
    if not lags or (len(several) > 1 and max(shares) - min(shares) <= _STILL):
        return None  # weights that hardly move; what differs between batches are the rows
    epoch = max(lags, key=lambda i: abs((lags[i].pooled or 0.0) - (running[i].pooled or 0.0)))
    end = lags[epoch]
    return check_moving_figure(told.figure(epoch), end.n_right, end.n_rows, epoch + 1)


def _of_earlier_epochs(told: _Told, counts: list[Counts]) -> Finding | None:
    """A6: the figures are those of all epochs so far, and not those of each."""
    so_far = list(accumulate(counts))
    candidates: list[list[float | None]] = [
        [c.pooled for c in so_far],
        [c.mean for c in so_far],
        [c.n_right / own.n_rows if own.n_rows else None for c, own in zip(so_far, counts, strict=True)],
    ]
    own = ([c.pooled for c in counts], [c.mean for c in counts])
    epoch = told.last
    if epoch == 0 or any(map(told.by, own)) or not any(map(told.by, candidates)):
        return None
    return check_cumulative_figure(told.figure(epoch), counts[epoch].n_right, counts[epoch].n_rows, epoch + 1)


def _of(epochs: Sequence[Epoch], name: str) -> list[Counts]:
    return [getattr(epoch, name) for epoch in epochs]


def _pairs(epochs: Sequence[Epoch]) -> Iterator[tuple[Counts, Counts]]:
    return ((e.running, e.held) for e in epochs)


class _Told:
    """The reported figures, as fractions."""

    def __init__(self, epochs: Sequence[Epoch], scale: int) -> None:
        self.all, self.scale = epochs, scale
        self.epochs = [i for i, e in enumerate(epochs) if e.reported is not None]

    @property
    def last(self) -> int:
        """Index of the last epoch with a figure that is neither 0 nor 1."""
        return max(i for i in self.epochs if self.figure(i) not in (0.0, 1.0))

    @property
    def informative(self) -> bool:
        """Whether the figures are enough to accuse: two that are neither 0 nor 1, or one over many rows."""
        open_ones = [i for i in self.epochs if self.figure(i) not in (0.0, 1.0)]
        return len(open_ones) > 1 or (len(open_ones) == 1 and self.all[open_ones[0]].running.n_rows >= _FEWEST_ROWS)

    def figure(self, epoch: int) -> float:
        """Return the figure of an epoch as a fraction."""
        reported = self.all[epoch].reported
        assert reported is not None
        return reported / self.scale

    def by(self, values: Sequence[float | None]) -> bool:
        """Whether these values, one for each epoch, are the figures."""
        return all(self.is_near(i, values[i]) for i in self.epochs)

    def may_be_an_evaluation(self) -> bool:
        """Whether the figures are, or can be, those of the model as it was between two steps."""
        others = [i for i in self.epochs if not any(self.is_near(i, c.pooled) for c in self.all[i].evaluated)]
        common = self.sizes(others)
        return not others or any(all(self.counts_of(i, n) for i in others) for n in common)

    def sizes(self, epochs: Sequence[int]) -> set[int]:
        """Return how many rows an evaluation in each of these epochs can have had, where targets are unknown."""
        every = [{n for rows in self.all[i].unlabelled for n in _prefixes(rows)} for i in epochs]
        return set.intersection(*every) if every else set()

    def is_near(self, epoch: int, value: float | None) -> bool:
        """Whether a value is the figure of an epoch."""
        return value is not None and abs(self.figure(epoch) - value) <= self.tolerance(epoch)

    def counts_of(self, epoch: int, n_rows: int) -> bool:
        """Whether the figure is a whole number of so many rows."""
        right = self.figure(epoch) * n_rows
        return right <= n_rows and abs(right - round(right)) <= self.tolerance(epoch) * n_rows

    def tolerance(self, epoch: int) -> float:
        """Return how far a value may be from the figure."""
        figure = self.figure(epoch)
        if abs(round(figure, 4) - figure) <= _BINARY:
            return _ROUNDED + _BINARY
        return _NOISE * max(1.0, figure)


def _prefixes(rows: Sequence[int]) -> Iterator[int]:
    """Yield the rows of all first and of all last batches: a pass over training rows may stand beside another."""
    yield from accumulate(rows)
    yield from accumulate(rows[::-1])
