"""(c) `predict` and `predict_proba` for a million samples, against a hand-written batched forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from benchmarks.leanest import batched_forward
from benchmarks.measure import Measurement, Row, Settings, alternate, now, ratio_row
from benchmarks.tables import LARGE, SMALL, Case, estimator

__all__ = ["measurements", "rows"]

_ROUNDS = {SMALL.name: 9, LARGE.name: 5}
_TARGETS = {SMALL.name: 1.35, LARGE.name: 1.10}


def rows(settings: Settings) -> Iterator[Row]:
    """Yield the rows of this family."""
    for case in _cases(settings):
        clf, X = _fitted(case)
        tensor = torch.from_numpy(X)
        by_hand: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
            "predict": (lambda: clf.predict(X), lambda: _forward(clf, tensor, _argmax)),  # noqa: B023
            "predict_proba": (lambda: clf.predict_proba(X), lambda: _forward(clf, tensor, _softmax)),  # noqa: B023
        }
        for name, (method, loop) in by_hand.items():
            contenders = {name: lambda m=method: _seconds(m), "batched forward": lambda f=loop: _seconds(f)}
            times = alternate(contenders, settings.n_rounds(_ROUNDS[case.name]))
            yield ratio_row("c", _title(case), times, name, "batched forward", _TARGETS[case.name])


def measurements(settings: Settings) -> Iterator[Measurement]:
    """Yield the measurements of the library alone in this family."""
    for case in _cases(settings):
        clf, X = _fitted(case)
        for method in (clf.predict, clf.predict_proba):
            rounds = settings.n_rounds(_ROUNDS[case.name])
            yield Measurement("c", _title(case), method.__name__, rounds, lambda m=method, X=X: _seconds(lambda: m(X)))


def _cases(settings: Settings) -> Iterator[Case]:
    for full in (SMALL, LARGE):
        yield replace(full, n_rows=settings.n_rows(1_000_000))


def _fitted(case: Case) -> tuple[Any, Any]:
    """Return a classifier and the samples to predict."""
    X, y = case.data()
    return estimator(case, None, 1).fit(X[:5000], y[:5000]), X


def _title(case: Case) -> str:
    return f"{case.name} module, {case.n_rows:,} rows"


def _argmax(output: torch.Tensor) -> torch.Tensor:
    return output.argmax(dim=1)


def _softmax(output: torch.Tensor) -> torch.Tensor:
    return output.softmax(dim=1)


def _forward(clf: Any, X: torch.Tensor, convert: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    return batched_forward(clf.module_, X, convert).numpy()


def _seconds(call: Callable[[], Any]) -> float:
    start = now()
    call()
    return now() - start
