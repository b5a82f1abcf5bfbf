"""Run a module in evaluation and in training mode; the caller restores what that changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sktorch_acc.data import Rows
from sktorch_acc.doctor.diagnosis.subject import Subject
from sktorch_acc.engine.evaluate import each_output
from sktorch_acc.engine.loss import Loss
from sktorch_acc.engine.steps import norm_layers

__all__ = [
    "Evaluated",
    "all_outputs",
    "classes_as_it_is",
    "classes_with_batch_statistics",
    "evaluate",
    "fails_on_one_row",
    "loss_and_gradients",
    "sampled",
]

Ints = npt.NDArray[np.int64]

MOST_ROWS = 10_000
_GRADIENT_ROWS = 64


def sampled(rows: Rows, targets: Ints) -> tuple[Rows, Ints]:
    """Return at most 10,000 samples, evenly spaced, and their targets."""
    if len(rows) <= MOST_ROWS:
        return rows, targets
    chosen = np.linspace(0, len(rows) - 1, MOST_ROWS).astype(np.int64)
    return rows.take(chosen), targets[chosen]


@dataclass
class Evaluated:
    """What a module returned in evaluation mode.

    Parameters
    ----------
    output : Tensor of shape (n_samples, ...)
        For all samples.
    bad_rows : int
        Samples with NaN or infinity (-inf is a valid log-probability).
    spread, size : float
        Largest difference between samples in one column, and largest magnitude.
    dead : list of (str, float)
        ReLU layers, and the share of their units that are 0 for every sample.
    """

    output: torch.Tensor
    bad_rows: int
    spread: float
    size: float
    dead: list[tuple[str, float]]


def all_outputs(module: nn.Module, rows: Rows) -> torch.Tensor:
    """Return the outputs for all samples in the current mode, in the chunks of `predict`."""
    parts: list[torch.Tensor] = []
    each_output(module, rows, lambda start, stop, output: parts.append(output.detach()), keep_mode=True)
    return torch.cat(parts)


def evaluate(module: nn.Module, rows: Rows) -> Evaluated:
    """Run all samples in evaluation mode and monitor the ReLU layers."""
    module.eval()
    with _monitored_relus(module) as active:
        output = all_outputs(module, rows)
    flat = output.reshape(len(output), -1).double()
    bad = ~(torch.isfinite(flat) | torch.isneginf(flat)).all(dim=1)
    good = flat[torch.isfinite(flat).all(dim=1)]
    spread = float((good.amax(dim=0) - good.amin(dim=0)).max()) if len(good) else np.inf
    dead = [(name, 1 - float(units.double().mean())) for name, units in active.items()]
    return Evaluated(output, int(bad.sum()), spread, float(good.abs().max()) if len(good) else np.inf, dead)


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
    handles = [layer.register_forward_hook(hook_of(name)) for name, layer in layers]
    try:
        yield active
    finally:
        for handle in handles:
            handle.remove()


def classes_as_it_is(subject: Subject, modes: list[tuple[nn.Module, bool]], rows: Rows) -> Ints:
    """Return predictions with every layer in its original mode."""
    for layer, training in modes:
        layer.training = training
    return _classes(subject, all_outputs(subject.module, rows))


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
        parts = [subject.module(rows.gather(part.to(rows.index_device))).detach() for part in whole.split(size)]
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


def loss_and_gradients(subject: Subject, rows: Rows, targets: Ints) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Return output and loss of a small batch in training mode, and the parameters without a gradient.

    ``.grad`` is not touched.
    """
    assert subject.criterion is not None
    subject.module.train()
    n_rows = min(_GRADIENT_ROWS, len(rows))
    output = subject.module(rows.chunk(0, n_rows))
    loss_of = Loss.for_output(subject.criterion, subject.spec, output, weighted=False)
    indices = torch.from_numpy(targets[:n_rows]).to(subject.device)
    loss = loss_of.plain(output, loss_of.targets(indices))
    trained = [(name, p) for name, p in subject.module.named_parameters() if p.requires_grad]
    if not output.requires_grad or not isinstance(loss, torch.Tensor) or loss.ndim:
        return output, loss, []
    grads = torch.autograd.grad(loss, [p for _, p in trained], allow_unused=True)
    return output, loss, [name for (name, _), grad in zip(trained, grads, strict=True) if grad is None]


def _classes(subject: Subject, output: torch.Tensor) -> Ints:
    return subject.spec.classes(output).cpu().numpy()
