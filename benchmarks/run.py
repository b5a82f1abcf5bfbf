"""``make bench``: measure all families and write `results.json` and `results.md` beside this file.

``python -m benchmarks.run --only b,e`` measures some families and keeps the stored rows of the others;
``--quick`` uses tiny tables and two rounds: it tests that everything runs, and its values are not to be used.

``python -m benchmarks.run --against COMMIT`` writes nothing: it measures the package of the working tree and that of
the commit alternately (families b, c and e), prints the ratios with their quartiles, and exits with the number of
ratios above 1.03.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from benchmarks import against, growing, memory, predicting, recording, report, starting, threads, training, validating
from benchmarks.measure import Row, Settings, use_clock

__all__ = ["main"]

_HERE = Path(__file__).parent
_FAMILIES: dict[str, Callable[[Settings], Iterator[Row]]] = {
    "a": training.rows,
    "b": recording.rows,
    "c": predicting.rows,
    "d": validating.rows,
    "e": starting.rows,
    "f": memory.rows,
    "g": growing.rows,
    "t": threads.rows,
}
_QUICK = Settings(rounds=0.01, rows=0.01)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write, and print the rows that are slower than the reference; return their number."""
    options = _parser().parse_args(arguments)
    settings = _QUICK if options.quick else Settings(rounds=options.rounds)
    use_clock(options.clock)
    if options.against is not None:
        return _slower_than(options, settings)
    warnings.filterwarnings("ignore", category=UserWarning, module="sklearn")  # tiny tables, many classes
    about = {**report.machine(), "clock": options.clock}
    _warn_if_busy(about["load"][0])
    reference = {} if options.quick else report.load(_HERE / "reference.json")
    options.output.mkdir(parents=True, exist_ok=True)
    kept = {} if options.quick else report.load(options.output / "results.json")
    rows: list[Row] = []
    for family in (options.only or ",".join(_FAMILIES)).split(","):  # written after each family
        kept = {key: row for key, row in kept.items() if row.family != family}
        kept |= {row.key: row for row in _measured(family, settings)}
        rows = sorted(kept.values(), key=lambda row: row.family)
        report.save(options.output / "results.json", rows, about)
        (options.output / "results.md").write_text(report.markdown(rows, about, reference))
    if options.store:
        report.save(_HERE / "reference.json", rows, about)
    worse = [row for row in rows if report.slower(row, reference.get(row.key))]
    for row in worse:
        print(f"slower than the reference: {row.key}: {row.median:.3g}, was {reference[row.key].median:.3g}")
    return len(worse)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", help="letters of families, such as a,b,e")
    parser.add_argument("--against", metavar="COMMIT", help="compare with the package of a commit")
    parser.add_argument("--quick", action="store_true", help="tiny tables and two rounds, to test that it runs")
    parser.add_argument("--rounds", type=float, default=1.0, help="factor on the number of rounds")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: on a machine that is not idle")
    parser.add_argument("--output", type=Path, default=_HERE, help="folder for results.json and results.md")
    parser.add_argument("--store", action="store_true", help="also store the results as the reference")
    return parser


def _slower_than(options: argparse.Namespace, settings: Settings) -> int:
    """Print the ratios of the working tree to a commit; return how many are too high."""
    families = (options.only or ",".join(against.FAMILIES)).split(",")
    if not set(families) <= set(against.FAMILIES):
        raise SystemExit(f"--against compares the families {', '.join(against.FAMILIES)}, not {options.only}.")
    _warn_if_busy(os.getloadavg()[0])
    n_slower = 0
    pairs, doubts = (1, 0) if options.quick else (3, 3)
    rows = against.compare(options.against, families, settings, options.clock, pairs=pairs, doubts=doubts)
    for row in rows:
        slower = row.median > against.AT_MOST
        spread = f"{row.median:.3f} ({row.low:.3f} - {row.high:.3f}) x {row.against}"
        own = f"{1e3 * (row.measured or 0):.3g} ms"
        print(f"({row.family}) {row.case}: {row.contender} {spread}, {own}{' SLOWER' * slower}", flush=True)
        n_slower += slower
    return n_slower


def _warn_if_busy(load: float) -> None:
    if load > 0.3 * (os.cpu_count() or 1):
        print(f"The machine is busy (load {load:.2f}): ratios will vary.", file=sys.stderr)


def _measured(family: str, settings: Settings) -> list[Row]:
    available, rows = torch.get_num_threads(), []
    start = time.perf_counter()
    torch.set_num_threads(available if family == "t" else 1)
    with threadpool_limits(None if family == "t" else 1):  # MLPClassifier computes with numpy's BLAS
        for row in _FAMILIES[family](settings):
            print(f"({row.family}) {row.case}: {row.contender} {row.median:.3g} {row.unit} {row.against}", flush=True)
            rows.append(row)
    print(f"({family}) took {time.perf_counter() - start:.0f} s", flush=True)
    torch.set_num_threads(available)
    return rows


if __name__ == "__main__":
    sys.exit(main())
