"""``python -m benchmarks.run --against COMMIT``: compare the speed of the working tree with that of a commit.

Two processes, one per version of the package, run the same measurements in the same order. They measure alternately,
round by round, so that a disturbance of the machine that is longer than a round affects both.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from benchmarks import predicting, recording, starting
from benchmarks.commits import TREE, check_import, package_of, start
from benchmarks.measure import Measurement, Row, Settings, alternate, ratio_row, use_clock

__all__ = ["AT_MOST", "FAMILIES", "compare"]

AT_MOST = 1.03  # a ratio above it counts as slower
_CLEARLY = 1.1  # one whose lower quartile is above this is not measured again
FAMILIES: Mapping[str, Callable[[Settings], Iterator[Measurement]]] = {
    "b": recording.measurements,
    "c": predicting.measurements,
    "e": starting.measurements,
}
_Offer = dict[str, Any]  # a `Measurement` without its call
_Times = dict[str, list[float]]
_NEXT, _MEASURE = "next\n", "measure\n"


def compare(
    commit: str, families: Sequence[str], settings: Settings, clock: str, *, pairs: int, doubts: int
) -> Iterator[Row]:
    """Yield the ratios of times, working tree over commit.

    The rounds are spread over several pairs of processes, because the memory layout of a process changes its times by
    some per cent. A ratio that is slightly too high is measured by more pairs, up to `doubts` times.
    """
    share = replace(settings, rounds=settings.rounds / pairs)
    times: defaultdict[str, _Times] = defaultdict(dict)
    with package_of(commit) as package:

        def pair(*letters: str) -> _Pair:
            return _Pair(package, {"families": letters, "settings": asdict(share), "clock": clock})

        for left in reversed(range(pairs)):
            with pair(*families) as workers:
                while (offer := workers.offer()) is not None:
                    taken = times[json.dumps(offer)]
                    _add(taken, workers.times(offer, commit))
                    if not left:
                        yield _ratio(offer, commit, taken, pair, doubts)


def _ratio(offer: _Offer, commit: str, times: _Times, pair: Callable[[str], _Pair], doubts: int) -> Row:
    """Return a ratio; take more times if it is a little too high."""
    about = {name: offer[name] for name in ("family", "case", "contender")}
    row = ratio_row(**about, times=times, against=commit)
    for _ in range(doubts):
        if row.median <= AT_MOST or row.low > _CLEARLY:
            break
        with pair(offer["family"]) as workers:
            while workers.offer() != offer:
                pass
            _add(times, workers.times(offer, commit))
        row = ratio_row(**about, times=times, against=commit)
    return row


def _add(times: _Times, more: _Times) -> None:
    for name, values in more.items():
        times.setdefault(name, []).extend(values)


class _Pair:
    """A process for the working tree and one for the commit, which run the same measurements alternately."""

    def __init__(self, package: Path, asked: dict[str, Any]) -> None:
        self._now, self._then = (_Worker(root, json.dumps(asked)) for root in (TREE, package))

    def __enter__(self) -> _Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self._now.stop()
        self._then.stop()

    def offer(self) -> _Offer | None:
        """Return the description of the next measurement; None after the last."""
        now, then = self._now.ask(_NEXT), self._then.ask(_NEXT)
        if now != then:
            raise RuntimeError(f"The two processes run different measurements: {now} and {then}.")
        return now

    def times(self, offer: _Offer, commit: str) -> _Times:
        """Return the times of the measurement that was offered, of both packages."""
        contenders = {
            offer["contender"]: lambda: self._now.ask(_MEASURE),
            commit: lambda: self._then.ask(_MEASURE),
        }
        return alternate(contenders, offer["rounds"])


class _Worker:
    """A process that runs measurements with one version of the package, on request."""

    def __init__(self, package: Path, asked: str) -> None:
        self._process = start(package, "benchmarks.against", asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def stop(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def ask(self, request: str) -> Any:
        """Return the answer to a request."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        with suppress(BrokenPipeError):  # the process has ended: the answer is empty
            stdin.write(request)
            stdin.flush()
        answer = stdout.readline()
        if not answer:
            raise SystemExit("A process that measures has ended with an error (see above).")
        return json.loads(answer)


def _serve(asked: dict[str, Any]) -> None:
    """Answer each request with a line of JSON."""
    use_clock(asked["clock"])
    settings = Settings(**asked["settings"])
    offers = itertools.chain.from_iterable(FAMILIES[letter](settings) for letter in asked["families"])
    current: Measurement | None = None
    for request in sys.stdin:
        answer: Any
        if request == _NEXT:
            current = next(offers, None)
            answer = current and {name: value for name, value in vars(current).items() if name != "call"}
        else:
            assert current is not None
            answer = current.call()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    check_import()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with threadpool_limits(1):
        _serve(json.loads(sys.argv[1]))
