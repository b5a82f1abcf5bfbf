"""The probe before epoch 1: one batch through the module in both modes, and the checks of its outputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from sktorch_acc._global_state import drawn_by
from sktorch_acc.checks.outputs import (
    OutputFacts,
    check_gradients,
    check_is_tensor,
    check_loss,
    check_modes,
    check_rows,
    check_underflow,
    output_findings,
)
from sktorch_acc.data import Examples
from sktorch_acc.engine.copying import double
from sktorch_acc.engine.loss import Loss, no_loss_of
from sktorch_acc.engine.model import Model
from sktorch_acc.engine.repeated import Seen, check_samples, seen_by, spread
from sktorch_acc.engine.state import FirstOutputs
from sktorch_acc.engine.steps import norm_layers
from sktorch_acc.engine.untouched import untouched
from sktorch_acc.exceptions import ModuleOutputError, warn
from sktorch_acc.findings import Finding
from sktorch_acc.outputs import OutputForm, OutputSpec


@dataclass(frozen=True)
class Probe:
    """What the probe learned.

    Parameters
    ----------
    loss : Loss
        The loss, for outputs like those that came.
    first : FirstOutputs
        What was learned of the outputs themselves.
    elements_per_sample : int
        Values of features or of output per sample, whichever are more.
    row_operations : float
        Multiply-adds of a forward pass, per sample; 0 if not counted.
    eval_layers : tuple of nn.Module
        Batch-norm layers to keep in evaluation mode, because every batch is one sample.
    """

    loss: Loss
    first: FirstOutputs
    elements_per_sample: int
    row_operations: float
    eval_layers: tuple[nn.Module, ...] = ()


def probe(model: Model, training: Examples, n_rows: int, *, count: bool = True, new: bool = True) -> Probe:
    """Run a copy of the module on the first `n_rows` samples, and refuse outputs that cannot be right.

    Multiply-adds are counted if `count`. Only a `new` module is asked whether an output depends on its sample alone:
    one whose training continues was asked before.

    The generators may move: every epoch seeds them anew.

    Raises
    ------
    ModuleOutputError
        With the catalogue code of the first finding.
    """
    batch = training.rows.chunk(0, n_rows)
    module, may_share = double(model.module)
    subject = replace(model, module=module)
    with untouched(model.module) if may_share else nullcontext():
        with _counted(module, n_rows) if count else nullcontext([0.0]) as operations:
            loss, seen = _evaluate(subject, batch, training.weights is not None)
        finding = _again(subject, seen, training) if new else None
        loss, form, n_values, without_norms = _train(subject, batch, loss, training, seen.outputs)
    return Probe(
        loss=loss,
        first=FirstOutputs(form, OutputForm.of(seen.outputs), finding, seen.outputs),
        elements_per_sample=max(n_values, batch.numel()) // len(batch),
        row_operations=operations[0],
        eval_layers=tuple(norm_layers(model.module)) if without_norms else (),
    )


def _evaluate(subject: Model, batch: torch.Tensor, weighted: bool) -> tuple[Loss, Seen]:
    """Check the outputs in evaluation mode; return the loss for them, and those of some samples."""
    subject.module.eval()
    with torch.no_grad():
        output = _forward(subject.module, batch.clone())
    _refuse(_facts(subject, output, len(batch), "evaluation"))
    loss = Loss.for_output(subject.criterion, subject.spec, output, weighted)
    return loss, Seen(batch, spread(output.detach()).clone())


def _train(
    subject: Model, batch: torch.Tensor, loss: Loss, training: Examples, evaluated: torch.Tensor
) -> tuple[Loss, OutputForm, int, bool]:
    """Check outputs and loss in training mode; `evaluated` are outputs in evaluation mode.

    Returns the loss, form and size of the outputs, and whether batch norm cannot train.
    """
    subject.module.train()
    output, without_norms = _training_forward(subject.module, batch)
    _refuse(_facts(subject, output, len(batch), "training"))
    _raise(check_gradients(subject.module, output))
    _raise(check_underflow(output, subject.module, subject.spec.kind))
    if subject.spec.n_classes > 1:
        facts = _facts(subject, output, len(batch), "training")
        _raise(check_modes(facts, tuple(evaluated.shape), own=not loss.additive))
    value = _loss(loss, output, _targets(loss, training, len(batch)))
    loss = loss.averaging(value, len(batch))
    if loss.averaged:
        value = value.mean()
    if not _is_uncounted(loss, subject.spec, training, len(batch), value):
        _raise(check_loss(value, type(subject.criterion).__name__, subject.spec.kind))
    return loss, OutputForm.of(output), output.numel(), without_norms


def _targets(loss: Loss, training: Examples, n_rows: int) -> Any:
    targets = loss.targets(training.targets[:n_rows])
    return targets if training.weights is None else (targets, training.weights[:n_rows].to(loss.dtype))


def _is_uncounted(loss: Loss, spec: OutputSpec, training: Examples, n_rows: int, value: Any) -> bool:
    """Whether the loss is 0 / 0: the criterion counts none of the first samples, which may be sorted by class."""
    if not isinstance(value, torch.Tensor) or value.ndim or bool(torch.isfinite(value)):
        return False
    indices = training.targets[:n_rows]
    return not bool(loss.counted(indices).any()) or no_loss_of(loss, spec, indices)


def _again(subject: Model, seen: Seen, training: Examples) -> Finding | None:
    """Run some samples of the batch in smaller ones; return a finding to report, and refuse what cannot be right."""
    module, device = subject.module, subject.device
    if len(seen.batch) > 1:
        at = (len(seen.outputs) - 1) // 2
        output, drawn = drawn_by(lambda: _single(subject, spread(seen.batch)[at : at + 1]), device)
        whole, alone = seen, [] if output is None else [(at, output)]
    else:  # every batch is one sample, but evaluation takes many
        two, drawn = drawn_by(lambda: seen_by(module, training.rows.chunk(0, 2)), device)
        whole, alone = two or seen, [(0, seen.outputs)]
    finding = check_samples(module, whole, alone, drawn=drawn, quick=True)
    if finding is not None and finding.severity == "error":
        _raise(finding)
    return finding


def _single(subject: Model, sample: torch.Tensor) -> torch.Tensor | None:
    """Return the output for a single sample; None if the module refuses it.

    A module that drops the batch axis is refused (ACC-B8): `predict` of one sample would fail.
    """
    try:
        with torch.no_grad():
            output = subject.module(sample.clone())
    except Exception:  # some modules need several samples in evaluation mode too; `predict` reports it
        return None
    facts = _facts(subject, output, 1, "evaluation")
    _raise(check_is_tensor(facts) or check_rows(facts))
    return output.detach()  # type: ignore[no-any-return]


def _facts(subject: Model, output: Any, n_rows: int, mode: str) -> OutputFacts:
    return OutputFacts(output, n_rows, subject.spec, type(subject.criterion).__name__, subject.module, mode)


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


def _loss(loss: Loss, output: torch.Tensor, targets: Any) -> Any:
    try:
        return loss.plain(output, targets)
    except Exception as err:
        err.add_note(
            f"TorchClassifier called {type(loss.criterion).__name__} with outputs of shape "
            f"{tuple(output.shape)} and class indices."
        )
        raise


@contextmanager
def _counted(module: nn.Module, n_rows: int) -> Iterator[list[float]]:
    """Count multiply-adds per row of the forward pass in the body, from weights and output sizes."""
    total = [0.0]

    def count(layer: nn.Module, _: Any, output: Any) -> None:
        weights = _weights(layer)
        if isinstance(output, tuple):
            output = output[0]
        if isinstance(layer, (nn.Embedding, nn.EmbeddingBag)) or not isinstance(output, torch.Tensor):
            return
        width = weights[0].shape[0] if not isinstance(layer, nn.RNNBase) else output.shape[-1]
        positions = max(1.0, output.numel() / (n_rows * max(1, width)))
        total[0] += positions * sum(w.numel() for w in weights)

    layers = [m for m in module.modules() if not isinstance(m, torch.jit.ScriptModule)]  # which take no hooks
    handles = [layer.register_forward_hook(count) for layer in layers if _weights(layer)]
    try:
        yield total
    finally:
        for handle in handles:
            handle.remove()


def _weights(layer: nn.Module) -> list[torch.Tensor]:
    """Return the matrices among the parameters of a layer itself."""
    return [p for p in layer._parameters.values() if p is not None and p.ndim >= 2]
