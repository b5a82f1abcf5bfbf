"""``python -m benchmarks.tracing [--against COMMIT]``: how far a reader has to go to follow `fit` and `predict`.

Traced with ``sys.setprofile``: a fit of two epochs on 300 samples of 8 features and three classes with names
(bundled module, no callbacks, otherwise the defaults), and `predict` of these samples. Both ran once before, so that
neither imports nor caches count.

calls
    Calls of Python functions defined in the package, the call traced included. Generators count each time they go on;
    comprehensions count where they are functions (before Python 3.12); properties and lambdas count.
files
    Files of the package in which one of these functions is defined.
switches
    Pairs of consecutive calls whose functions are defined in different files. Returns do not count.
depth
    Most functions of the package that run at one time: frames of other packages between them do not count.
frames above forward
    Functions of the package that run when the module's ``forward`` is called, at its last call: for `fit`, the last
    one in training mode.
calls into skorch
    Calls of Python functions defined in skorch, from wherever they are called.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numpy as np
import torch

import sktorch_acc
from benchmarks.commits import TREE, check_import, package_of, start
from sktorch_acc import TorchClassifier

__all__ = ["Trace", "main", "traced"]

_PACKAGE = str(Path(sktorch_acc.__file__).parent) + os.sep


class Trace:
    """What a call went through.

    Parameters
    ----------
    forward : code object
        Of the module's ``forward``.
    training : bool
        The mode of the module in which its calls are looked at.
    """

    def __init__(self, forward: CodeType, training: bool) -> None:
        self._forward, self._training = forward, training
        self._skorch = _folder_of("skorch")
        self.files: list[str] = []  # of the package, one for each call
        self.depth = self.deepest = self.above_forward = self.skorch_calls = 0

    def run(self, call: Callable[[], Any]) -> Trace:
        """Trace a call."""
        sys.setprofile(self._hear)
        try:
            call()
        finally:
            sys.setprofile(None)
        return self

    def _hear(self, frame: FrameType, event: str, _: Any) -> None:
        if event not in ("call", "return"):  # the others are of functions written in C
            return
        file = frame.f_code.co_filename
        if event == "call" and frame.f_code is self._forward and frame.f_locals["self"].training == self._training:
            self.above_forward = self.depth
        if file.startswith(_PACKAGE):
            self._count(file, event)
        elif file.startswith(self._skorch):
            self.skorch_calls += event == "call"

    def _count(self, file: str, event: str) -> None:
        if event == "return":
            self.depth -= 1
            return
        self.files.append(file)
        self.depth += 1
        self.deepest = max(self.deepest, self.depth)

    def numbers(self) -> dict[str, int]:
        """Return the numbers that the module's docstring describes."""
        return {
            "calls": len(self.files),
            "files": len(set(self.files)),
            "switches": sum(before != after for before, after in itertools.pairwise(self.files)),
            "depth": self.deepest,
            "frames above forward": self.above_forward,
            "calls into skorch": self.skorch_calls,
        }


def _folder_of(package: str) -> str:
    """Return where a package is, without importing it."""
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    return str(Path(found.origin).parent) + os.sep


def traced() -> dict[str, dict[str, int]]:
    """Return the numbers of `fit` and of `predict`."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 8), dtype=np.float32)
    y = np.array(["cat", "dog", "fox"])[rng.integers(0, 3, len(X))]

    def classifier() -> TorchClassifier:
        return TorchClassifier(max_epochs=2, random_state=0)

    warm = classifier().fit(X, y)
    warm.predict(X)
    forward, clf = type(warm.module_).forward.__code__, classifier()
    return {
        "fit": Trace(forward, training=True).run(lambda: clf.fit(X, y)).numbers(),
        "predict": Trace(forward, training=False).run(lambda: clf.predict(X)).numbers(),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the numbers: of the package at hand, and of that of a commit if there is one to compare with."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="COMMIT", help="print those of the package of a commit, too")
    options = parser.parse_args(arguments)
    columns = {}
    if options.against is not None:
        with package_of(options.against) as package:
            columns[options.against] = _of_package(package)
    columns["at hand"] = _of_package(TREE)
    print(_table(columns))


def _of_package(package: Path) -> dict[str, dict[str, int]]:
    """Return the numbers of a package, from a process of its own."""
    process = start(package, "benchmarks.tracing", _TO_PARENT, stdout=subprocess.PIPE)
    answer, _ = process.communicate()
    if process.returncode:
        raise SystemExit("The process that is traced failed (see above).")
    return json.loads(answer)


def _table(columns: dict[str, dict[str, dict[str, int]]]) -> str:
    width = max(10, *map(len, columns))
    lines = [" " * 30 + "".join(f"{title:>{width + 2}}" for title in columns)]
    for name, numbers in next(iter(columns.values())).items():
        for what in numbers:
            values = (column[name][what] for column in columns.values())
            lines.append(f"{f'{name}: {what}':30}" + "".join(f"{value:{width + 2}d}" for value in values))
    return "\n".join(lines)


_TO_PARENT = "numbers"  # the argument with which this module is started to answer in JSON

if __name__ == "__main__":
    if sys.argv[1:] == [_TO_PARENT]:
        check_import()
        torch.set_num_threads(1)
        warnings.simplefilter("ignore")
        print(json.dumps(traced()))
    else:
        main()
