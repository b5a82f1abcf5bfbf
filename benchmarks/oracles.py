"""A slow training loop with the formulas written out: what `TorchClassifier` must record, predict and keep.

Losses are written out from log-probabilities, accuracies are counted sample by sample, a batch is gathered when it is
trained on, and the optimizer takes its plain steps. From the library come only the seeds of the epochs, because the
order of the samples and the draws of a module follow from them.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from sktorch_acc._global_state import epoch_seeds

__all__ = ["Criterion", "Recipe", "Reference", "Samples"]

_PER_STEP = (torch.optim.lr_scheduler.OneCycleLR, torch.optim.lr_scheduler.CyclicLR)


@dataclass(frozen=True)
class Criterion:
    """A criterion by its formula.

    Parameters
    ----------
    kind : {"ce", "nll", "bce", "bce_logits", "focal"}
        Cross-entropy of logits, of log-probabilities, of one column of probabilities, of one column of logits; focal
        loss of logits.
    weight : list of float or None
        Weight of each class (``"ce"``, ``"nll"``).
    pos_weight : float or None
        Weight of class 1 (``"bce_logits"``).
    smoothing : float
        Label smoothing (``"ce"``).
    ignored : int or None
        Class without a loss.
    reduction : {"mean", "sum", "none"}
        How the losses of a batch are put together; "none" leaves it to the library: the mean over samples.
    """

    kind: str
    weight: list[float] | None = None
    pos_weight: float | None = None
    smoothing: float = 0.0
    ignored: int | None = None
    reduction: str = "mean"

    def loss(self, output: torch.Tensor, target: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """Return the loss of samples; NaN if none of them counts."""
        losses, share = self._losses(output, target)
        if weights is not None:
            losses, share = torch.where(weights > 0, losses * weights, 0), share * weights
        return losses.sum() if self.reduction == "sum" else losses.sum() / share.sum()

    def divisor(self, output: torch.Tensor, target: torch.Tensor, weights: torch.Tensor | None) -> float:
        """Return by what a mean over samples divides."""
        share = self._losses(output, target)[1]
        return float(share.sum() if weights is None else share @ weights)

    def counts(self, target: torch.Tensor, weights: torch.Tensor | None) -> bool:
        """Return whether any sample has a weight and a class that counts."""
        counted = torch.ones_like(target, dtype=torch.bool) if weights is None else weights > 0
        if self.ignored is not None:
            counted = counted & (target != self.ignored)
        if self.weight is not None and (self.reduction == "mean" or not self.smoothing):
            counted = counted & (torch.tensor(self.weight)[target] > 0)
        return bool(counted.any())

    def _losses(self, output: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss of each sample, and its share in the divisor."""
        if output.ndim == 3:  # the mean over the members
            parts = [self._losses(output[:, member], target) for member in range(output.shape[1])]
            return torch.stack([losses for losses, _ in parts]).mean(dim=0), parts[0][1]
        if self.kind == "bce":
            p, t = output.reshape(-1), target.to(output.dtype)
            return -(t * p.log() + (1 - t) * (1 - p).log()), torch.ones_like(p)
        if self.kind == "bce_logits":
            z, t = output.reshape(-1), target.to(output.dtype)
            factor = 1.0 if self.pos_weight is None else self.pos_weight
            return factor * t * functional.softplus(-z) + (1 - t) * functional.softplus(z), torch.ones_like(z)
        logs = output if self.kind == "nll" else output - output.logsumexp(dim=1, keepdim=True)
        if self.kind == "focal":
            own = logs.gather(1, target[:, None])[:, 0]
            return -own * (1 - own.exp()) ** 2, torch.ones_like(own)
        n_classes = logs.shape[1]
        weight = logs.new_tensor(self.weight or [1.0] * n_classes)
        own = -logs.gather(1, target[:, None])[:, 0] * weight[target]
        spread = -(logs * weight).sum(dim=1) / n_classes
        losses, share = (1 - self.smoothing) * own + self.smoothing * spread, weight[target]
        if self.ignored is not None:
            losses, share = losses * (target != self.ignored), share * (target != self.ignored)
        return losses, torch.ones_like(own) if self.reduction == "none" else share


@dataclass(frozen=True)
class Samples:
    """Features, class indices, and weights in the loss or None."""

    X: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor | None = None

    def take(self, chosen: torch.Tensor) -> Samples:
        """Return the samples at the positions `chosen`."""
        weights = None if self.weights is None else self.weights[chosen]
        return Samples(self.X[chosen], self.targets[chosen], weights)

    def without_weights(self) -> Samples:
        """Return the same samples, all alike."""
        return replace(self, weights=None)


@dataclass(frozen=True)
class Recipe:
    """How to train: the estimator's parameters, as far as a loop needs them.

    Parameters
    ----------
    criterion : Criterion
        The loss.
    n_classes, batch_size, max_epochs : int
        As in the estimator.
    optimizer : callable
        Makes an optimizer of a list of parameters.
    scheduler : callable or None
        Makes a scheduler of torch from the optimizer and the number of all steps.
    stopping : (str, int, float) or None
        Column to follow, epochs of patience, tolerance.
    """

    criterion: Criterion
    n_classes: int
    batch_size: int
    max_epochs: int
    optimizer: Any
    scheduler: Any = None
    stopping: tuple[str, int, float] | None = None


def sizes_of(n_samples: int, batch_size: int) -> list[int]:
    """Return the sizes of the batches; a single last sample joins the batch before it, of more samples."""
    sizes = [min(batch_size, n_samples - start) for start in range(0, n_samples, batch_size)]
    return [*sizes[:-2], sizes[-2] + 1] if len(sizes) > 1 and sizes[-1] == 1 < batch_size else sizes


def predictions(kind: str, output: torch.Tensor) -> list[int]:
    """Return the class index of each sample, compared value by value."""
    if output.ndim == 3:
        return [row.index(max(row)) for row in probabilities(kind, output).tolist()]
    rows = output.tolist()
    if kind == "bce":
        return [int(np.ravel(row)[0] > 0.5) for row in rows]
    if kind == "bce_logits":
        return [int(np.ravel(row)[0] > 0) for row in rows]
    return [row.index(max(row)) for row in rows]


def accuracies(name: str, predicted: list[int], targets: list[int], n_classes: int) -> dict[str, float]:
    """Return the accuracy under `name`, and that of every class c under ``name[c]``."""
    pairs = list(zip(predicted, targets, strict=True))
    found = {name: sum(p == t for p, t in pairs) / len(pairs)}
    for c in range(n_classes):
        own = [p == t for p, t in pairs if t == c]
        found[f"{name}[{c}]"] = sum(own) / len(own) if own else math.nan
    return found


def probabilities(kind: str, output: torch.Tensor) -> npt.NDArray[Any]:
    """Return the probability of each class."""
    if output.ndim == 3:
        return np.mean([probabilities(kind, output[:, member]) for member in range(output.shape[1])], axis=0)
    values = output.numpy()
    if kind in ("bce", "bce_logits"):
        p = values.reshape(-1) if kind == "bce" else 1 / (1 + np.exp(-values.reshape(-1)))
        return np.column_stack([1 - p, p])
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@dataclass
class Reference:
    """One training: the module as it is now, its optimizer, and a row per epoch.

    Parameters
    ----------
    module : nn.Module
        Is copied.
    seed : int
        Seed of the fit.
    """

    module: nn.Module
    recipe: Recipe
    seed: int
    epoch: int = 0
    best_epoch: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.module = copy.deepcopy(self.module)
        self.optimizer = self.recipe.optimizer(list(self.module.parameters()))

    def fit(self, samples: Samples, validation: Samples | None) -> Reference:
        """Train `max_epochs` epochs or until the patience is used up; keep the weights of the best epoch."""
        recipe, groups = self.recipe, self.optimizer.param_groups
        before = [{k: g[k] for k in ("lr", "momentum", "betas") if k in g} for g in groups]
        training = self._trained_on(samples)
        n_steps = len(sizes_of(len(training.X), recipe.batch_size))
        scheduler = recipe.scheduler and recipe.scheduler(self.optimizer, recipe.max_epochs * n_steps)
        first, states = len(self.rows), []
        for _ in range(recipe.max_epochs):
            self.epoch += 1
            self.rows.append(self._row(samples, training, validation, scheduler))
            states.append(copy.deepcopy(self.module.state_dict()))
            if scheduler is not None and not isinstance(scheduler, _PER_STEP):
                plateau = isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)
                scheduler.step(*[self.rows[-1][self._followed(validation)]] * plateau)
            if self._exhausted(self.rows[first:]):
                break
        best = self._best(self.rows[first:])
        self.best_epoch = self.epoch - len(states) + 1 + best
        self.module.load_state_dict(states[best])
        for group, values in zip(groups, before, strict=True):
            group.update(values)
            group.pop("initial_lr", None)
        return self

    def output(self, X: torch.Tensor) -> torch.Tensor:
        """Return the outputs in evaluation mode, of all samples at once."""
        self.module.eval()
        with torch.no_grad():
            output: torch.Tensor = self.module(X)
        return output

    def _trained_on(self, samples: Samples) -> Samples:
        """Return the samples with a positive weight."""
        return samples if samples.weights is None else samples.take((samples.weights > 0).nonzero()[:, 0])

    def _followed(self, validation: Samples | None) -> str:
        return "train_loss" if validation is None else "valid_loss"

    def _row(self, samples: Samples, training: Samples, validation: Samples | None, scheduler: Any) -> dict[str, float]:
        row = {"lr": float(self.optimizer.param_groups[0]["lr"])}
        row |= self._train_epoch(training, scheduler)
        row |= self._evaluated("train", samples.without_weights())
        if validation is not None:
            row |= self._evaluated("valid", validation)
            criterion, weights = self.recipe.criterion, validation.weights
            loss = float(criterion.loss(self.output(validation.X), validation.targets, weights))
            row["valid_loss"] = loss if criterion.counts(validation.targets, weights) else math.nan
        return row

    def _evaluated(self, phase: str, samples: Samples) -> dict[str, float]:
        predicted = predictions(self.recipe.criterion.kind, self.output(samples.X))
        return accuracies(f"{phase}_acc", predicted, samples.targets.tolist(), self.recipe.n_classes)

    def _train_epoch(self, training: Samples, scheduler: Any) -> dict[str, float]:
        """Take one step per batch in which a sample counts; return the loss and the running accuracies.

        The loss is the mean of the batch losses, weighted by their divisors; for ``reduction="sum"`` their sum.
        """
        losses, divisors, predicted, targets = [], [], [], []
        criterion = self.recipe.criterion
        self.module.train()
        for batch in self._batches(training):
            self.optimizer.zero_grad(set_to_none=True)
            output = self.module(batch.X)
            predicted += predictions(criterion.kind, output.detach())
            targets += batch.targets.tolist()
            divisor = criterion.divisor(output.detach(), batch.targets, batch.weights)
            if divisor == 0 and criterion.reduction == "mean":
                continue
            loss = criterion.loss(output, batch.targets, batch.weights)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            if isinstance(scheduler, _PER_STEP):
                scheduler.step()
            losses.append(loss.item())
            divisors.append(divisor)
        total = sum(losses)
        if criterion.reduction != "sum":
            total = float(np.average(losses, weights=divisors)) if losses else math.nan
        return {"train_loss": total} | accuracies("train_acc_running", predicted, targets, self.recipe.n_classes)

    def _batches(self, training: Samples) -> Iterator[Samples]:
        torch_seed, _, _, order_seed = epoch_seeds(self.seed, self.epoch)
        torch.manual_seed(torch_seed)
        order = torch.randperm(len(training.X), generator=torch.Generator().manual_seed(order_seed))
        for chosen in order.split(sizes_of(len(order), self.recipe.batch_size)):
            yield training.take(chosen)

    def _exhausted(self, rows: list[dict[str, float]]) -> bool:
        if self.recipe.stopping is None:
            return False
        column, patience, tol = self.recipe.stopping
        reference, waited = -math.inf, 0
        for row in rows:
            value = -row[column] if "loss" in column else row[column]
            reference, waited = (value, 0) if value > reference + tol else (reference, waited + 1)
        return waited >= patience

    def _best(self, rows: list[dict[str, float]]) -> int:
        if self.recipe.stopping is None:
            return len(rows) - 1
        column = self.recipe.stopping[0]
        values = [-row[column] if "loss" in column else row[column] for row in rows]
        return values.index(max(values))
