"""(f) Peak memory beyond the data; each contender runs in its own process."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Row, Settings, value_row

__all__ = ["rows"]

ROOT = Path(__file__).parents[1]  # where `benchmarks` is found
N_ROWS, N_FEATURES = 2_000_000, 50
_MODES = ("leanest fit", "fit", "fit, float64 module", "predict", "predict_proba")


def rows(settings: Settings) -> Iterator[Row]:
    """Yield the rows of this family."""
    n_rows = settings.n_rows(N_ROWS)
    data = n_rows * N_FEATURES * 4 / 2**20
    title = f"{n_rows:,} x {N_FEATURES} float32 = {data:.0f} MiB"
    # A float32 module uses the array of the caller; a float64 module needs a converted copy.
    targets = {"fit": data + 200, "fit, float64 module": 2 * data + 200}
    for mode in _MODES:
        command = [sys.executable, "-m", "benchmarks.memory", mode, str(n_rows)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        yield value_row("f", title, mode, [float(answer.stdout)], "MiB over the data", targets.get(mode))


def _peak() -> float:
    """Return the largest resident size so far, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # on Linux ru_maxrss begins with the peak of the parent process
        high = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return float(high.split()[1]) / 2**10
    factor = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / factor


def _extra(mode: str, n_rows: int) -> float:
    """Return the growth of the peak in MiB, after imports, data and a first small fit."""
    import torch

    from benchmarks.leanest import LeanestFit
    from benchmarks.tables import Case, Doubled, estimator

    torch.set_num_threads(1)
    case = Case("memory", N_FEATURES, 32, 3, 1024, n_rows)
    X = np.empty((n_rows, N_FEATURES), dtype=np.float32)
    rng = np.random.default_rng(0)
    for start in range(0, n_rows, 10_000):
        rng.standard_normal(dtype=np.float32, out=X[start : start + 10_000])
    y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 1)
    small = estimator(case, "exact", 1).fit(X[:5000], y[:5000])
    before = _peak()
    calls: dict[str, Callable[[], Any]] = {
        "leanest fit": lambda: LeanestFit(case.module(), torch.from_numpy(X), torch.from_numpy(y), 1024).fit(1),
        "fit": lambda: estimator(case, "exact", 1).fit(X, y),
        "fit, float64 module": lambda: estimator(case, "exact", 1).set_params(module=Doubled).fit(X, y),
        "predict": lambda: small.predict(X),
        "predict_proba": lambda: small.predict_proba(X),
    }
    calls[mode]()
    return _peak() - before


if __name__ == "__main__":
    print(_extra(sys.argv[1], int(sys.argv[2])))
