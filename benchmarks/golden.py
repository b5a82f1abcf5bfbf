"""``python -m benchmarks.golden --against COMMIT``: compare the results of fits with those of a commit, bit by bit.

Every configuration of `benchmarks.configurations` is fitted by the package of the commit and by that of the working
tree, in two processes on this machine. Weights, `history_` (without seconds), `best_epoch_`, `n_iter_`, probabilities,
skorch's history and the calls of callbacks are compared. The exit status is the number of configurations that differ.
Configurations whose batches do not begin at multiples of 64 bytes are reported, but not counted, if their weights
differ: the bits depend on where batches begin in memory.
"""

from __future__ import annotations

import argparse
import pickle
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.commits import TREE, package_of, start
from benchmarks.configurations import CONFIGURATIONS

__all__ = ["differences", "main"]

_SHOWN = 6  # names per line


def main(arguments: Sequence[str] | None = None) -> int:
    """Fit at both commits, print a line per configuration and return how many differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", required=True, metavar="COMMIT", help="commit to compare with")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="names of configurations")
    options = parser.parse_args(arguments)
    unknown = set(options.only) - {c.name for c in CONFIGURATIONS}
    if unknown:
        parser.error(f"unknown configurations {sorted(unknown)}; known: {[c.name for c in CONFIGURATIONS]}")
    then, now = _fitted(options.against, options.only)
    n_different = 0
    for configuration in CONFIGURATIONS:
        if configuration.name in now:
            found = differences(then[configuration.name], now[configuration.name])
            expected = not configuration.aligned and any(name.startswith("weights") for name in found)
            print(f"{configuration.name:36} {_verdict(found, expected)}", flush=True)
            n_different += bool(found) and not expected
    return n_different


def _fitted(commit: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the results of the commit and of the working tree, by configuration."""
    with package_of(commit) as package, tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, name) for name in ("then", "now")]
        processes = [
            start(root, "benchmarks.configurations", str(file), *names)
            for root, file in zip((package, TREE), files, strict=True)
        ]
        failed = [process.wait() for process in processes]
        if any(failed):
            raise SystemExit("A process that fits the configurations failed (see above): nothing was compared.")
        return [pickle.loads(file.read_bytes()) for file in files]


def _verdict(found: Sequence[str], expected: bool) -> str:
    if not found:
        return "same"
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{'batches off alignment' if expected else 'DIFFERENT'}: {', '.join(found[:_SHOWN])}{more}"


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return the names of what differs in two results; with the largest difference for weights and probabilities."""
    if "error" in then or "error" in now:
        return [f"{when}: {result['error']}" for when, result in (("then", then), ("now", now)) if "error" in result]
    return [
        name + _by_how_much(then.get(name), now.get(name))
        for name in dict.fromkeys([*then, *now])
        if not (name in then and name in now and _same(then[name], now[name]))
    ]


def _same(a: Any, b: Any) -> bool:
    """Whether two values have the same type and the same bits."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    return repr(a) == repr(b)  # floats: NaN is NaN, 0.0 is not -0.0


def _by_how_much(a: Any, b: Any) -> str:
    """Return the largest absolute difference in brackets, if arrays of the same shape are compared."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        pairs = [(a[key], b[key]) for key in a]
    else:
        pairs = [(a, b)]
    if not all(isinstance(x, np.ndarray) and isinstance(y, np.ndarray) and x.shape == y.shape for x, y in pairs):
        return ""
    largest = max(float(np.abs(np.subtract(x, y, dtype=np.float64)).max(initial=0)) for x, y in pairs)
    return f" (by up to {largest:.1e})"


if __name__ == "__main__":
    sys.exit(main())
