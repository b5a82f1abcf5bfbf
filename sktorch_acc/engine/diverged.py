"""Why a loss or an output is not a finite number: the labels of the batch, a loss of probabilities, X, or the lr."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from sktorch_acc._text import listed
from sktorch_acc.checks.outputs import check_unusable
from sktorch_acc.engine.evaluate import nan_rows
from sktorch_acc.engine.loss import no_loss_of
from sktorch_acc.engine.state import Fit
from sktorch_acc.exceptions import ModuleOutputError, NonFiniteLossError

_ORDINARY = 1e6  # size of outputs and losses, above which it is likely the weights that grow


@dataclass(frozen=True)
class BadBatch:
    """The first batch whose loss, or output in evaluation mode, is not finite.

    Parameters
    ----------
    indices : Tensor of shape (n,) or None
        Class indices of its samples, where a loss was computed.
    output : Tensor of shape (n, ...) or None
        What the module returned for them; None if it was not kept, or if the weights are to blame.
    before : Tensor of shape (n_batches,)
        The losses of the batches before it, in the same epoch.
    """

    indices: torch.Tensor | None
    output: torch.Tensor | None = None
    before: torch.Tensor = field(default_factory=lambda: torch.zeros(0))


def nonfinite(fit: Fit, what: str, bad: BadBatch | None = None, *, epoch: int | None = None) -> NonFiniteLossError:
    """Return the error, with the likely cause; the epoch is the one that runs, if it is not given."""
    epoch, code = fit.state.epoch + 1 if epoch is None else epoch, "ACC-F3"
    if bad is not None and bad.indices is not None and no_loss_of(fit.loss, fit.model.spec, bad.indices):
        labels = fit.model.labels.classes[bad.indices.unique().cpu().numpy()]
        cause = (
            f"A batch holds only samples of {listed(labels)}, of which {type(fit.loss.criterion).__name__} is not a "
            "finite number whatever the module returns, as if it divided 0 by 0: classes of weight 0, or that are "
            "ignored? Let it return the sum of the losses divided by at least 1e-12, or leave out such samples."
        )
    elif bad is not None and (found := _of_outputs(fit, bad)) is not None:
        cause, code = found
    else:
        cause = _of_scale(fit)
    return NonFiniteLossError(f"{what} in epoch {epoch}. {cause} The estimator is left unfitted.", code)


def _of_scale(fit: Fit) -> str:
    chunk = fit.fitted.rows.chunk(0, min(len(fit.fitted), 1000))
    spread = float(chunk.to(torch.float64).abs().max())
    if spread > 50:
        return f"X holds values up to {spread:.3g}: scale it (StandardScaler in a pipeline)."
    lr = float(fit.state.optimizer.param_groups[0]["lr"])
    return f"lr={lr:g} is likely too high: try {min(lr / 10, 0.01):g}."


def _of_outputs(fit: Fit, bad: BadBatch) -> tuple[str, str] | None:
    """Return what is wrong with the outputs for some samples of a batch, and its code.

    None if nothing is, or if it may come from weights that grow: all of the outputs then do.
    """
    output, spec = bad.output, fit.model.spec
    if output is None:
        return None
    unusable = spec.unusable(output)
    n_bad = 0 if unusable is None else int(unusable.sum())
    rest = output if unusable is None else output[~unusable]
    sizes = rest[torch.isfinite(rest)].abs()
    first = len(bad.before) == 0 and fit.state.epoch + 1 == fit.first_epoch and fit.first_epoch == 1
    if not (len(sizes) or first) or (len(sizes) and float(sizes.max()) > _ORDINARY):
        return None
    if len(bad.before) and float(bad.before.abs().max()) > _ORDINARY:
        return None
    if unusable is not None:
        found = check_unusable(spec, output[unusable], f"{n_bad} of the {len(output)} samples of a batch")
        return f"{found.message} {found.advice}", str(found.code)
    return None if bad.indices is None else _of_masks(fit, output, bad.indices)


def _of_masks(fit: Fit, output: torch.Tensor, indices: torch.Tensor) -> tuple[str, str] | None:
    """Return how many samples are of a class that the module masks by -inf, and the code of an infinite loss."""
    losses = fit.loss.of_each(output, indices) if bool((output == -math.inf).any()) else None
    n_bad = 0 if losses is None else int((~torch.isfinite(losses)).sum())
    if not n_bad:
        return None
    return (
        f"{n_bad} of the {len(output)} samples of a batch have an infinite loss: the module returns -inf for the class "
        "that they are of. Mask other classes, or leave out such samples."
    ), "ACC-F3"


def refuse_unusable(fit: Fit, output: torch.Tensor) -> int:
    """Return how many samples have no probabilities; raise NonFiniteLossError for NaN."""
    bad = fit.model.spec.unusable(output)
    if bad is None:
        return 0
    if nan_rows(output):
        early = fit.state.epoch + 1 == fit.first_epoch and not _have_grown(fit.model.module)
        raise nonfinite(fit, "The module returns NaN", BadBatch(None, output if early else None))
    return int(bad.sum())


def _have_grown(module: nn.Module) -> bool:
    """Whether weights are so large, or not finite, that they are the cause."""
    return any(not float(p.detach().abs().max()) < _ORDINARY for p in module.parameters() if p.numel())


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
