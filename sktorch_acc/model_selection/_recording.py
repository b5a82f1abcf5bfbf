"""Run the user's scorers in every fold and return their scores, or the exceptions that were raised."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sklearn.utils.metadata_routing import get_routing_for_object

from sktorch_acc._text import shorten
from sktorch_acc.checks.folds import Stage
from sktorch_acc.model_selection._counting import CountingClassifier


@dataclass(frozen=True)
class Failure:
    """An exception in one fold: `error` is its type and the first line of its message."""

    fold: int
    stage: Stage
    scorer: str | None
    error: str


class RecordingClassifier(CountingClassifier):
    """A counting classifier that records exceptions, so that the other folds are run too.

    Interrupts are not caught.
    """

    def fit(self, X: Any, y: Any, **params: Any) -> RecordingClassifier:
        self.failures_: list[Failure] = []
        self.scores_: Any = None  # dict of numbers by name, or a number
        try:
            super().fit(X, y, **params)
        except Exception as error:
            self.failed("fit", _told(error))
        return self

    def failed(self, stage: Stage, error: str, scorer: str | None = None) -> None:
        """Record an exception."""
        self.failures_.append(Failure(self.fold, stage, scorer, error))


class RecordingScorer:
    """The scorer passed to ``cross_validate``: counts predictions, then calls the user's scorer.

    Parameters
    ----------
    scorer : callable
        From ``check_scoring``, with ``raise_exc=False``: if one of several scorers raises, its score
        is the text of the traceback.
    name : str
        The name of a scorer of one number.
    several : tuple of str
        The names of the scorers, if there are several.
    """

    def __init__(self, scorer: Callable[..., Any], name: str, several: tuple[str, ...]) -> None:
        self.scorer = scorer
        self.name = name
        self.several = several

    def __call__(self, fitted: RecordingClassifier, X: Any, y: Any, **params: Any) -> float:
        """Count and score the test samples of one fold."""
        if fitted.failures_:
            return 0.0
        unpredicted = None
        try:
            fitted.count(X, y)
        except Exception as error:
            unpredicted = _told(error)
        for name, reason in self._score(fitted, X, y, params):
            # If the scorer raises the same exception as predict, predict failed.
            if reason == unpredicted:
                fitted.failed("predict", reason)
            else:
                fitted.failed("score", reason, name)
        del fitted.estimator_
        return 0.0  # cross_validate requires a number

    def _score(self, fitted: RecordingClassifier, X: Any, y: Any, params: Any) -> list[tuple[str, str]]:
        """Store the scores, and return name and error of each scorer without a score."""
        try:
            scores = self.scorer(fitted.estimator_, X, y, **params)
        except Exception as error:  # of several scorers: raised before the first, for example for a missing method
            return [(name, _told(error)) for name in self.several or (self.name,)]
        if not isinstance(scores, dict):
            number = _unwrapped(scores)
            if not isinstance(number, numbers.Number):
                return [(self.name, _no_number(scores))]
            fitted.scores_ = number
            return []
        found = {name: _unwrapped(score) for name, score in scores.items()}
        fitted.scores_ = {name: score for name, score in found.items() if isinstance(score, numbers.Number)}
        lost = [(name, score) for name, score in found.items() if name not in fitted.scores_]
        told = _last_error if self.several else _no_number
        return [(name, told(score) if isinstance(score, str) else _no_number(score)) for name, score in lost]

    def get_metadata_routing(self) -> Any:
        """Return the requests of the user's scorer."""
        return get_routing_for_object(self.scorer)


def _unwrapped(score: Any) -> Any:
    """Turn an array or a tensor of one element into its number, as scikit-learn does."""
    if hasattr(score, "item"):
        with suppress(ValueError, RuntimeError):
            return score.item()
    return score


def _no_number(score: Any) -> str:
    return f"ValueError: scoring must return a number, got {shorten(repr(score), 60)} ({type(score).__name__})"


def _told(error: BaseException) -> str:
    try:
        message = str(error)
    except Exception:  # its own __str__ raises
        message = ""
    return _one_line(type(error).__name__, message)


def _last_error(text: str) -> str:
    """Read type and message of the exception from the text of its traceback."""
    lines = text.rstrip().splitlines()
    frames = [i for i, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
    start = frames[-1] + 1 if frames else 0
    at = next((i for i in range(start, len(lines)) if not lines[i].startswith(" ")), len(lines) - 1)
    kind, _, message = "\n".join(lines[at:]).partition(":")
    return _one_line(kind.strip().rpartition(".")[2], message)


def _one_line(kind: str, message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return f"{kind}: {lines[0]}" if lines else kind
