"""Run a module in evaluation and in training mode; the caller restores what that changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sktorch_acc.checks.learning import is_constant
from sktorch_acc.data import Rows
from sktorch_acc.doctor.diagnosis.subject import Refused, Subject
from sktorch_acc.engine.evaluate import each_output
from sktorch_acc.engine.loss import Loss, no_loss_of
from sktorch_acc.engine.steps import norm_layers

Ints = npt.NDArray[np.int64]
Modes = list[tuple[nn.Module, bool]]  # of every layer

_GRADIENT_ROWS = 64
_SOME_ROWS = 256


def spaced(targets: Ints, most: int) -> Ints:
    """Return the positions of at most `most` samples with a known label, evenly spaced."""
    known = np.flatnonzero(targets >= 0)
    return known[np.linspace(0, len(known) - 1, min(most, len(known))).astype(np.int64)]


def first_output(subject: Subject, n_samples: int) -> Any:
    """Return the output for the first samples in evaluation mode.

    Raises
    ------
    Refused
        If it cannot be compared with y.
    """
    if subject.unsettled is not None:
        raise Refused(subject.unsettled)
    subject.module.eval()
    with torch.no_grad():
        return subject.module(subject.rows.chunk(0, n_samples))


def single_output(subject: Subject, sample: torch.Tensor) -> Any:
    """Return the output for a single sample in evaluation mode; None if the module refuses it."""
    subject.module.eval()
    try:
        with torch.no_grad():
            return subject.module(sample.clone())
    except Exception:  # some modules need several samples in evaluation mode too
        return None


def _all_outputs(module: nn.Module, rows: Rows) -> torch.Tensor:
    """Return the outputs for all samples in the current mode, in the chunks of `predict`."""
    parts: list[torch.Tensor] = []
    each_output(module, rows, lambda start, stop, output: parts.append(output.clone()), keep_mode=True)
    return torch.cat(parts)


def evaluate(module: nn.Module, rows: Rows) -> tuple[torch.Tensor, list[tuple[str, float]]]:
    """Return the outputs for all samples in evaluation mode, and what share of each ReLU layer is 0 for all of them."""
    module.eval()
    with _monitored_relus(module) as active:
        output = _all_outputs(module, rows)
    return output, [(name, 1 - float(units.double().mean())) for name, units in active.items()]


def spread_and_size(output: torch.Tensor) -> tuple[float, float]:
    """Return the largest difference between samples in one column, and the largest magnitude of a finite output.

    A column that is -inf for every sample is masked, and has no differences.
    """
    flat = output.reshape(len(output), -1).double()
    low, high = flat.amin(dim=0), flat.amax(dim=0)
    spread = torch.where(low == high, 0.0, high - low)
    finite = flat[torch.isfinite(flat)].abs()
    return float(spread.max()), float(finite.amax()) if len(finite) else np.inf


def n_different(rows: Rows) -> int:
    """Return the number of different samples among some that are evenly spaced."""
    return len(torch.unique(_some(rows).flatten(1).cpu(), dim=0))


def can_differ(module: nn.Module, rows: Rows) -> bool:
    """Whether one gradient step makes outputs differ that are the same for all samples.

    So it is for a last layer that was initialized with zeros, but not for dead units, through which no gradient passes.
    The loss is a random combination of the outputs, as the criterion may be unknown. The parameters are not changed.
    """
    if isinstance(module, torch.jit.ScriptModule):  # its parameters cannot be replaced
        return False
    module.eval()
    x = _some(rows)
    names, parameters = zip(*((name, p) for name, p in module.named_parameters() if p.requires_grad), strict=True)
    output = module(x.clone())
    if not output.requires_grad:
        return False
    pull = torch.randn(output.shape, generator=torch.Generator().manual_seed(0)).to(output)
    gradients = torch.autograd.grad((output * pull).sum(), parameters, allow_unused=True)
    moved = {
        name: p.detach() if g is None else p.detach() + 0.01 * g / g.abs().max().clamp(min=1e-30)
        for name, p, g in zip(names, parameters, gradients, strict=True)
    }
    with torch.no_grad():
        spread, size = spread_and_size(torch.func.functional_call(module, moved, (x.clone(),)))
    return not is_constant(spread, size)


def _some(rows: Rows) -> torch.Tensor:
    where = torch.linspace(0, len(rows) - 1, min(_SOME_ROWS, len(rows)), dtype=torch.float64).long()
    return rows.gather(where.to(rows.index_device))


@contextmanager
def _monitored_relus(module: nn.Module) -> Iterator[dict[str, torch.Tensor]]:
    """Record which units of the ReLU layers are above 0 for any sample in the body."""
    active: dict[str, torch.Tensor] = {}

    def hook_of(name: str) -> Any:
        def note(_: nn.Module, __: Any, output: torch.Tensor) -> None:
            if output.ndim < 2:
                return
            rows = output.movedim(1, -1).reshape(-1, output.shape[1])
            now = (rows > 0).any(dim=0)
            earlier = active.get(name)
            active[name] = now if earlier is None or earlier.shape != now.shape else earlier | now

        return note

    layers = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, (nn.ReLU, nn.ReLU6))]
    with ExitStack() as handles:
        for name, layer in layers:
            handles.enter_context(layer.register_forward_hook(hook_of(name)))
        yield active


def classes_as_it_is(subject: Subject, modes: Modes, rows: Rows) -> Ints:
    """Return predictions with every layer in its original mode."""
    for layer, training in modes:
        layer.training = training
    return _classes(subject, _all_outputs(subject.module, rows))


def classes_with_batch_statistics(subject: Subject, rows: Rows, targets: Ints) -> tuple[Ints, Ints] | None:
    """Return predictions with only batch norm in training mode, and the targets in their order.

    None if there is no batch norm that has seen a batch. Batches are as large as in training and drawn in
    random order, as a batch of one class would have the statistics of that class.
    """
    layers = [layer for layer in norm_layers(subject.module) if _has_seen(layer)]
    size = min(subject.batch_size, len(rows))
    if not layers or size < 2:
        return None
    subject.module.eval()
    for layer in layers:
        layer.train()
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    whole = order[: len(rows) // size * size]
    with torch.no_grad():
        parts = [subject.module(rows.gather(part.to(rows.index_device))).clone() for part in whole.split(size)]
    return _classes(subject, torch.cat(parts)), targets[whole.numpy()]


def _has_seen(layer: nn.Module) -> bool:
    seen: Any = getattr(layer, "num_batches_tracked", None)
    return seen is not None and int(seen) > 0


def fails_on_one_row(subject: Subject) -> bool:
    """Whether the module fails on one sample in training mode, as batch norm does with a ValueError."""
    subject.module.train()
    try:
        with torch.no_grad():
            subject.module(subject.rows.chunk(0, 1))
    except ValueError:
        return bool(norm_layers(subject.module))
    return False


def counted(subject: Subject, targets: Ints) -> Ints:
    """Return the positions of the samples that the criterion counts; of all, if it counts none."""
    if subject.criterion is None:
        return np.arange(len(targets))
    output = torch.zeros((1, 1 if subject.spec.one_column else subject.spec.n_classes), dtype=torch.float64)
    loss = Loss.for_output(subject.criterion, subject.spec, output, weighted=False)
    device = subject.rows.device
    counts = loss.counted(torch.from_numpy(targets).to(device)).cpu().numpy()
    if not loss.additive:  # a criterion of one's own does not say which classes it ignores
        alone = {c: torch.full((2,), c, device=device) for c in np.unique(targets).tolist()}
        without = [c for c, indices in alone.items() if no_loss_of(loss, subject.spec, indices)]
        counts &= ~np.isin(targets, without)
    positions = np.flatnonzero(counts)
    return positions if len(positions) else np.arange(len(targets))


def loss_and_gradients(subject: Subject, rows: Rows, targets: Ints) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Return output and loss of a small batch in training mode, and the parameters without a gradient.

    ``.grad`` is not touched.
    """
    assert subject.criterion is not None
    subject.module.train()
    chosen = counted(subject, targets)[:_GRADIENT_ROWS]
    output = subject.module(rows.take(chosen).chunk(0, len(chosen)))
    loss_of = Loss.for_output(subject.criterion, subject.spec, output, weighted=False)
    indices = torch.from_numpy(targets[chosen]).to(subject.rows.device)
    loss = loss_of(output, loss_of.targets(indices))
    trained = [(name, p) for name, p in subject.module.named_parameters() if p.requires_grad]
    if not output.requires_grad or not isinstance(loss, torch.Tensor) or loss.ndim:
        return output, loss, []
    grads = torch.autograd.grad(loss, [p for _, p in trained], allow_unused=True)
    return output, loss, [name for (name, _), grad in zip(trained, grads, strict=True) if grad is None]


def _classes(subject: Subject, output: torch.Tensor) -> Ints:
    return subject.spec.classes(output).cpu().numpy()
