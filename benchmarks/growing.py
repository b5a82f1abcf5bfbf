"""(g) Scaling: the time of an epoch for more rows, classes and features."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace

import torch

from benchmarks.leanest import LeanestFit, batched_forward
from benchmarks.measure import Row, Settings, alternate, now, ratio_row, value_row
from benchmarks.tables import MEDIUM, Case, ours, per_epoch

__all__ = ["rows"]

N_EPOCHS = 5
BY_HAND = "leanest loop and a forward pass"
_ROWS = replace(MEDIUM, name="rows", n_rows=25_000, batch_size=256)
_CLASSES = replace(MEDIUM, name="classes", n_rows=20_000, batch_size=256)
_FEATURES = replace(MEDIUM, name="features", n_rows=10_000, batch_size=256)


def rows(settings: Settings) -> Iterator[Row]:
    """Yield the rows of this family."""
    base = _ROWS.scaled(settings)
    yield from _by_rows(settings, [replace(base, n_rows=base.n_rows * factor) for factor in (1, 2, 4, 8)])
    classes = [replace(_CLASSES.scaled(settings), n_classes=n) for n in (2, 10, 100, 1000)]
    if settings.rows < 1:  # every class needs a sample
        classes = classes[:2]
    yield from _by_width(settings, classes, "classes", 1)
    features = [replace(_FEATURES.scaled(settings), n_features=n) for n in (10, 100, 500, 2000)]
    yield from _by_width(settings, features, "features", 0)


def _by_rows(settings: Settings, cases: list[Case]) -> Iterator[Row]:
    """Yield the time per row, as a multiple of that of the smallest table."""
    contenders = {}
    for case in cases:
        X, y = case.data()
        contenders[f"{case.n_rows:,} rows"] = lambda c=case, X=X, y=y: ours(c, X, y, "exact", N_EPOCHS) / c.n_rows
    times = alternate(contenders, settings.n_rounds(3))
    names = list(contenders)
    for name in names[1:]:
        yield ratio_row("g", f"seconds per row and epoch, batch {cases[0].batch_size}", times, name, names[0])


def _by_width(settings: Settings, cases: list[Case], what: str, base: int) -> Iterator[Row]:
    """Yield the ratio of ours to hand-written code, and its growth from `cases[base]` to the widest case."""
    grown = {}
    for case in cases:
        X, y = case.data()
        tensors = torch.from_numpy(X), torch.from_numpy(y)
        width = getattr(case, f"n_{what}")
        contenders = {
            f"{width} {what}": lambda c=case, X=X, y=y: ours(c, X, y, "exact", N_EPOCHS),
            BY_HAND: lambda c=case, t=tensors: _by_hand(c, *t),
        }
        times = alternate(contenders, settings.n_rounds(5))
        row = ratio_row("g", f"{case.hidden} hidden units, batch {case.batch_size}", times, f"{width} {what}", BY_HAND)
        grown[width] = row.median
        yield row
    widths = list(grown)
    growth = grown[widths[-1]] / grown[widths[base]]
    title = f"the same beyond the module's own cost, {widths[-1]} over {widths[base]} {what}"
    yield value_row("g", title, "ours, exact", [growth], "x", 1.10 if what == "classes" else None)


def _by_hand(case: Case, X: torch.Tensor, y: torch.Tensor) -> float:
    """Return the seconds of an epoch of the leanest loop and of one forward pass over all samples."""
    fit = LeanestFit(case.module(), X, y, case.batch_size).fit(N_EPOCHS)
    passes = []
    for _ in range(N_EPOCHS - 2):
        start = now()
        batched_forward(fit.module, X, lambda output: output.argmax(dim=1))
        passes.append(now() - start)
    return per_epoch(fit.stamps) + statistics.median(passes)
