"""Why a loss or an output is not a finite number: the labels of the batch, a loss of probabilities, X, or the lr."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sktorch_acc._text import listed
from sktorch_acc.checks.outputs import check_unusable
from sktorch_acc.engine.evaluate import nan_rows
from sktorch_acc.engine.loss import no_loss_of
from sktorch_acc.engine.state import Fit
from sktorch_acc.exceptions import ModuleOutputError, NonFiniteLossError


def nonfinite(
    fit: Fit, what: str, indices: torch.Tensor | None = None, *, epoch: int | None = None
) -> NonFiniteLossError:
    """Return the error, with the likely cause; the epoch is the one that runs, if it is not given.

    `indices` are the class indices of the first batch whose loss is not finite, if there is one.
    """
    chunk = fit.fitted.rows.chunk(0, min(len(fit.fitted), 1000))
    spread = float(chunk.to(torch.float64).abs().max())
    lr = float(fit.state.optimizer.param_groups[0]["lr"])
    if indices is not None and no_loss_of(fit.loss, fit.model.spec, indices):
        labels = fit.model.labels.classes[indices.unique().cpu().numpy()]
        cause = (
            f"A batch holds only samples of {listed(labels)}, of which {type(fit.loss.criterion).__name__} is not a "
            "finite number whatever the module returns, as if it divided 0 by 0: classes of weight 0, or that are "
            "ignored? Let it return the sum of the losses divided by at least 1e-12, or leave out such samples"
        )
    elif spread > 50:
        cause = f"X holds values up to {spread:.3g}: scale it (StandardScaler in a pipeline)"
    else:
        cause = f"lr={lr:g} is likely too high: try {min(lr / 10, 0.01):g}"
    epoch = fit.state.epoch + 1 if epoch is None else epoch
    return NonFiniteLossError(f"{what} in epoch {epoch}. {cause}. The estimator is left unfitted.", "ACC-F3")


def refuse_unusable(fit: Fit, output: torch.Tensor) -> int:
    """Return how many samples have no probabilities; raise NonFiniteLossError for NaN."""
    bad = fit.model.spec.unusable(output)
    if bad is None:
        return 0
    if nan_rows(output):
        raise nonfinite(fit, "The module returns NaN")
    return int(bad.sum())


def with_cause(fit: Fit, loss_of: Any) -> Any:
    """Return a callable (output, target) -> loss that names the cause where BCELoss raises for its input."""
    if not isinstance(fit.loss.criterion, nn.BCELoss):
        return loss_of

    def call(output: torch.Tensor, target: Any) -> torch.Tensor:
        try:
            return loss_of(output, target)  # type: ignore[no-any-return]
        except RuntimeError as err:
            raise _cause_of(fit, output.detach(), err) from err

    return call


def _cause_of(fit: Fit, output: torch.Tensor, err: RuntimeError) -> Exception:
    """Return the error that names what BCELoss failed on."""
    if nan_rows(output):
        return nonfinite(fit, "The module returns NaN")
    bad = ((output < 0) | (output > 1)).reshape(len(output), -1).any(dim=1)
    if not bool(bad.any()):
        return err
    where = f"{int(bad.sum())} of {len(output)} samples of a batch in epoch {fit.state.epoch + 1}"
    found = check_unusable(fit.model.spec, output[bad], where)
    return ModuleOutputError(f"{found.message} BCELoss takes no others. {found.advice}", "ACC-C4")
