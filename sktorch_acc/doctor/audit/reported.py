"""Compare the accuracies that a loop reports with the counts of the audit, and find what they were counted over.

A cause has to give the accuracy of every reported epoch, and an evaluation of the model must not give
them. Accuracies of 0 and 1, which many causes give, can rule a cause out but are not enough to report it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from sktorch_acc._rates import rates
from sktorch_acc.checks.counting import check_batch_mean, check_cumulative_accuracy
from sktorch_acc.checks.evaluation import check_fitted_batches, check_moving_accuracy
from sktorch_acc.findings import Finding

# Loops average in float32; an accuracy with four decimals or fewer (in percent: two) was rounded, which is not exact
# in binary: 50.83 / 100 is not 0.5083.
_NOISE, _ROUNDED, _BINARY = 1e-6, 0.5e-4, 1e-12
_FEWEST_SAMPLES = 100  # for a report from a single accuracy
_STILL = 0.02  # differences of accuracies between epochs that are not progress


@dataclass(frozen=True)
class Counts:
    """Correct predictions and samples of some batches.

    Parameters
    ----------
    correct, samples : tuple of int
        One for each batch.
    """

    correct: tuple[int, ...] = ()
    samples: tuple[int, ...] = ()

    @property
    def n_correct(self) -> int:
        """Correct predictions of all batches."""
        return sum(self.correct)

    @property
    def n_samples(self) -> int:
        """Samples of all batches."""
        return sum(self.samples)

    @property
    def pooled(self) -> float | None:
        """Correct predictions divided by samples."""
        return float(rates(self.n_correct, self.n_samples)) if self.n_samples else None

    @property
    def mean(self) -> float | None:
        """The mean of the batch accuracies."""
        shares = [correct / n for correct, n in zip(self.correct, self.samples, strict=True) if n]
        return sum(shares) / len(shares) if shares else None

    @property
    def quarter(self) -> int:
        """A quarter of the number of batches, at least 1."""
        return max(1, len(self.samples) // 4)

    def __getitem__(self, batches: slice) -> Counts:
        return Counts(self.correct[batches], self.samples[batches])

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.correct + other.correct, self.samples + other.samples)


@dataclass(frozen=True)
class Epoch:
    """The counts of one epoch, and the accuracy reported for it.

    Parameters
    ----------
    reported : float or None
        The accuracy; None if there was none.
    steps : int
        Steps of the optimizer.
    running : Counts
        Batches as they were trained on, each with the weights before its step.
    fitted : Counts
        Batches that were run again after the step on them.
    evaluated : tuple of Counts
        Batches run between two steps, or after the last one, whose targets are known.
    unlabelled : tuple of tuple of int
        Numbers of samples of those whose targets are unknown.
    """

    reported: float | None
    steps: int
    running: Counts
    fitted: Counts
    evaluated: tuple[Counts, ...]
    unlabelled: tuple[tuple[int, ...], ...]

    @property
    def held(self) -> Counts:
        """The last evaluation, with the weights at the epoch's end."""
        return self.evaluated[-1] if self.evaluated else Counts()


def check_reported(epochs: Sequence[Epoch]) -> Finding | None:
    """Return the finding that explains all reported accuracies, if an evaluation does not explain them."""
    values = [e.reported for e in epochs if e.reported is not None]
    scales = (1, 100) if max(values, default=0) > 1 else (1,)
    return next(filter(None, (_cause(epochs, scale) for scale in scales)), None)


def _cause(epochs: Sequence[Epoch], scale: int) -> Finding | None:
    reported = _Reported(epochs, scale)
    if not reported.is_enough() or reported.may_be_an_evaluation():
        return None
    # From the simplest way to count to the most involved, as several may give one accuracy: with batches of one size
    # the pooled accuracy is the mean, and in the first epoch all epochs so far are that one. The first way that fits
    # ends the search, also if it is correct.
    running, fitted, held = ([getattr(e, name) for e in epochs] for name in ("running", "fitted", "held"))
    if reported.equal(_pooled(running)) or reported.are_of(fitted):
        return _of_changing_weights(reported, running, fitted)
    last = reported.last
    for counts in (running, held):
        if reported.equal(_means(counts)):
            return check_batch_mean(reported.accuracy(last), counts[last].correct, counts[last].samples)
    together = [r + h for r, h in zip(running, held, strict=True)]
    ways = (_of_earlier_epochs(reported, counts) for counts in (running, held, fitted, together))
    return next(filter(None, ways), None)


def _pooled(counts: Sequence[Counts]) -> list[float | None]:
    return [c.pooled for c in counts]


def _means(counts: Sequence[Counts]) -> list[float | None]:
    return [c.mean for c in counts]


def _of_changing_weights(reported: _Reported, running: list[Counts], fitted: list[Counts]) -> Finding | None:
    """E3, or E2 in the epoch in which the difference is largest."""
    if not reported.equal(_pooled(running)):
        epoch = reported.last
        batches = len(fitted[epoch].samples)
        return check_fitted_batches(reported.accuracy(epoch), running[epoch].pooled, batches, epoch + 1)
    several = [i for i in reported.epochs if reported.all[i].steps > 1]
    shares = [running[i].pooled or 0.0 for i in several]
    if not several or (len(several) > 1 and max(shares) - min(shares) <= _STILL):
        return None  # weights that hardly change: the batches differ in their samples
    ends = {i: _around_the_end(running, i) for i in several}
    epoch = max(ends, key=lambda i: abs((ends[i].pooled or 0.0) - (running[i].pooled or 0.0)))
    end = ends[epoch]
    return check_moving_accuracy(reported.accuracy(epoch), end.n_correct, end.n_samples, epoch + 1)


def _around_the_end(running: list[Counts], epoch: int) -> Counts:
    """Return the last quarter of an epoch's batches and the first quarter of the next."""
    own, following = running[epoch], running[epoch + 1] if epoch + 1 < len(running) else Counts()
    return own[-own.quarter :] + following[: following.quarter]


def _of_earlier_epochs(reported: _Reported, counts: list[Counts]) -> Finding | None:
    """A6: the accuracies are those of all epochs so far, and not those of each."""
    so_far, epoch = list(accumulate(counts)), reported.last
    both = zip(so_far, counts, strict=True)
    correct_so_far = [total.n_correct / own.n_samples if own.n_samples else None for total, own in both]
    if epoch == 0 or reported.are_of(counts) or not (reported.are_of(so_far) or reported.equal(correct_so_far)):
        return None
    return check_cumulative_accuracy(
        reported.accuracy(epoch), counts[epoch].n_correct, counts[epoch].n_samples, epoch + 1
    )


class _Reported:
    """The reported accuracies, as fractions."""

    def __init__(self, epochs: Sequence[Epoch], scale: int) -> None:
        self.all, self.scale = epochs, scale
        self.epochs = [i for i, e in enumerate(epochs) if e.reported is not None]
        self._between = [i for i in self.epochs if self.accuracy(i) not in (0.0, 1.0)]

    @property
    def last(self) -> int:
        """Index of the last epoch with an accuracy that is neither 0 nor 1."""
        return self._between[-1]

    def is_enough(self) -> bool:
        """Whether two accuracies are neither 0 nor 1, or one over many samples."""
        many = [i for i in self._between if self.all[i].running.n_samples >= _FEWEST_SAMPLES]
        return len(self._between) > 1 or bool(many)

    def accuracy(self, epoch: int) -> float:
        """Return the accuracy of an epoch as a fraction."""
        reported = self.all[epoch].reported
        assert reported is not None
        return reported / self.scale

    def equal(self, values: Sequence[float | None]) -> bool:
        """Whether these values, one for each epoch, are the reported accuracies."""
        return all(self._is_near(i, values[i]) for i in self.epochs)

    def are_of(self, counts: Sequence[Counts]) -> bool:
        """Whether they are the pooled accuracies, or the batch means, of these counts."""
        return self.equal(_pooled(counts)) or self.equal(_means(counts))

    def may_be_an_evaluation(self) -> bool:
        """Whether they are, or can be, the accuracies of an evaluation between two steps."""
        others = [i for i in self.epochs if not any(self._is_near(i, c.pooled) for c in self.all[i].evaluated)]
        return not others or any(all(self._counts_of(i, n) for i in others) for n in self._sizes(others))

    def _sizes(self, epochs: Sequence[int]) -> set[int]:
        """Return the possible sizes of an evaluation in each of these epochs, where targets are unknown."""
        every = [{n for batches in self.all[i].unlabelled for n in _ends(batches)} for i in epochs]
        return set.intersection(*every)

    def _is_near(self, epoch: int, value: float | None) -> bool:
        return value is not None and abs(self.accuracy(epoch) - value) <= self._tolerance(epoch)

    def _counts_of(self, epoch: int, n_samples: int) -> bool:
        """Whether the accuracy is a whole number of correct predictions divided by so many samples."""
        correct = self.accuracy(epoch) * n_samples
        return correct <= n_samples and abs(correct - round(correct)) <= self._tolerance(epoch) * n_samples

    def _tolerance(self, epoch: int) -> float:
        accuracy = self.accuracy(epoch)
        if abs(round(accuracy, 4) - accuracy) <= _BINARY:
            return _ROUNDED + _BINARY
        return _NOISE * max(1.0, accuracy)


def _ends(batches: Sequence[int]) -> Iterator[int]:
    """Yield the samples of all first and of all last batches: two evaluations may follow each other."""
    yield from accumulate(batches)
    yield from accumulate(batches[::-1])
