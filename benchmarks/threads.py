"""(t) Two intra-op threads against one, by operations per step: the basis of ``n_threads="auto"``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from benchmarks.measure import Row, Settings, alternate, ratio_row
from benchmarks.tables import MEDIUM, ours
from sktorch_acc.engine.device import step_operations

__all__ = ["rows"]

_WIDTHS_AND_BATCHES = ((32, 32), (64, 128), (128, 128), (128, 256), (128, 512), (256, 256), (256, 512), (256, 1024))


def rows(settings: Settings) -> Iterator[Row]:
    """Yield the rows of this family; none on a machine with one core."""
    available = torch.get_num_threads()
    if available < 2:
        return
    for hidden, batch_size in _WIDTHS_AND_BATCHES:
        case = replace(MEDIUM, name="threads", hidden=hidden, batch_size=batch_size, n_rows=settings.n_rows(10_000))
        X, y = case.data()
        contenders = {
            f"{n} threads": lambda c=case, X=X, y=y, n=n: ours(c, X, y, "exact", 5, n_threads=n) for n in (available, 1)
        }
        times = alternate(contenders, settings.n_rounds(5))
        operations = step_operations(case.module(), 0, batch_size) / 1e6
        title = f"{operations:.1f} MFLOP a step ({hidden} hidden units, batch {batch_size})"
        yield ratio_row("t", title, times, f"{available} threads", "1 threads")
