"""Overfit a few samples, which every correct module can do."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.linalg
import torch
from torch import nn

from sktorch_acc.checks.duplicates import repeated_rows
from sktorch_acc.checks.learning import check_memorised
from sktorch_acc.checks.outputs import check_parameters
from sktorch_acc.doctor.diagnosis.measure import counted, spaced
from sktorch_acc.doctor.diagnosis.subject import Refused, Subject
from sktorch_acc.engine.copying import copied
from sktorch_acc.engine.loss import Loss
from sktorch_acc.findings import Finding

_RATES = (1e-2, 1e-3, 1e-1)
_INDEPENDENT = 0.05  # of the largest pivot


def memorise(subject: Subject, n_rows: int, n_steps: int) -> tuple[Finding | None, int]:
    """Return the finding, if any, and the number of samples that were tried.

    A linear module can overfit linearly independent samples with any labels, but not all samples. A module
    that fails on `n_rows` samples is therefore tried on some that are independent: if it fails on these,
    the reason is not the number of its parameters.
    """
    if subject.unsettled is not None:
        raise Refused(subject.unsettled)
    frozen = check_parameters(subject.module)
    if frozen is not None:
        return frozen, 0
    positions = counted(subject, subject.targets)
    chosen = positions[spaced(subject.targets[positions], n_rows)]
    finding = _attempt(subject, chosen, n_steps)
    if finding is None:
        return None, len(chosen)
    few = chosen[_independent(subject.rows.take(chosen).chunk(0, len(chosen)).cpu().double().numpy())]
    return (_attempt(subject, few, n_steps), len(few)) if 1 < len(few) < len(chosen) else (finding, len(chosen))


def _independent(X: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return samples that are linearly independent with a constant column added, most independent first."""
    flat = X.reshape(len(X), -1)
    _, r, order = scipy.linalg.qr(np.c_[flat, np.ones(len(X))].T, mode="economic", pivoting=True)
    pivots = np.abs(np.diag(r))
    return np.asarray(order[: int((pivots > _INDEPENDENT * pivots[0]).sum())], dtype=np.int64)


def _attempt(subject: Subject, chosen: npt.NDArray[np.int64], n_steps: int) -> Finding | None:
    batch = subject.rows.take(chosen).chunk(0, len(chosen))
    indices = subject.targets[chosen]
    targets = torch.from_numpy(indices).to(subject.rows.device)
    on_host = batch.float() if batch.dtype == torch.bfloat16 else batch  # NumPy has no bfloat16
    best = repeated_rows(on_host.cpu().numpy(), indices).best
    correct = 0
    for lr in _RATES:
        if correct < best:
            correct = max(correct, _train_copy(subject, batch, targets, lr, n_steps, best))
    return check_memorised(correct, best, len(chosen), n_steps)


def _train_copy(
    subject: Subject, batch: torch.Tensor, targets: torch.Tensor, lr: float, n_steps: int, best: int
) -> int:
    """Return the most correct predictions of a copy of the module while it is trained on this batch."""
    torch.default_generator.manual_seed(0)
    assert subject.criterion is not None
    memo: dict[int, Any] = {}  # one for both: they may share layers
    module, criterion = copied(subject.module, memo), copy.deepcopy(subject.criterion, memo)
    optimizer = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], lr=lr)
    module.train()
    for layer in module.modules():
        if isinstance(layer, nn.modules.dropout._DropoutNd):
            layer.eval()
    most = 0
    for _ in range(n_steps):
        output = module(batch.clone())
        most = max(most, int((subject.spec.classes(output.detach()) == targets).sum()))
        if most >= best:
            break
        loss_of = Loss.for_output(criterion, subject.spec, output, weighted=False)
        optimizer.zero_grad()
        loss_of(output, loss_of.targets(targets)).backward()
        optimizer.step()
    return most
