"""Cost of the checks inside `fit`: ten epochs of 30-64-64-3, batch 128, 20,000 samples.

Fits with ``diagnose="warn"`` and ``"off"`` alternate. In the former, the CPU time of the checks is measured too: on a
busy machine their share of the fit is more precise than the ratio of the fits.

Run: OMP_NUM_THREADS=1 python benchmarks/diagnose_in_fit.py
"""

import statistics
import time

import numpy as np
import torch
from torch import nn

from sktorch_acc import TorchClassifier
from sktorch_acc.observers.fit_checks import FitChecks

ROUNDS = 7


def problem(kind):
    """Return 20,000 samples; the work of the checks depends on `kind`."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_000, 30)).astype("float32")
    y = (X[:, :3] + rng.standard_normal((20_000, 3))).argmax(axis=1)
    if kind == "half of the rows repeated":
        X[10_000:] = X[:10_000]
    return X, y


def timed(method, spent):
    def inner(*args):
        start = time.process_time()
        try:
            return method(*args)
        finally:
            spent.append(time.process_time() - start)

    return inner


def main():
    module = nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))
    spent = []
    FitChecks.fit_begin, FitChecks.result = timed(FitChecks.fit_begin, spent), timed(FitChecks.result, spent)
    torch.set_num_threads(1)
    for kind in ("clean", "half of the rows repeated"):
        X, y = problem(kind)
        times = {"warn": [], "off": []}
        shares = []
        for _ in range(ROUNDS):
            for level, collected in times.items():
                spent.clear()
                start = time.process_time()
                TorchClassifier(module, max_epochs=10, random_state=0, diagnose=level).fit(X, y)
                collected.append(time.process_time() - start)
                if level == "warn":
                    shares.append(sum(spent) / collected[-1])
        ratio = statistics.median(times["warn"]) / statistics.median(times["off"])
        print(f"{kind}: checks {statistics.median(shares):.2%} of a fit; fit with / without: {ratio:.3f}")


if __name__ == "__main__":
    main()
