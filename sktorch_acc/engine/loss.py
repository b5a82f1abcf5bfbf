"""The loss of a batch: the user's criterion, for weighted samples and for ensembles too."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sktorch_acc.outputs import OutputSpec


@dataclass(frozen=True, eq=False)
class Loss:
    """Call the criterion on what a module returned, in the form that it wants.

    Parameters
    ----------
    criterion : nn.Module
        Takes (output, target) and returns one number, or one per sample.
    per_sample : nn.Module
        The criterion itself, or for weighted samples a copy of it that returns one number per sample.
    weighted : bool
        Whether every target comes with a weight; the loss is then ``sum(w * l) / sum(w)``.
    dtype : torch.dtype
        Dtype of the outputs.
    single : bool
        Whether the output holds one value per sample (and member), that of class 1.
    ensemble : bool
        Whether outputs have shape (n, members, columns).
    column_shape : tuple of int
        What follows the first axis of the outputs, where `single`.
    """

    criterion: nn.Module
    per_sample: nn.Module
    weighted: bool
    dtype: torch.dtype
    single: bool
    ensemble: bool
    column_shape: tuple[int, ...]

    @classmethod
    def for_output(cls, criterion: nn.Module, spec: OutputSpec, output: torch.Tensor, weighted: bool) -> Loss:
        """Return the loss for outputs like this one; the criterion takes over their dtype.

        Raises
        ------
        ValueError
            If `weighted` and the criterion has no ``reduction``: no losses of single samples can be had from it.
        """
        criterion.to(output.dtype)
        single, ensemble = spec.is_single(output), output.ndim == 3
        return cls(
            criterion,
            _per_sample(criterion) if weighted else criterion,
            weighted,
            output.dtype,
            single,
            ensemble,
            tuple(output.shape[1:]) if single and not ensemble else (),
        )

    @property
    def reduction(self) -> Any:
        """How the criterion puts the losses of a batch together; None if it does not say."""
        return getattr(self.criterion, "reduction", None)

    def train(self, mode: bool) -> None:
        """Put the criterion in training or evaluation mode."""
        for part in {self.criterion, self.per_sample}:
            part.train(mode)

    def targets(self, indices: torch.Tensor) -> torch.Tensor:
        """Return class indices as the criterion wants them: int64, or floats shaped as one column."""
        if not self.single:
            return indices
        # expand: with one class in y the module may have any number of columns
        shape = [1] * len(self.column_shape)
        return indices.to(self.dtype).reshape(-1, *shape).expand(-1, *self.column_shape)

    @functools.cached_property
    def plain(self) -> Any:
        """The cheapest callable (output, target) -> loss; target is a pair if weighted."""
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
        loss: torch.Tensor = self.per_sample(output, target)
        if loss.ndim == 0:
            if weight is not None:
                raise ValueError(
                    "sample_weight and class_weight need the loss of each sample, but "
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


def _per_sample(criterion: nn.Module) -> nn.Module:
    """Return a copy of the criterion that returns one number per sample; its parameters are those of the criterion."""
    if getattr(criterion, "reduction", None) is None:
        raise ValueError(
            f"sample_weight and class_weight need the loss of each sample, but {type(criterion).__name__} "
            "has no attribute `reduction`: give it one that accepts 'none'."
        )
    shared = {id(tensor): tensor for tensor in [*criterion.parameters(), *criterion.buffers()]}
    unreduced = copy.deepcopy(criterion, shared)
    unreduced.reduction = "none"  # type: ignore[assignment]
    return unreduced
