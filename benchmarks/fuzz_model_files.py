"""Load mutated model files, and measure time and memory.

    python benchmarks/fuzz_model_files.py --files 10000 --seed 0

Half of the mutations change bytes; the other half change the manifest or the header of the weights and correct the
checksums, as an attacker would. Every file must give a `ModelFileError` or an estimator. An audit hook records whether
anything is imported, written, started or unpickled while a file is loaded; nothing may be.
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
    """Return valid files: of the bundled module, of a user's module, and with the state of the optimizer."""
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


def mutate_bytes(data: bytes, chance: random.Random) -> bytes:
    """Flip, remove, repeat or randomise bytes."""
    mutated = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 8])):
        at = chance.randrange(len(mutated)) if mutated else 0
        stop = at + chance.choice([1, 4, 30, 1000])
        kind = chance.randrange(5)
        if kind == 0 and mutated:
            mutated[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del mutated[at:stop]
        elif kind == 2:
            mutated[at:at] = mutated[at:stop]
        elif kind == 3:
            mutated[at:stop] = chance.randbytes(stop - at)
        else:
            del mutated[at:]
    return bytes(mutated)


def mutate_json(value: Any, chance: random.Random) -> Any:
    """Replace, remove or repeat values of an object."""
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


def mutate_content(data: bytes, chance: random.Random) -> bytes:
    """Mutate the manifest, the header of the weights or the weights, and correct the checksums."""
    text, weights = read_entries(io.BytesIO(data))
    manifest = json.loads(text)
    kind = chance.randrange(4)
    if kind <= 1:
        manifest = mutate_json(manifest, chance)
    elif kind == 2:
        length = 8 + int.from_bytes(weights[:8], "little")
        header = json.dumps(mutate_json(json.loads(weights[8:length]), chance)).encode()
        weights = len(header).to_bytes(8, "little") + header + weights[length:]
    else:
        weights = mutate_bytes(weights, chance)
    if isinstance(manifest.get("weights"), dict) and chance.random() < 0.9:
        manifest["weights"].update(size=len(weights), sha256=hashlib.sha256(weights).hexdigest())
    file = io.BytesIO()
    write_entries(file, (json.dumps(manifest).encode(), weights))
    return file.getvalue()


# ------------------------------------------------------------ the run


class AuditHook:
    """Count forbidden audit events while `on` is true."""

    def __init__(self) -> None:
        self.on, self.seen = False, collections.Counter[str]()
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(arguments[1], str) and bool(set(arguments[1]) & set("wxa+"))
        if self.on and (event in FORBIDDEN or writes):
            self.seen[f"{event} {arguments[0]!r:.60}"] += 1


def attempt(data: bytes, load: Any, hook: AuditHook) -> tuple[str, float]:
    """Load a file; return the outcome and the seconds."""
    start = time.perf_counter()
    hook.on = True
    try:
        load(io.BytesIO(data))
        outcome = "loaded"
    except ModelFileError:
        outcome = "refused"
    except Exception as err:
        outcome = f"OTHER ERROR {type(err).__name__}: {err!s:.80}"
    finally:
        hook.on = False
    return outcome, time.perf_counter() - start


def memory() -> float:
    """Return the peak memory of the process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(n_files: int, seed: int) -> bool:
    """Load mutated files, print the results, and return whether no file caused a forbidden event or another error."""
    torch.set_num_threads(1)
    chance, hook, files = random.Random(seed), AuditHook(), originals()

    def load(file: io.BytesIO) -> TorchClassifier:
        return load_model(file, allow=[TwoLayers])

    repr(torch.zeros(2))
    for data in files:  # runs the lazy imports of torch and numpy
        load(io.BytesIO(data))
        inspect_model(io.BytesIO(data))
        attempt(mutate_content(data, chance), load, hook)
    hook.seen.clear()
    before, modules = memory(), set(sys.modules)
    outcomes: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    slowest, largest, started = 0.0, 0, time.perf_counter()
    for i in range(n_files):
        mutate = (mutate_bytes, mutate_content)[i % 2]
        whole = data = chance.choice(files)
        while data == whole:  # mutations can cancel out
            data = mutate(whole, chance)
        outcome, seconds = attempt(data, load, hook)
        outcomes[mutate.__name__][outcome] += 1
        outcomes[f"{mutate.__name__}, inspect_model"][attempt(data, inspect_model, hook)[0]] += 1
        slowest, largest = max(slowest, seconds), max(largest, len(data))
    seconds = time.perf_counter() - started
    for name, counted in outcomes.items():
        print(f"{name:<28} {dict(counted)}")
    new = sorted(set(sys.modules) - modules)
    print(f"files {n_files}, largest {largest / 1e3:.0f} kB, {seconds:.1f} s, slowest load {slowest * 1e3:.1f} ms")
    print(f"peak memory before {before:.1f} MB, after {memory():.1f} MB")
    print(f"forbidden events {dict(hook.seen)}, modules imported {new}")
    return not (hook.seen or new or any("OTHER" in outcome for counted in outcomes.values() for outcome in counted))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Load mutated model files, and measure time and memory.")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sys.exit(not run(options.files, options.seed))
