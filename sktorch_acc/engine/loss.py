"""The loss of a batch: the user's criterion, for weighted samples and for ensembles too."""

from __future__ import annotations

import copy
import functools
import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from sktorch_acc.outputs import OutputSpec

# Of these the loss of all samples follows from the losses of parts of them.
_BY_CLASS = (nn.CrossEntropyLoss, nn.NLLLoss)  # whose mean is divided by the weights of the classes
_BY_SAMPLE = (
    nn.BCEWithLogitsLoss,
    nn.BCELoss,
    nn.MultiMarginLoss,
    nn.MSELoss,
    nn.L1Loss,
    nn.SmoothL1Loss,
    nn.HuberLoss,
)


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
    averaged : bool
        Whether the criterion returns one number per sample, though it has no ``reduction``.
    """

    criterion: nn.Module
    per_sample: nn.Module
    weighted: bool
    dtype: torch.dtype
    single: bool
    ensemble: bool
    column_shape: tuple[int, ...]
    averaged: bool = False

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

    @property
    def additive(self) -> bool:
        """Whether the loss of all samples follows from the losses of parts of them and from their `shares`."""
        return _computes_as(self.criterion, (*_BY_CLASS, *_BY_SAMPLE))

    @functools.cached_property
    def summed(self) -> bool:
        """Whether the loss is a sum, which is divided by nothing."""
        return bool(self.reduction == "sum")

    @functools.cached_property
    def by_class(self) -> bool:
        """Whether a mean is divided by weights of classes, which may be 0.

        They are those of torch's criteria with the reduction "mean". What a criterion of the user's own does with its
        attributes is not known, and the reduction "none" leaves the mean over samples to the library.
        """
        return self.reduction == "mean" and self._tells_classes

    @functools.cached_property
    def _tells_classes(self) -> bool:
        """Whether the criterion has weights of classes, or a class that it ignores."""
        if self.single or not _computes_as(self.criterion, _BY_CLASS):
            return False
        return self._class_weights is not None or self._ignored >= 0

    @property
    def _ignored(self) -> int:
        return self.criterion.ignore_index  # type: ignore[return-value]

    @property
    def _class_weights(self) -> torch.Tensor | None:
        return self.criterion.weight  # type: ignore[return-value]

    @property
    def smooths(self) -> bool:
        """Whether samples of a class have a loss for the other classes too."""
        return bool(getattr(self.criterion, "label_smoothing", False))

    def shares(self, indices: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Return what each sample adds to the number that a mean is divided by, float64 of shape (n,).

        That is its weight, times that of its class in the criterion; 0 if the criterion ignores its class. The loss of
        samples whose shares are all 0 is 0 / 0. Members of an ensemble count once.
        """
        if weights is None:
            weights = torch.ones(len(indices), device=indices.device)
        shares = weights.to(torch.float64)
        if not self.by_class:
            return shares
        shares = shares * (indices != self._ignored)
        by_class = self._class_weights
        return shares if by_class is None else shares * by_class.to(torch.float64)[indices]

    def counted(self, indices: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Return which samples can have a part in the loss, whatever the module returns: bool of shape (n,).

        Others weigh 0, or are of a class that weighs 0 or is ignored.
        """
        counted = torch.ones_like(indices, dtype=torch.bool) if weights is None else weights != 0
        if not self._tells_classes:
            return counted
        counted = counted & (indices != self._ignored)
        by_class = self._class_weights
        # Smoothing gives a sample of a class of weight 0 a loss, which a mean would divide by 0.
        if by_class is None or (not self.by_class and self.smooths):
            return counted
        return counted & (by_class[indices] != 0)

    def counts_any(self, indices: torch.Tensor, weights: torch.Tensor | None = None) -> bool:
        """Whether any of the samples is `counted`."""
        if weights is None and not self._tells_classes:
            return True
        return bool(self.counted(indices, weights).any())

    def numerator(self, output: torch.Tensor, indices: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """Return the sum of the losses of samples, float64, where the criterion is additive."""
        losses = self._unreduced().of_samples(output, self.targets(indices)).to(torch.float64)
        if weights is None:
            return losses.sum()
        return torch.dot(_without_weightless(losses, weights), weights.to(torch.float64))

    def of_each(self, output: torch.Tensor, indices: torch.Tensor) -> torch.Tensor | None:
        """Return the loss of each sample, of shape (n,); None if the criterion does not tell."""
        try:
            losses = self._unreduced().of_samples(output, self.targets(indices))
        except Exception:  # a criterion of the user's own without the reduction "none"
            return None
        return losses.detach() if losses.ndim else None

    def _unreduced(self) -> Loss:
        unreduced = copy.copy(self.criterion)  # which shares weights and buffers
        unreduced.reduction = "none"  # type: ignore[assignment]
        return replace(self, criterion=unreduced, per_sample=unreduced, weighted=False)

    def train(self, mode: bool) -> None:
        """Put the criterion in training or evaluation mode."""
        for part in {self.criterion, self.per_sample}:
            part.train(mode)

    def targets(self, indices: torch.Tensor) -> torch.Tensor:
        """Return class indices as the criterion wants them: int64, or floats shaped as one column.

        They have memory of their own, as the criterion may write to its target.
        """
        if not self.single:
            return indices.clone()
        # expand: with one class in y the module may have any number of columns
        shape = [1] * len(self.column_shape)
        return indices.to(self.dtype).reshape(-1, *shape).expand(-1, *self.column_shape)

    @functools.cached_property
    def plain(self) -> Any:
        """The cheapest callable (output, target) -> loss; target is a pair if weighted."""
        if self.weighted or self.ensemble or self.averaged:
            return self
        return self.criterion if self.reduction in (None, "mean", "sum") else self

    def averaging(self, value: Any, n_samples: int) -> Loss:
        """Return the loss that averages, if a criterion that says nothing of it returned one value per sample."""
        each = isinstance(value, torch.Tensor) and value.ndim > 0 and value.shape[0] == n_samples
        return replace(self, averaged=True) if each and self.reduction is None else self

    def __call__(self, output: torch.Tensor, target: Any) -> torch.Tensor:
        if self.weighted:
            target, weight = target
            return self._weighted_mean(self._of_weighted(output, target), target, weight)
        loss = self.of_samples(output, target)
        if loss.ndim:
            return loss.mean()
        return loss / output.shape[1] if self.ensemble and self.summed else loss

    def evaluated(self, output: torch.Tensor, target: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        """Return the loss of weighted samples, some of which may weigh 0: their losses may be infinite."""
        indices, weight = target
        losses = _without_weightless(self._of_weighted(output, indices), weight)
        return self._weighted_mean(losses, indices, weight)

    def _of_weighted(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        losses = self.of_samples(output, target)
        if losses.ndim == 0:
            raise ValueError(
                "sample_weight and class_weight need the loss of each sample, but "
                f"{type(self.criterion).__name__} returned one number although its reduction is 'none': let its "
                "forward obey self.reduction."
            )
        return losses

    def of_samples(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of each sample, the mean of those of the members; or one number, if the criterion does."""
        members = 1
        if self.ensemble:
            members = output.shape[1]
            output, target = output.flatten(0, 1), target.repeat_interleave(members, dim=0)
            if self.single:
                target = target.reshape(output.shape)
        loss: torch.Tensor = self.per_sample(output, target)
        return loss if loss.ndim == 0 else loss.reshape(loss.shape[0] // members, -1).mean(dim=1)

    def _weighted_mean(self, losses: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Return the sum of weighted losses, divided by the weights that count unless the criterion sums."""
        total = torch.dot(losses, weight)
        return total if self.summed else total / self._norm(weight, target)

    def _norm(self, weight: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Sum of the weights that count: times the criterion's class weights, by which torch's mean divides too."""
        if not self.by_class:
            return torch.sum(weight)
        weight = weight * (target != self._ignored)
        by_class = self._class_weights
        return torch.sum(weight) if by_class is None else torch.dot(weight, by_class[target])


def _without_weightless(losses: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return losses that are 0 where the weight is: 0 times infinity is NaN."""
    return torch.where(weights == 0, torch.zeros_like(losses), losses)


def _computes_as(criterion: nn.Module, known: tuple[type[nn.Module], ...]) -> bool:
    """Whether a criterion is one of those known, and computes as that one does: nothing is put around its forward."""
    if "forward" in vars(criterion) or type(criterion).__call__ is not nn.Module.__call__:
        return False
    if criterion._forward_hooks or criterion._forward_pre_hooks:
        return False
    return any(isinstance(criterion, cls) and type(criterion).forward is cls.forward for cls in known)


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


def no_loss_of(loss: Loss, spec: OutputSpec, indices: torch.Tensor) -> bool:
    """Whether the criterion has no finite loss for samples of these classes, and has one for samples of all classes.

    Seen on outputs that are equal for all classes, so that no weight of the module is to blame.
    """
    with torch.no_grad():
        every = torch.arange(spec.n_classes, device=indices.device)
        return not _finite_on_equal(loss, spec, indices) and _finite_on_equal(loss, spec, every)


def _finite_on_equal(loss: Loss, spec: OutputSpec, indices: torch.Tensor) -> bool:
    """Whether the loss of samples of these classes is finite where the module returns the same for every class."""
    share = 0.5 if loss.single else 1 / spec.n_classes
    value = {"logits": 0.0, "log_probabilities": math.log(share), "probabilities": share}[spec.kind]
    columns = loss.column_shape if loss.single else (spec.n_classes,)
    shape = (1, *(columns or (1,))) if loss.ensemble else columns
    output = torch.full((len(indices), *shape), value, dtype=loss.dtype, device=indices.device)
    targets: Any = loss.targets(indices)
    if loss.weighted:
        targets = targets, output.new_ones(len(indices))
    try:
        return bool(torch.isfinite(loss.plain(output, targets)).all())
    except Exception:  # a criterion that looks at more than that
        return True
