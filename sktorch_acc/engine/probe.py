"""The probe before epoch 1: one batch through the module, in both modes, and the checks on what came."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from sktorch_acc.checks.outputs import (
    LossFacts,
    OutputFacts,
    check_gradients,
    check_is_tensor,
    check_loss,
    check_parameters,
    check_rows,
    output_findings,
)
from sktorch_acc.data import batch_sizes
from sktorch_acc.engine.copying import copied
from sktorch_acc.engine.loss import Loss
from sktorch_acc.engine.steps import TrainingRows, norm_layers
from sktorch_acc.exceptions import ModuleOutputError, warn
from sktorch_acc.findings import Finding
from sktorch_acc.outputs import OutputSpec

__all__ = ["Probe", "probe", "refuse_untrainable"]


@dataclass
class Probe:
    """What the probe learned.

    Parameters
    ----------
    columns : int
        Values of output per row.
    row_operations : float
        Multiply-adds of a forward pass, per row.
    eval_layers : list of nn.Module
        Batch-norm layers to keep in evaluation mode, because every batch is one row.
    """

    columns: int
    row_operations: float
    eval_layers: list[nn.Module] = field(default_factory=list)


def probe(module: nn.Module, objective: Loss, spec: OutputSpec, data: TrainingRows) -> Probe:
    """Run the module on the first batch, without leaving a trace in it, and refuse what cannot be right.

    The generators may move: every epoch seeds them anew.

    Raises
    ------
    ModuleOutputError
        With the catalogue code of the first finding.
    """
    n_rows = batch_sizes(len(data.rows), data.batch_size)[0]
    batch = data.rows.chunk(0, n_rows)
    subject = _double(module)
    with _kept_buffers(module) if _share(module, subject) else nullcontext():
        subject.eval()
        with torch.no_grad(), _counted(subject, n_rows) as operations:
            output = _forward(subject, batch.clone())
        _refuse(_facts(subject, objective, spec, output, n_rows, "evaluation"))
        objective.observe(output)
        _refuse_lost_row(subject, objective, spec, batch)
        subject.train()
        output, without_norms = _training_forward(subject, batch)
        _refuse(_facts(subject, objective, spec, output, n_rows, "training"))
        _raise(check_gradients(subject, output))
        loss = _loss(objective, output, _targets(objective, data, n_rows))
        _raise(check_loss(LossFacts(loss, type(objective.criterion).__name__, spec.kind)))
    return Probe(max(1, output.numel() // n_rows), operations[0], norm_layers(module) if without_norms else [])


def _double(module: nn.Module) -> nn.Module:
    """Return a copy to run, so that no flag or statistic that a forward pass leaves stays behind.

    A module that cannot be copied runs itself; then its buffers at least are put back.
    """
    try:
        return copied(module)
    except Exception:
        return module


def _share(module: nn.Module, other: nn.Module) -> bool:
    """Whether a part of one is a part of the other too: a module may copy itself as it likes."""
    parts = {*map(id, module.modules()), *map(id, module.buffers())}
    return not parts.isdisjoint({*map(id, other.modules()), *map(id, other.buffers())})


def _targets(objective: Loss, data: TrainingRows, n_rows: int) -> Any:
    targets = objective.targets(data.indices[:n_rows])
    return targets if data.weights is None else (targets, data.weights[:n_rows].to(objective.dtype))


def _refuse_lost_row(module: nn.Module, objective: Loss, spec: OutputSpec, batch: torch.Tensor) -> None:
    """Refuse a module that drops the batch axis of a single row (ACC-B8): `predict` of one row would fail."""
    if len(batch) == 1:
        return
    try:
        with torch.no_grad():
            output = module(batch[:1].clone())
    except Exception:  # some modules need several rows also in evaluation mode: predict will say so
        return
    facts = _facts(module, objective, spec, output, 1, "evaluation")
    _raise(check_is_tensor(facts) or check_rows(facts))


def refuse_untrainable(module: nn.Module) -> None:
    """Raise ModuleOutputError for a module without a parameter that can be trained."""
    _raise(check_parameters(module))


def _facts(module: nn.Module, objective: Loss, spec: OutputSpec, output: Any, n_rows: int, mode: str) -> OutputFacts:
    return OutputFacts(output, n_rows, spec, type(objective.criterion).__name__, module, mode)


def _refuse(facts: OutputFacts) -> None:
    for finding in output_findings(facts):
        _raise(finding)


def _raise(finding: Finding | None) -> None:
    if finding is not None:
        raise ModuleOutputError(finding.text, finding.code)


def _forward(module: nn.Module, batch: torch.Tensor) -> Any:
    try:
        return module(batch)
    except Exception as err:
        dtype = str(batch.dtype).removeprefix("torch.")
        err.add_note(
            f"TorchClassifier called {type(module).__name__}.forward with a batch of shape {tuple(batch.shape)} and "
            f"dtype {dtype}. Integers reach the module as integers only if X is an integer torch tensor: "
            "torch.as_tensor(X)."
        )
        raise


def _training_forward(module: nn.Module, batch: torch.Tensor) -> tuple[Any, bool]:
    """Run in training mode; where batch norm cannot take a batch of one row, with it in evaluation mode."""
    try:
        return _forward(module, batch.clone()), False
    except ValueError:
        layers = norm_layers(module)
        if len(batch) > 1 or not layers:
            raise
    for layer in layers:
        layer.eval()
    output = _forward(module, batch.clone())
    warn(
        "Every batch is one row, on which batch norm cannot train: its layers run in evaluation mode. Use a batch_size "
        "of at least 2 for their statistics to follow the data.",
        "ACC-B8",
    )
    return output, True


def _loss(objective: Loss, output: torch.Tensor, targets: Any) -> Any:
    try:
        return objective.plain()(output, targets)
    except Exception as err:
        err.add_note(
            f"TorchClassifier called {type(objective.criterion).__name__} with outputs of shape "
            f"{tuple(output.shape)} and class indices."
        )
        raise


@contextmanager
def _kept_buffers(module: nn.Module) -> Iterator[None]:
    """Put buffers (running statistics) and the mode back after the body."""
    kept = {name: buffer.clone() for name, buffer in module.named_buffers()}
    modes = [(layer, layer.training) for layer in module.modules()]
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in module.named_buffers():
                if name in kept and kept[name].shape == buffer.shape:
                    buffer.copy_(kept[name])
        for layer, training in modes:
            layer.training = training


@contextmanager
def _counted(module: nn.Module, n_rows: int) -> Iterator[list[float]]:
    """Count multiply-adds per row of the forward pass in the body, from weights and output sizes."""
    total = [0.0]

    def count(layer: nn.Module, _: Any, output: Any) -> None:
        weights = [p for p in layer.parameters(recurse=False) if p.ndim >= 2]
        if isinstance(output, tuple):
            output = output[0]
        if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)) or not isinstance(output, torch.Tensor):
            return
        width = weights[0].shape[0] if not isinstance(layer, nn.RNNBase) else output.shape[-1]
        positions = max(1.0, output.numel() / (n_rows * max(1, width)))
        total[0] += positions * sum(w.numel() for w in weights)

    layers = [m for m in module.modules() if any(p.ndim >= 2 for p in m.parameters(recurse=False))]
    layers = [layer for layer in layers if not isinstance(layer, torch.jit.ScriptModule)]  # which take no hooks
    handles = [layer.register_forward_hook(count) for layer in layers]
    try:
        yield total
    finally:
        for handle in handles:
            handle.remove()
