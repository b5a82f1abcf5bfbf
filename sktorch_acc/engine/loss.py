"""The loss of a batch: the user's criterion, for weighted rows and for ensembles too."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from sktorch_acc.outputs import OutputSpec

__all__ = ["Loss"]


class Loss:
    """Call the criterion on what a module returned, in the form that it wants.

    Parameters
    ----------
    criterion : nn.Module
        Takes (output, target) and returns one number, or one per row.
    spec : OutputSpec
        What outputs mean.
    weighted : bool
        Whether every target comes with a weight; the loss is then ``sum(w * l) / sum(w)``.

    Raises
    ------
    ValueError
        If `weighted` and the criterion has no ``reduction``: no per-row losses can be had from it.
    """

    def __init__(self, criterion: nn.Module, spec: OutputSpec, weighted: bool) -> None:
        self.criterion, self.spec, self.weighted = criterion, spec, weighted
        self.reduction = getattr(criterion, "reduction", None)
        self.per_row = criterion
        if weighted:
            if self.reduction is None:
                raise ValueError(
                    f"sample_weight and class_weight need the loss of each row, but {type(criterion).__name__} "
                    "has no attribute `reduction`: give it one that accepts 'none'."
                )
            self.per_row = copy.deepcopy(criterion)
            self.per_row.reduction = "none"  # type: ignore[assignment]
        self.ensemble = False
        self.dtype = torch.get_default_dtype()
        self.column_shape: tuple[int, ...] = ()
        self.single = spec.one_column is True

    def observe(self, output: torch.Tensor) -> None:
        """Learn from the probe: an ensemble axis, one column or several, and the dtype of the outputs.

        The criterion's buffers take that dtype: a module may compute in another than its first layer has.
        """
        self.dtype = output.dtype
        self.criterion.to(output.dtype)
        self.per_row.to(output.dtype)
        self.ensemble = output.ndim == 3
        self.single = self.spec.is_single(output)
        self.column_shape = tuple(output.shape[1:]) if self.single and not self.ensemble else ()

    def targets(self, indices: torch.Tensor) -> torch.Tensor:
        """Return class indices as the criterion wants them: int64, or floats shaped as one column."""
        if not self.single:
            return indices
        # expand: with one class in y the module may have any number of columns
        shape = [1] * len(self.column_shape)
        return indices.to(self.dtype).reshape(-1, *shape).expand(-1, *self.column_shape)

    def plain(self) -> Any:
        """Return the cheapest callable (output, target) -> loss; target is a pair if weighted."""
        if not self.weighted and not self.ensemble and self.reduction in (None, "mean", "sum"):
            return self.criterion
        return self

    def __call__(self, output: torch.Tensor, target: Any) -> torch.Tensor:
        weight: torch.Tensor | None = None
        if self.weighted:
            target, weight = target
        members = 1
        if self.ensemble:
            members = output.shape[1]
            output, target = output.flatten(0, 1), target.repeat_interleave(members, dim=0)
            if self.single:
                target = target.reshape(output.shape)
        loss: torch.Tensor = self.per_row(output, target)
        if loss.ndim == 0:
            if weight is not None:
                raise ValueError(
                    "sample_weight and class_weight need the loss of each row, but "
                    f"{type(self.criterion).__name__} returned one number although its reduction is 'none': let its "
                    "forward obey self.reduction."
                )
            return loss
        loss = loss.reshape(loss.shape[0] // members, -1).mean(dim=1)
        if weight is None:
            return loss.mean()
        total = torch.dot(loss, weight)
        if self.reduction == "sum":
            return total
        return total / self._norm(weight, target, members)

    def _norm(self, weight: torch.Tensor, target: torch.Tensor, members: int) -> torch.Tensor:
        """Sum of the weights that count: times the criterion's class weights, by which torch's mean divides too."""
        if self.single or target.is_floating_point():
            return torch.sum(weight)
        target = target[::members]
        ignored = getattr(self.criterion, "ignore_index", None)
        if ignored is not None:
            weight = weight * (target != ignored)
        by_class = getattr(self.criterion, "weight", None)
        return torch.sum(weight) if by_class is None else torch.dot(weight, by_class[target])
