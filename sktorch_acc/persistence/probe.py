"""The outputs for a few made-up rows, stored with a model: what is loaded must give them again.

The rows follow from the feature schema alone, never from the data of a fit. The module runs on the CPU.
"""

from __future__ import annotations

import hashlib
import math
import platform
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from sktorch_acc._global_state import available_threads, isolated, thread_limit
from sktorch_acc.data import DenseRows, FeatureSchema
from sktorch_acc.engine.copying import double
from sktorch_acc.engine.differences import difference_of, largest_of
from sktorch_acc.engine.evaluate import each_output
from sktorch_acc.engine.interrupts import Interrupts
from sktorch_acc.engine.model import Model
from sktorch_acc.engine.untouched import untouched
from sktorch_acc.exceptions import ModelFileError, warn
from sktorch_acc.storage.tensors import Tensors

PROBE_SPEC = {"values": "text", "rows": "count", "environment": "text or null"}
OUTPUT = "probe.output"
_CPU = torch.device("cpu")
_MOST_ROWS = 8
_MOST_VALUES = 2**20  # in all rows
_SEED = 0
# Lowest and highest value, in units of 1/32 for floats: exact in every dtype. The first that the module takes are used.
_FLOATS = {"signed": (-128, 128), "positive": (0, 128), "unit": (0, 32)}
_INTEGERS = {"tokens": (0, 16), "flags": (0, 2)}
_UNITS = 32
_ROUNDING = 100  # in eps of the dtype, times the largest output
_OTHER = 0.01  # of the largest output: another module


def probe_of(model: Model) -> tuple[dict[str, Any], torch.Tensor] | None:
    """Return the entry of the manifest and the outputs of a model; None if there are none that could be compared.

    That is so if the module fails on such rows, or gives other outputs at every call. The module and the generators
    are left as they are.
    """
    with _to_run(model.module) as module:
        for values in _ranges(model.schema):
            n_rows = min(_MOST_ROWS, _MOST_VALUES // _elements(model.schema))
            entry = {"values": values, "rows": n_rows, "environment": _environment(model)}
            output = outputs_of(module, model, entry) if n_rows else None
            if output is not None:
                return entry, output
    return None


@contextmanager
def _to_run(module: nn.Module) -> Iterator[nn.Module]:
    """Yield a copy of a module on the CPU; a module that cannot be copied is restored after it has run."""
    copy, may_share = double(module)
    with untouched(module) if may_share else nullcontext():
        yield copy if copy is module else copy.to(_CPU)  # elsewhere than on the CPU it will fail


def outputs_of(module: nn.Module, model: Model, entry: Mapping[str, Any]) -> torch.Tensor | None:
    """Return the outputs of a module on the CPU for the rows of an entry; None if they cannot be compared."""
    try:
        # One context for both runs: restoring the generators in between would repeat what is random.
        with (
            Interrupts().watching() as interrupts,
            isolated(_CPU),
            thread_limit(_threads(model)),
            warnings.catch_warnings(),
            interrupts.interruptible(),
        ):
            warnings.simplefilter("ignore")  # of values that no data would have
            first, second = (_run(module, model, entry) for _ in range(2))
    except Exception:
        return None
    return first if _usable(first) and torch.equal(first, second) else None


def _usable(output: torch.Tensor) -> bool:
    """Whether outputs are numbers that can be compared, or -inf, which masks a class."""
    return output.is_floating_point() and bool((output < math.inf).all())


def check_outputs(model: Model, entry: Mapping[str, Any], tensors: Tensors, name: str) -> None:
    """Compare the outputs of a loaded model with those stored; `name` is that of its module, for messages.

    Raises
    ------
    ModelFileError
        If they are those of another module, or the entry is invalid.
    """
    stored = _stored(model.schema, entry, tensors)
    with _to_run(model.module) as module:
        output = outputs_of(module, model, entry)
    if output is None or output.shape != stored.shape:
        raise ModelFileError(
            f"The module is not the one that was saved: for the rows whose outputs are in the file, {name} fails or "
            f"returns something that cannot be compared with them. {_ADVICE}"
        )
    difference, largest = distance(output, stored)
    rounding = rounding_of(output, stored)
    allowed = 0.0 if entry["environment"] == _environment(model) else rounding
    if difference <= allowed:
        return
    how = f"the outputs of {name} differ by {difference:.3g} from those saved, of which the largest is {largest:.3g}"
    if difference > max(_OTHER * largest, rounding):
        raise ModelFileError(f"The module is not the one that was saved: {how}. {_ADVICE}")
    warn(f"The module may not be the one that was saved: {how}. That is more than rounding. {_ADVICE}")


_ADVICE = (
    "Pass load_model the class or factory that was trained, with the same code, or an instance that was made with the "
    "same arguments."
)


def distance(output: torch.Tensor, stored: torch.Tensor) -> tuple[float, float]:
    """Return the largest difference between two outputs of one shape, and the largest finite magnitude."""
    kept = stored.to(torch.float64)
    return difference_of(output.to(torch.float64), kept), largest_of(kept)


def rounding_of(output: torch.Tensor, stored: torch.Tensor) -> float:
    """Return the largest difference that rounding explains."""
    eps = max(torch.finfo(tensor.dtype).eps for tensor in (output, stored))
    return _ROUNDING * eps * distance(output, stored)[1]


def _stored(schema: FeatureSchema, entry: Mapping[str, Any], tensors: Tensors) -> torch.Tensor:
    stored = tensors.get(OUTPUT)
    n_rows, known = entry["rows"], entry["values"] in _ranges(schema)
    fits = known and 0 < n_rows <= _MOST_ROWS and n_rows * _elements(schema) <= _MOST_VALUES
    if stored is None or not (fits and _usable(stored)):
        raise ModelFileError(f"manifest.json: the probe {dict(entry)!r:.80} does not fit the schema or its outputs.")
    return stored


def _ranges(schema: FeatureSchema) -> dict[str, tuple[int, int]]:
    return _INTEGERS if schema.integers else _FLOATS


def _elements(schema: FeatureSchema) -> int:
    return max(1, math.prod(schema.row_shape))


def _run(module: nn.Module, model: Model, entry: Mapping[str, Any]) -> torch.Tensor:
    """Return the outputs in evaluation mode, as `predict` computes them on the CPU."""
    outputs: list[torch.Tensor] = []
    rows = _rows(model, entry)
    each_output(module, rows, lambda start, stop, output: outputs.append(output.clone()))
    return torch.cat(outputs)


def _rows(model: Model, entry: Mapping[str, Any]) -> DenseRows:
    schema = model.schema
    low, high = _ranges(schema)[entry["values"]]
    # numpy promises that this generator stays as it is.
    drawn = np.random.RandomState(_SEED).randint(low, high, size=(entry["rows"], *schema.row_shape))
    if schema.integers:
        return DenseRows(torch.from_numpy(drawn), torch.int64, _CPU)
    return DenseRows(torch.from_numpy(drawn / _UNITS), model.dtype, _CPU)


def _threads(model: Model) -> int:
    return min(model.n_threads, available_threads())


def _environment(model: Model) -> str:
    """Return a digest of what decides how a result is rounded: the machine, torch, the number of threads."""
    facts = (
        torch.__version__,
        platform.machine(),
        platform.node(),
        torch.backends.cpu.get_cpu_capability(),
        torch.get_float32_matmul_precision(),
        torch.backends.mkldnn.enabled,
        torch.are_deterministic_algorithms_enabled(),
        _threads(model),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
