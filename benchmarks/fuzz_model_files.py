"""Load mutated model files, and measure what that costs.

    python benchmarks/fuzz_model_files.py --files 10000 --seed 0

Half of the mutations spoil bytes; the other half spoil the manifest or the header of the weights and put the
checksums right again, as somebody who means harm would. Every file must give a `ModelFileError` or an estimator.
While it loads, nothing may be imported, written, started or unpickled (an audit hook watches), and the memory
that it takes is measured.
"""

from __future__ import annotations

import argparse
import collections
import copy
import hashlib
import io
import json
import random
import resource
import sys
import time
from typing import Any

import numpy as np
import torch
from torch import nn

from sktorch_acc import ModelFileError, TorchClassifier, inspect_model, load_model, save_model
from sktorch_acc.storage.archive import read_entries, write_entries

FORBIDDEN = {
    *("import", "exec", "compile", "pickle.find_class", "marshal.loads", "subprocess.Popen", "os.system", "os.exec"),
    *("os.remove", "os.rename", "os.mkdir", "os.chmod", "os.symlink", "os.truncate", "socket.connect", "ctypes.dlopen"),
}
ODD: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**31,
        2**63,
        10**9,
        10**30,
        0.5,
        -0.0,
        1e308,
        "",
        "x",
        "nan",
        "../../x",
        "a" * 10**5,
    ),
    *([], {}, [[]], [0] * 10**4, {"$name": "os:system"}, {"$name": "torch.nn.Transformer"}, {"$pickle": "gASV"}),
    *({"$tensor": "value.0"}, {"$tensor": "module.layers.0.weight"}, {"$float": "inf"}, {"$tuple": [1, [2]]}),
    *({"$dict": [[1, 2]]}, {"$name": "torch.optim.SGD"}, {"$device": "cuda"}, {"$dtype": "float16"}),
]


class TwoLayers(nn.Module):
    """A user's module."""

    def __init__(self, n_features: int, n_classes: int, hidden: int = 8) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, hidden), nn.ReLU(), nn.Linear(hidden, n_classes))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return self.layers(X)


def originals() -> list[bytes]:
    """Whole files: the bundled module, a user's, one with the state of its optimizer."""
    X = np.random.default_rng(0).standard_normal((60, 4))
    y = np.array(["a", "b", "c"])[np.arange(60) % 3]
    fitted = [
        TorchClassifier(max_epochs=2).fit(X, y),
        TorchClassifier(TwoLayers, module__hidden=5, max_epochs=2, validation_fraction=0.2).fit(X, y),
        TorchClassifier(warm_start=True, max_epochs=2, criterion__weight=torch.ones(3)).fit(X, np.arange(60) % 3),
    ]
    files = []
    for clf in fitted:
        file = io.BytesIO()
        save_model(clf, file, with_optimizer=clf.warm_start)
        files.append(file.getvalue())
    return files


# ------------------------------------------------------------ mutations


def spoil_bytes(data: bytes, chance: random.Random) -> bytes:
    """Flip bits, cut, repeat, or put noise in the place of bytes."""
    spoiled = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 8])):
        at = chance.randrange(len(spoiled)) if spoiled else 0
        stop = at + chance.choice([1, 4, 30, 1000])
        kind = chance.randrange(5)
        if kind == 0 and spoiled:
            spoiled[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del spoiled[at:stop]
        elif kind == 2:
            spoiled[at:at] = spoiled[at:stop]
        elif kind == 3:
            spoiled[at:stop] = chance.randbytes(stop - at)
        else:
            del spoiled[at:]
    return bytes(spoiled)


def spoil_json(value: Any, chance: random.Random) -> Any:
    """Replace, remove or double values of an object."""
    value = copy.deepcopy(value)
    for _ in range(chance.choice([1, 1, 2, 4])):
        places = list(_places(value))
        if not places:
            break
        parent, key = chance.choice(places)
        kind = chance.randrange(4)
        if kind == 0:
            del parent[key]
        elif kind == 1 and isinstance(parent, list):
            parent.insert(key, copy.deepcopy(parent[key]))
        elif kind == 2:
            other, other_key = chance.choice(places)
            parent[key] = copy.deepcopy(other[other_key])
        else:
            parent[key] = copy.deepcopy(chance.choice(ODD))
    return value


def _places(value: Any) -> Any:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield value, key
        yield from _places(child)


def spoil_whole(data: bytes, chance: random.Random) -> bytes:
    """Spoil the manifest, the header of the weights or the weights, and put the checksums right."""
    text, weights = read_entries(io.BytesIO(data))
    manifest = json.loads(text)
    kind = chance.randrange(4)
    if kind <= 1:
        manifest = spoil_json(manifest, chance)
    elif kind == 2:
        length = 8 + int.from_bytes(weights[:8], "little")
        header = json.dumps(spoil_json(json.loads(weights[8:length]), chance)).encode()
        weights = len(header).to_bytes(8, "little") + header + weights[length:]
    else:
        weights = spoil_bytes(weights, chance)
    if isinstance(manifest.get("weights"), dict) and chance.random() < 0.9:
        manifest["weights"].update(size=len(weights), sha256=hashlib.sha256(weights).hexdigest())
    file = io.BytesIO()
    write_entries(file, (json.dumps(manifest).encode(), weights))
    return file.getvalue()


# ------------------------------------------------------------ the run


class Watch:
    """Count what an audit hook sees while it is on."""

    def __init__(self) -> None:
        self.on, self.seen = False, collections.Counter[str]()
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[1], str) and bool(set(arguments[1]) & set("wxa+"))
        if self.on and (event in FORBIDDEN or writes):
            self.seen[f"{event} {arguments[0]!r:.60}"] += 1


def attempt(data: bytes, load: Any, watch: Watch) -> tuple[str, float]:
    """Return what came of a file, and the seconds."""
    start = time.perf_counter()
    watch.on = True
    try:
        load(io.BytesIO(data))
        outcome = "loaded"
    except ModelFileError:
        outcome = "refused"
    except Exception as err:
        outcome = f"OTHER ERROR {type(err).__name__}: {err!s:.80}"
    finally:
        watch.on = False
    return outcome, time.perf_counter() - start


def memory() -> float:
    """Return the largest memory of the process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(n_files: int, seed: int) -> bool:
    """Fuzz, print the figures, and return whether nothing happened that must not."""
    torch.set_num_threads(1)
    chance, watch, files = random.Random(seed), Watch(), originals()

    def load(file: io.BytesIO) -> TorchClassifier:
        return load_model(file, allow=[TwoLayers])

    repr(torch.zeros(2))
    for data in files:  # what torch and numpy import lazily is imported now
        load(io.BytesIO(data))
        inspect_model(io.BytesIO(data))
        attempt(spoil_whole(data, chance), load, watch)
    watch.seen.clear()
    before, modules = memory(), set(sys.modules)
    outcomes: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    slowest, largest, started = 0.0, 0, time.perf_counter()
    for i in range(n_files):
        spoil = (spoil_bytes, spoil_whole)[i % 2]
        whole = data = chance.choice(files)
        while data == whole:  # two changes can undo each other
            data = spoil(whole, chance)
        outcome, seconds = attempt(data, load, watch)
        outcomes[spoil.__name__][outcome] += 1
        outcomes[f"{spoil.__name__}, inspect_model"][attempt(data, inspect_model, watch)[0]] += 1
        slowest, largest = max(slowest, seconds), max(largest, len(data))
    seconds = time.perf_counter() - started
    for name, counted in outcomes.items():
        print(f"{name:<28} {dict(counted)}")
    new = sorted(set(sys.modules) - modules)
    print(f"files {n_files}, largest {largest / 1e3:.0f} kB, {seconds:.1f} s, slowest load {slowest * 1e3:.1f} ms")
    print(f"peak memory before {before:.1f} MB, after {memory():.1f} MB")
    print(f"forbidden events {dict(watch.seen)}, modules imported {new}")
    return not (watch.seen or new or any("OTHER" in outcome for counted in outcomes.values() for outcome in counted))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Load mutated model files, and measure what that costs.")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sys.exit(not run(options.files, options.seed))
