"""`diagnose` and `overfit_check`: run every check on an estimator, or on the parts of somebody's own loop."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sktorch_acc._global_state import isolated
from sktorch_acc.checks.data import check_aligned
from sktorch_acc.doctor.diagnosis.examine import examine
from sktorch_acc.doctor.diagnosis.guard import untouched
from sktorch_acc.doctor.diagnosis.memorise import memorise
from sktorch_acc.doctor.diagnosis.subject import (
    Refused,
    is_estimator,
    refuse_lazy,
    settle_output_spec,
    subject_of_estimator,
    subject_of_module,
)
from sktorch_acc.exceptions import ModuleOutputError
from sktorch_acc.findings import Diagnosis, Finding, errors_first

__all__ = ["diagnose", "overfit_check"]


def diagnose(
    module_or_estimator: Any,
    X: Any,
    y: Any,
    *,
    criterion: Any = None,
    optimizer: Any = None,
    loader: Any = None,
) -> Diagnosis:
    """Name the mistakes in a module, its loss, its data and its training.

    Nothing is changed: weights, buffers, modes, gradients, optimizer state and all generators are afterwards
    what they were before, bit for bit, also when something raises. The loader is not iterated.

    Parameters
    ----------
    module_or_estimator : TorchClassifier or nn.Module
        A fitted estimator; an unfitted one, whose module is built as `fit` would; or the module of your own
        loop.
    X : array-like or torch.Tensor of shape (n_rows, ...)
        Features of the rows that the accuracy is about.
    y : array-like or torch.Tensor of shape (n_rows,)
        Labels; for a bare module class indices.
    criterion : nn.Module or None, default=None
        The loss of your loop. It says what the module should return; without it outputs are not checked
        against it, and gradients are not looked at. Ignored for an estimator.
    optimizer : torch optimizer or None, default=None
        The optimizer of your loop. Ignored for an estimator.
    loader : torch.utils.data.DataLoader or None, default=None
        The loader that the accuracy is counted over. Only its settings are looked at.

    Returns
    -------
    diagnosis : Diagnosis
        With `findings`, `codes` and `to_frame`.

    Raises
    ------
    TypeError
        If the first argument is neither a module nor an estimator around one, or `loader` is no DataLoader.
    ValueError
        If X and y are not arrays of one length.

    See Also
    --------
    explain_accuracy : Name the wrong formula behind a figure that a loop printed.
    overfit_check : Whether the module can learn one small batch by heart.

    Notes
    -----
    Accuracies are measured on at most 10,000 rows, evenly spaced. Costs about ten passes over these.

    Examples
    --------
    The optimizer was built before the module was built again:

    >>> import torch
    >>> from sktorch_acc import diagnose
    >>> X, y = torch.eye(6).repeat(5, 1), torch.arange(30) % 3
    >>> model = torch.nn.Linear(6, 3)
    >>> optimizer = torch.optim.Adam(model.parameters())
    >>> model = torch.nn.Linear(6, 3)
    >>> found = diagnose(model, X, y, criterion=torch.nn.CrossEntropyLoss(), optimizer=optimizer)
    >>> found.codes
    ['ACC-F2']
    >>> print(found.findings[0].advice)
    Build the optimizer after the module: torch.optim.Adam(model.parameters()).
    """
    module = _module_of(module_or_estimator)
    aligned = check_aligned(X, y)
    found = [] if aligned is None else [aligned]
    n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
    name = type(module_or_estimator).__name__
    device = _device_of(module)
    with isolated(device):
        try:
            if module is module_or_estimator:
                with untouched(module, criterion if isinstance(criterion, nn.Module) else None):
                    subject = subject_of_module(module, X, y, criterion, optimizer, loader)
                    found += examine(subject, _modes(subject.module))
            else:
                with untouched(module):
                    subject = subject_of_estimator(module_or_estimator, X, y, loader)
                    with untouched(subject.criterion):
                        found += examine(subject, _modes(subject.module))
        except Refused as refused:
            found.append(refused.finding)
        except ModuleOutputError as refused_by_fit:
            found.append(Finding(refused_by_fit.code, "error", str(refused_by_fit.args[0]), ""))
    return Diagnosis(errors_first(found), f"{name} on {n_rows} rows")


def overfit_check(
    module_or_estimator: Any,
    X: Any,
    y: Any,
    *,
    criterion: Any = None,
    n_rows: int = 32,
    n_steps: int = 200,
) -> Diagnosis:
    """Try to learn one small batch by heart: who cannot has a mistake in the module or the loss.

    A copy of the module is trained on `n_rows` rows with Adam at three learning rates, dropout switched off,
    until all rows are right that can be (identical rows with different labels cannot). Whether that works
    does not depend on tuning; what you gave is not changed. A module with few parameters that fails is
    tried again on linearly independent rows, which a linear module too can learn by heart.

    Parameters
    ----------
    module_or_estimator : TorchClassifier or nn.Module
        As in `diagnose`.
    X : array-like or torch.Tensor of shape (n_samples, ...)
        Features.
    y : array-like or torch.Tensor of shape (n_samples,)
        Labels; for a bare module class indices.
    criterion : nn.Module or None, default=None
        The loss; None: CrossEntropyLoss for a bare module.
    n_rows : int, default=32
        Rows of the batch, evenly spaced over X.
    n_steps : int, default=200
        Steps at each learning rate.

    Returns
    -------
    diagnosis : Diagnosis
        With one finding, ``"ACC-F7"``, or none.

    Raises
    ------
    TypeError
        If the first argument is neither a module nor an estimator around one.

    See Also
    --------
    diagnose : Name the mistakes that can be seen without training.

    Examples
    --------
    >>> import torch
    >>> from sktorch_acc import overfit_check
    >>> X, y = torch.eye(6).repeat(5, 1), torch.arange(30) % 3
    >>> overfit_check(torch.nn.Linear(6, 3), X, y).codes
    []
    """
    module = _module_of(module_or_estimator)
    name = type(module_or_estimator).__name__
    with isolated(_device_of(module)):
        try:
            with untouched(module):
                if module is module_or_estimator:
                    criterion = nn.CrossEntropyLoss() if criterion is None else criterion
                    subject = subject_of_module(module, X, y, criterion, None, None)
                    with torch.no_grad():
                        settle_output_spec(subject, module.eval()(subject.rows.chunk(0, min(2, len(subject.rows)))))
                else:
                    subject = subject_of_estimator(module_or_estimator, X, y, None)
                finding, tried = memorise(subject, n_rows, n_steps)
        except Refused as refused:
            finding, tried = refused.finding, 0
    return Diagnosis(() if finding is None else (finding,), f"{name} on {tried} rows, to be learnt by heart")


def _module_of(given: Any) -> nn.Module | None:
    """Return the module that must stay as it is; None for an unfitted estimator."""
    if isinstance(given, nn.Module):
        refuse_lazy(given)
        return given
    if is_estimator(given):
        return getattr(given, "module_", None)
    hint = " For a pipeline, pass pipeline[-1] and pipeline[:-1].transform(X)." if hasattr(given, "steps") else ""
    raise TypeError(f"An nn.Module or a TorchClassifier is needed, but got a {type(given).__name__}.{hint}")


def _device_of(module: nn.Module | None) -> torch.device:
    tensors = [] if module is None else [*module.parameters(), *module.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")


def _modes(module: nn.Module) -> list[tuple[nn.Module, bool]]:
    return [(layer, layer.training) for layer in module.modules()]
