"""(c) `predict` and `predict_proba` on a million rows, against a batched forward pass by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from benchmarks.leanest import batched_forward
from benchmarks.measure import Row, Settings, alternate, now, ratio_row
from benchmarks.tables import LARGE, SMALL, estimator

__all__ = ["rows"]

_TARGETS = {SMALL.name: 1.35, LARGE.name: 1.10}


def rows(settings: Settings) -> Iterator[Row]:
    """Yield the rows of this family."""
    for full in (SMALL, LARGE):
        case = replace(full, n_rows=settings.n_rows(1_000_000))
        X, y = case.data()
        clf = estimator(case, None, 1).fit(X[:5000], y[:5000])
        tensor = torch.from_numpy(X)
        by_hand: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
            "predict": (lambda: clf.predict(X), lambda: _forward(clf, tensor, _argmax)),  # noqa: B023
            "predict_proba": (lambda: clf.predict_proba(X), lambda: _forward(clf, tensor, _softmax)),  # noqa: B023
        }
        for name, (method, loop) in by_hand.items():
            contenders = {name: lambda m=method: _seconds(m), "batched forward": lambda f=loop: _seconds(f)}
            times = alternate(contenders, settings.n_rounds(9 if case.name == SMALL.name else 5))
            title = f"{case.name} module, {case.n_rows:,} rows"
            yield ratio_row("c", title, times, name, "batched forward", _TARGETS[case.name])


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
