"""Measure how often `explain_accuracy` finds the formula of a wrong loop, on random problems.

    python -m benchmarks.explain_accuracy --problems 300 --seed 0

A problem has 2 to 20 balanced or unbalanced classes (one problem in four a single column of logits), 20 to 5,000
samples and batches of 1 to 256 samples. Each loop of tests/wrong_loops.py, which does not use the package, prints its
value with 2, 3, 4, 6 or all decimals. "Unique": neither another loop nor the correct loop prints the same. "Named":
the code is not None.
"""

import argparse
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sktorch_acc import explain_accuracy
from tests.accuracy_problems import draw_problem, is_unique, loop_values
from tests.wrong_loops import LOOPS

PRECISIONS = {2: "{:.2f}", 3: "{:.3f}", 4: "{:.4f}", 6: "{:.6f}", "full": "{!r}"}
SIZES = ((20, 100), (100, 300), (300, 1000), (1000, 5001))


def measure_loops(problems, table):
    """Record for each precision whether the code of the loop is unique, first, listed and certain."""
    for outputs, targets, batch_size, accuracy, found in problems:
        for precision, form in PRECISIONS.items():
            texts = [(code, form.format(value)) for code, value in found.values()]
            for (name, (code, _)), (_, text) in zip(found.items(), texts, strict=True):
                answer = explain_accuracy(outputs, targets, text, batch_size=batch_size)
                unique = is_unique(code, text, form.format(accuracy), texts)
                table[precision].append(
                    {
                        "code": code,
                        "name": name,
                        "unique": unique,
                        "first": answer.code == code,
                        "listed": code in {c.code for c in answer.candidates},
                        "certain": answer.confidence >= 0.9,
                    }
                )


def measure_true(problems):
    """Record whether the accuracy itself is given a code, for each way to print it."""
    named = defaultdict(list)
    for outputs, targets, batch_size, accuracy, _ in problems:
        for form in ("full", "4 decimals", "percent"):
            text = {"full": repr(accuracy), "4 decimals": f"{accuracy:.4f}", "percent": f"{100 * accuracy:.2f}%"}[form]
            answer = explain_accuracy(outputs, targets, text, batch_size=batch_size)
            named[form].append(answer.code is not None or answer.verdict != "true")
    return named


def measure_others(problems, rng, per_problem=8):
    """Record whether values that no formula computed get a code: uniform ones, and counts near the correct one."""
    unrelated, near, near_certain, near_shuffled = (defaultdict(list) for _ in range(4))
    for outputs, targets, batch_size, accuracy, _ in problems:
        n_samples = len(targets)
        band = next(b for b in SIZES if b[0] <= n_samples < b[1])
        for _ in range(per_problem):
            answer = explain_accuracy(outputs, targets, f"{rng.random():.4f}", batch_size=batch_size)
            unrelated[band].append(answer.code is not None)
            off = int(rng.integers(1, max(2, n_samples // 20 + 1))) * int(rng.choice([-1, 1]))
            count = round(accuracy * n_samples) + off
            if not 0 <= count <= n_samples:
                continue
            text = f"{count / n_samples:.4f}"
            answer = explain_accuracy(outputs, targets, text, batch_size=batch_size)
            near[band].append(answer.code is not None)
            near_certain[band].append(answer.code is not None and answer.confidence >= 0.9)
            answer = explain_accuracy(outputs, targets, text, batch_size=batch_size, shuffled=True)
            near_shuffled[band].append(answer.code is not None)
    return unrelated, near, near_certain, near_shuffled


def measure_shuffled(problems, rng):
    """Record whether A1, A3 and A8 in a shuffled order are listed with shuffled=True."""
    names = ("mean_of_batches", "drop_last", "last_batch_over_dataset")
    listed, first = defaultdict(list), defaultdict(list)
    for outputs, targets, batch_size, accuracy, _ in problems:
        if len(targets) % batch_size == 0 or batch_size > len(targets):
            continue
        order = torch.from_numpy(rng.permutation(len(targets)))
        for name in names:
            code, loop = LOOPS[name]
            value = loop(outputs[order], targets[order], batch_size)
            if abs(value - accuracy) < 1e-6:
                continue
            for precision in (4, 6):
                text = PRECISIONS[precision].format(value)
                if text == PRECISIONS[precision].format(accuracy):
                    continue
                answer = explain_accuracy(outputs, targets, text, batch_size=batch_size, shuffled=True)
                listed[code, precision].append(code in {c.code for c in answer.candidates})
                first[code, precision].append(answer.code == code)
    return listed, first


def share(flags):
    return f"{np.mean(flags):.3f}" if len(flags) else "  -  "


def report_loops(table):
    print("\nWrong loops, by decimals   values  unique  first|unique  listed  certain  certain of another")
    for precision, results in table.items():
        unique = [r for r in results if r["unique"]]
        wrong = [r["certain"] and not r["first"] for r in results]
        columns = (
            f"{precision!s:>22} {len(results):8d}",
            f"{share([r['unique'] for r in results]):>7}",
            f"{share([r['first'] for r in unique]):>13}",
            f"{share([r['listed'] for r in results]):>7}",
            f"{share([r['certain'] for r in results]):>8}",
            f"{share(wrong):>19}",
        )
        print("  " + " ".join(columns))
    print("  limits: first|unique >= 0.97 and listed >= 0.99 at 4 and 6; at 2 listed >= 0.85, certain = 0")
    print("\nFirst among the unique, by loop             2      3      4      6   full   (limit 0.90 at 4 and 6)")
    never = []
    for name, (code, _) in LOOPS.items():
        mine = [[r["first"] for r in results if r["name"] == name and r["unique"]] for results in table.values()]
        cells = " ".join(f"{share(flags):>6}" for flags in mine)
        if any(mine):
            print(f"  {code:8} {name:36}{cells}   {len(mine[2])} unique at 4")
        else:
            never.append((name, code))
    print("\nListed, where other loops always print the same (0 or 1)")
    for name, code in never:
        mine = [[r["listed"] for r in results if r["name"] == name] for results in table.values()]
        cells = " ".join(f"{share(flags):>6}" for flags in mine)
        print(f"  {code:8} {name:36}{cells}   {len(mine[2])} values")


def report_others(unrelated, near, near_certain, near_shuffled):
    print("\nNamed, 4 decimals   unrelated  near the accuracy  certain   with shuffled=True")

    def row(title, bands):
        columns = [[flag for band in bands for flag in flags[band]] for flags in (unrelated, near, near_certain)]
        shuffled = [flag for band in bands for flag in near_shuffled[band]]
        cells = (f"{share(columns[0]):>9}", f"{share(columns[1]):>19}", f"{share(columns[2]):>8}")
        print(f"  {title:17} {' '.join(cells)} {share(shuffled):>20}   {len(columns[1])} values")

    for band in SIZES:
        row(f"{band[0]}-{band[1] - 1} samples", [band])
    row("from 100 samples", SIZES[1:])
    print("  limits: unrelated <= 0.02 above 300 samples; near <= 0.15 below 100 samples and 0 certain,")
    print("  <= 0.08 above")


def report_shuffled(listed, first):
    print("\nShuffled, shuffled=True      listed (limit 0.99 for A1)    first")
    for code, precision in sorted(listed):
        flags = listed[code, precision]
        cells = f"{share(flags):>12} {share(first[code, precision]):>24}"
        print(f"  {code} at {precision} decimals {cells}   {len(flags)} values")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    start, rng = time.perf_counter(), np.random.default_rng(options.seed)
    problems = []
    for _ in range(options.problems):
        outputs, targets, batch_size = draw_problem(rng)
        problems.append((outputs, targets, batch_size, *loop_values(outputs, targets, batch_size)))
    print(f"{options.problems} problems, {len(LOOPS)} loops, seed {options.seed}")
    table = defaultdict(list)
    measure_loops(problems, table)
    report_loops(table)
    named = {form: f"{sum(flags)} of {len(flags)}" for form, flags in measure_true(problems).items()}
    print(f"\nTrue accuracy named (limit 0): {named}")
    report_others(*measure_others(problems, rng))
    report_shuffled(*measure_shuffled(problems, rng))
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
