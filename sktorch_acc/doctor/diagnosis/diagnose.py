"""`diagnose` and `overfit_check`: check an estimator, or the parts of a training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from sktorch_acc._global_state import isolated
from sktorch_acc.checks.data import check_aligned
from sktorch_acc.doctor.diagnosis.examine import examine
from sktorch_acc.doctor.diagnosis.memorise import memorise
from sktorch_acc.doctor.diagnosis.subject import Refused, Subject, device_of, refuse_lazy, subject_of
from sktorch_acc.engine.interrupts import Interrupts
from sktorch_acc.engine.untouched import untouched
from sktorch_acc.exceptions import ModuleOutputError
from sktorch_acc.findings import Diagnosis, Finding, errors_first


def diagnose(
    module_or_estimator: Any,
    X: Any,
    y: Any,
    *,
    criterion: Any = None,
    optimizer: Any = None,
    loader: Any = None,
) -> Diagnosis:
    """Report problems of a module, its loss, its data and its training.

    Nothing is changed: weights, buffers, modes, gradients, optimizer state and all generators are restored
    bit for bit, also if an error is raised. The loader is not iterated.

    Parameters
    ----------
    module_or_estimator : TorchClassifier or nn.Module
        A fitted estimator; one that is not fitted, whose module is built as in `fit`; or the module of your
        own loop.
    X : array-like or torch.Tensor of shape (n_samples, ...)
        Features of the samples on which the accuracy is measured.
    y : array-like or torch.Tensor of shape (n_samples,)
        Labels; for an nn.Module, class indices.
    criterion : nn.Module or None, default=None
        The loss of your loop, which determines what the module should return. Without it, neither the kind
        of the output nor the gradients are checked. Ignored for an estimator.
    optimizer : torch optimizer or None, default=None
        The optimizer of your loop. Ignored for an estimator.
    loader : torch.utils.data.DataLoader or None, default=None
        The loader over which the accuracy is counted. Only its settings are read.

    Returns
    -------
    diagnosis : Diagnosis
        With `findings`, `codes` and `to_frame`.

    Raises
    ------
    TypeError
        If the first argument is neither a module nor a `TorchClassifier`, or `loader` is not a DataLoader.
    ValueError
        If X and y have different lengths, or do not hold numbers.

    See Also
    --------
    explain_accuracy : Find the wrong formula behind a printed accuracy.
    overfit_check : Check whether the module can overfit one small batch.

    Notes
    -----
    Accuracies are measured on at most 10,000 samples, evenly spaced. The cost is about ten passes over them.

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
    aligned = check_aligned(X, y)
    found = [] if aligned is None else [aligned]
    parts = (module_or_estimator, X, y, criterion, optimizer, loader)
    found += _examined(module_or_estimator, lambda: subject_of(*parts), examine)
    n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
    return Diagnosis(errors_first(found), f"{type(module_or_estimator).__name__} on {n_rows} samples")


def overfit_check(
    module_or_estimator: Any,
    X: Any,
    y: Any,
    *,
    criterion: Any = None,
    n_rows: int = 32,
    n_steps: int = 200,
) -> Diagnosis:
    """Check whether the module can overfit one small batch; if not, there is an error in it or in the loss.

    A copy of the module is trained on `n_rows` samples with Adam at three learning rates, without dropout,
    until as many predictions are correct as possible (equal samples with different labels limit them).
    The result does not depend on tuning, and the arguments are not changed. A module that fails is tried
    again on linearly independent samples, which a linear module can overfit too.

    Parameters
    ----------
    module_or_estimator : TorchClassifier or nn.Module
        As in `diagnose`.
    X : array-like or torch.Tensor of shape (n_samples, ...)
        Features.
    y : array-like or torch.Tensor of shape (n_samples,)
        Labels; for an nn.Module, class indices.
    criterion : nn.Module or None, default=None
        The loss; None means CrossEntropyLoss. Ignored for an estimator.
    n_rows : int, default=32
        Samples of the batch, evenly spaced over X.
    n_steps : int, default=200
        Steps with each learning rate.

    Returns
    -------
    diagnosis : Diagnosis
        With one finding, ``"ACC-F7"``, or none.

    Raises
    ------
    TypeError
        If the first argument is neither a module nor a `TorchClassifier`.

    See Also
    --------
    diagnose : Report problems that can be found without training.

    Examples
    --------
    >>> import torch
    >>> from sktorch_acc import overfit_check
    >>> X, y = torch.eye(6).repeat(5, 1), torch.arange(30) % 3
    >>> overfit_check(torch.nn.Linear(6, 3), X, y).codes
    []
    """
    tried = 0

    def overfit(subject: Subject) -> list[Finding]:
        nonlocal tried
        finding, tried = memorise(subject, n_rows, n_steps)
        return [] if finding is None else [finding]

    parts = (module_or_estimator, X, y, nn.CrossEntropyLoss() if criterion is None else criterion, None, None)
    found = _examined(module_or_estimator, lambda: subject_of(*parts), overfit)
    return Diagnosis(tuple(found), f"{type(module_or_estimator).__name__} overfitting {tried} samples")


def _examined(given: Any, build: Callable[[], Subject], look: Callable[[Subject], Iterable[Finding]]) -> list[Finding]:
    """Return what `look` finds, up to what makes it impossible to go on; everything is restored afterwards."""
    module = _module_of(given)
    found: list[Finding] = []
    with (
        Interrupts().watching() as interrupts,
        isolated(device_of(module)),
        untouched(module),
        interrupts.interruptible(),
    ):
        try:
            subject = build()
            with untouched(subject.criterion):
                for finding in look(subject):
                    found.append(finding)
        except Refused as refused:
            found.append(refused.finding)
        except ModuleOutputError as refused_by_fit:
            found.append(Finding(refused_by_fit.code, "error", str(refused_by_fit.args[0]), ""))
    return found


def _module_of(given: Any) -> nn.Module | None:
    """Return the module that must not be changed; None for an estimator that is not fitted."""
    if isinstance(given, nn.Module):
        refuse_lazy(given)
        return given
    if "module" in getattr(given, "get_params", dict)():  # a classifier like `TorchClassifier`
        return getattr(given, "module_", None)
    hint = " For a pipeline, pass pipeline[-1] and pipeline[:-1].transform(X)." if hasattr(given, "steps") else ""
    raise TypeError(f"Expected an nn.Module or a TorchClassifier, but got a {type(given).__name__}.{hint}")
