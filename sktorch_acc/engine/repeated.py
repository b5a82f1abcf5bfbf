"""Run a module again on samples that it has seen, to learn whether an output depends on its sample alone.

A sample alone, or a part of the batch, costs one small pass. Only where its outputs differ from those of the batch, or
random numbers were drawn, more passes tell apart random outputs, samples that influence each other, layers that the
first call initialises, and rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from sktorch_acc.checks.independence import check_parts, check_repeated, tolerance, tolerance_repeated
from sktorch_acc.engine.differences import difference_of, largest_of
from sktorch_acc.engine.untouched import untouched
from sktorch_acc.findings import Finding

_MOST_SAMPLES = 32
_PART = 16
_SHARE = 8  # the part is an eighth of the batch at most
_DRAWS = 3  # of roundings
_PASSES = 8  # over all that was compared, before samples are said to influence each other
_PASSES_DRAWN = 16  # where random numbers were drawn, which may have no influence
_PASSES_RANDOM = 64  # where they were drawn and the outputs differ: a layer may be left out once in ten passes
_NOTICED = 0.05  # of the largest output


def spread(values: torch.Tensor) -> torch.Tensor:
    """Return a view of at most 32 samples of a batch, evenly spaced: the first ones may all be equal."""
    return values[:: max(1, len(values) // _MOST_SAMPLES)][:_MOST_SAMPLES]


@dataclass(frozen=True, eq=False)
class Seen:
    """A batch, and what a module returned in evaluation mode for it.

    Parameters
    ----------
    batch : Tensor of shape (n, ...)
        The samples.
    outputs : Tensor of shape (m, ...)
        The outputs of those samples that `spread` returns.
    """

    batch: torch.Tensor
    outputs: torch.Tensor


def comparable(outputs: torch.Tensor) -> bool:
    """Whether outputs of different samples differ: those of a head that is still zero do not."""
    return len(outputs) > 1 and not bool((outputs == outputs[:1]).all())


def seen_by(module: nn.Module, batch: torch.Tensor) -> Seen | None:
    """Run the batch; None if the outputs cannot be compared."""
    outputs = _outputs(module, batch)
    return None if outputs is None else Seen(batch, outputs)


Parts = list[tuple[int, torch.Tensor]]  # position of the first sample among those of `spread`, and outputs


def check_samples(
    module: nn.Module,
    seen: Seen,
    alone: Parts | None = None,
    *,
    drawn: bool = False,
    quick: bool = False,
    thorough: bool = False,
) -> Finding | None:
    """Return what is found when some samples are run again: E11, B4 or None.

    The module is in evaluation mode, and is left in the state in which the passes leave it.

    Parameters
    ----------
    module : nn.Module
        The module.
    seen : Seen
        A batch that it has seen.
    alone : list of (int, Tensor of shape (1, ...)) or None, default=None
        What the module returned for single samples, if it takes them.
    drawn : bool, default=False
        Whether the module drew random numbers. Passes are then repeated until outputs differ, or have been equal often.
    quick : bool, default=False
        Whether samples alone are enough, where they can be compared: a pass takes longer than all comparisons.
    thorough : bool, default=False
        Whether to compare the samples at both ends, which are all of 32 at most, instead of some in the middle.
    """
    if len(seen.batch) < 2:
        return None
    parts = alone or []
    differences = _differences(parts, seen.outputs)
    # Of few samples, one may well be the largest, which is what it is alone too.
    if not (quick and differences and len(seen.outputs) == _MOST_SAMPLES):
        more = _ends(module, seen) if thorough else _part(module, seen)
        parts, differences = [*parts, *more], [*differences, *_differences(more, seen.outputs)]
    odd = max(differences, default=0.0) > _noticed(_eps(seen.outputs.dtype), largest_of(seen.outputs))
    if not (odd or drawn):
        return None
    n_passes = _PASSES if not drawn else _PASSES_RANDOM if odd else _PASSES_DRAWN
    places = [(at, len(part)) for at, part in (parts if odd else parts[:1])]
    return _explained(module, seen, places, n_passes)


def _part(module: nn.Module, seen: Seen) -> Parts:
    """Return outputs of the samples in the middle: of those before and after them, none is in the smaller batch."""
    n_samples = len(seen.outputs)
    size = _even(min(_PART, n_samples // 2, max(2, len(seen.batch) // _SHARE)))
    return _run_parts(module, seen, [((n_samples - size + 1) // 2, size)])


def _ends(module: nn.Module, seen: Seen) -> Parts:
    """Return outputs of the samples at both ends: what is left out of a full batch may be so in one place only."""
    n_samples = len(seen.outputs)
    size = _even(min(_PART, n_samples // 2))
    return _run_parts(module, seen, [(0, size), (n_samples - size, size)])


def _even(size: int) -> int:
    """Return a number of samples that is even, if it is above 1: some modules need pairs."""
    return size - size % 2 if size > 1 else size


Places = list[tuple[int, int]]  # position of the first sample of a part among those of `spread`, and its size


def _run_parts(module: nn.Module, seen: Seen, places: Places) -> Parts:
    """Return the outputs of those parts that the module takes."""
    samples = spread(seen.batch)
    found = [(start, _attempt(module, samples[start : start + size])) for start, size in places]
    return [(start, part.clone()) for start, part in found if part is not None]


def _explained(module: nn.Module, seen: Seen, places: Places, n_passes: int) -> Finding | None:
    """Tell apart why outputs of the parts differ from those of the batch; what is random is found first."""
    module.eval()  # a layer that the first pass made is in training mode
    eps, who = _coarsest(module, seen), type(module).__name__
    runs = _runs(module, seen, places)
    first = next(runs, None)  # not what was seen: the first call may have initialised something
    if first is None:
        return None
    outputs, parts = first
    largest = largest_of(outputs)
    allowed = tolerance_repeated(eps, largest)
    for _, run in zip(range(n_passes), runs, strict=False):
        random = check_repeated(_change(first, run), allowed, who)
        if random is not None:
            return random
    difference = max(_differences(parts, outputs), default=0.0)
    allowed = tolerance(eps, largest)
    if not difference > allowed:
        return None
    return check_parts(difference, allowed, _noise(module, seen.batch, outputs), largest, who)


Run = tuple[torch.Tensor, Parts]  # outputs of the batch, and of the parts


def _runs(module: nn.Module, seen: Seen, places: Places) -> Iterator[Run]:
    """Run the batch and the parts again and again, as long as the module takes the batch."""
    while (outputs := _outputs(module, seen.batch)) is not None:
        yield outputs, _run_parts(module, seen, places)


def _change(run: Run, other: Run) -> float:
    """Return the largest difference between two runs."""
    again = {(at, len(part)): part for at, part in other[1]}
    same = [(part, again.get((at, len(part)))) for at, part in run[1]]
    changes = [difference_of(one, two) for one, two in same if two is not None]
    return max([difference_of(run[0], other[0]), *changes], key=lambda change: -1.0 if math.isnan(change) else change)


def _noticed(eps: float, largest: float) -> float:
    """Return the difference from which more passes are worth it.

    Coarse dtypes allow differences as large as the outputs, which may come from a random module.
    """
    return min(tolerance(eps, largest), max(tolerance_repeated(eps, largest), _NOTICED * largest))


# ------------------------------------------------------------ passes


def _attempt(module: nn.Module, samples: torch.Tensor) -> torch.Tensor | None:
    """Return the output for samples; None if the module refuses them or returns no row for each."""
    try:
        with torch.no_grad():
            output = module(samples.clone())
    except Exception:  # a single sample, an odd number, another size than that of the batch
        return None
    fits = isinstance(output, torch.Tensor) and output.ndim > 0 and len(output) == len(samples)
    return output.detach() if fits and output.is_floating_point() else None


def _outputs(module: nn.Module, batch: torch.Tensor) -> torch.Tensor | None:
    """Return the outputs of a whole batch for its spread samples."""
    output = _attempt(module, batch)
    return None if output is None else spread(output).clone()


def _noise(module: nn.Module, batch: torch.Tensor, outputs: torch.Tensor) -> float:
    """Return how much outputs change when every input and weight changes by one rounding; inf if unknown.

    Large intermediate values that cancel and decisions inside of a module (argmax, rounding) turn the roundings of a
    batch of another size into large differences, too.
    """
    generator = torch.Generator().manual_seed(0)
    largest = 0.0
    try:
        for _ in range(_DRAWS):
            with untouched(module), torch.no_grad():
                for tensor in [*module.parameters(), *module.buffers()]:
                    tensor.copy_(_rounded(tensor, generator))
                changed = _outputs(module, _rounded(batch, generator))
            change = math.inf if changed is None else difference_of(changed, outputs)
            largest = max(largest, math.inf if math.isnan(change) else change)
    except Exception:  # tensors that cannot be written to
        return math.inf
    return largest


def _rounded(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return values that differ by one rounding, up or down at random; integers as they are."""
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return tensor
    signs = torch.empty(tensor.shape).bernoulli_(generator=generator).mul_(2).sub_(1).to(tensor.device)
    rounded = (tensor + tensor * (signs * torch.finfo(tensor.dtype).eps)).to(tensor.dtype)
    return torch.where(torch.isfinite(rounded), rounded, tensor)  # masks hold -inf


def _coarsest(module: nn.Module, seen: Seen) -> float:
    """Return the rounding of the coarsest dtype in which the module computes: autocast may be inside of it."""
    dtypes = _Dtypes()
    with dtypes:
        _outputs(module, seen.batch)
    return max(dtypes.eps, _eps(seen.outputs.dtype), _eps_of_products(seen.outputs))


class _Dtypes(TorchDispatchMode):
    """Note the coarsest dtype in which operations in the body compute."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.eps = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                self.eps = max(self.eps, _eps(value.dtype))
        return result


def _eps(dtype: torch.dtype) -> float:
    return float(torch.finfo(dtype).eps)


def _eps_of_products(outputs: torch.Tensor) -> float:
    """Return the rounding of matrix products in float32: some devices and settings compute them in coarser dtypes."""
    precision = torch.get_float32_matmul_precision()
    if precision == "medium":
        return _eps(torch.bfloat16)
    return 2.0**-10 if precision == "high" or outputs.device.type != "cpu" else 0.0


# ------------------------------------------------------------ differences


def _differences(parts: Parts, outputs: torch.Tensor) -> list[float]:
    """Return the largest difference of each part, where it can be compared."""
    alike = [
        (part, outputs[at : at + len(part)])
        for at, part in parts
        if part.shape[1:] == outputs.shape[1:] and part.dtype == outputs.dtype
    ]
    found = [difference_of(part, whole) for part, whole in alike]
    return [difference for difference in found if not math.isnan(difference)]
