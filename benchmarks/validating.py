"""(d) Five-fold cross-validation with one and two processes: complete fits, including start-up."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import cross_val_score

from benchmarks import rivals
from benchmarks.measure import Row, Settings, alternate, ratio_row
from benchmarks.tables import SMALL, estimator

__all__ = ["rows"]

N_EPOCHS = 10


def rows(settings: Settings) -> Iterator[Row]:
    """Yield the rows of this family."""
    case = replace(SMALL, n_rows=settings.n_rows(4_000))
    X, y = case.data()
    estimators = {
        "ours, exact": estimator(case, "exact", N_EPOCHS, n_threads="auto"),
        "skorch + train accuracy": rivals.skorch_estimator(case, N_EPOCHS, True),
        "MLPClassifier": rivals.mlp_estimator(case, N_EPOCHS),
    }
    contenders = {
        _title(name, n_jobs): lambda e=made, n=n_jobs: _seconds(e, X, y, n)
        for name, made in estimators.items()
        for n_jobs in (1, 2)
    }
    times = alternate(contenders, settings.n_rounds(3))
    title = f"5 folds, {N_EPOCHS} epochs, {case.title}"
    for n_jobs in (1, 2):
        for name in list(estimators)[1:]:
            yield ratio_row("d", title, times, _title("ours, exact", n_jobs), _title(name, n_jobs))
    for name in estimators:
        yield ratio_row("d", title, times, _title(name, 2), _title(name, 1))


def _title(name: str, n_jobs: int) -> str:
    return f"{name}, n_jobs={n_jobs}"


def _seconds(estimator: Any, X: Any, y: Any, n_jobs: int) -> float:
    start = time.perf_counter()  # wall time: the work is done in other processes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        cross_val_score(estimator, X, y, cv=5, n_jobs=n_jobs)
    return time.perf_counter() - start
