"""The loss of all validation samples as the criterion defines it, whatever the chunks they are evaluated in."""

from __future__ import annotations

import math
from typing import Protocol

import torch

from sktorch_acc._global_state import guarded_generators
from sktorch_acc.counts import AccuracyCounter
from sktorch_acc.data import Examples
from sktorch_acc.engine.diverged import refuse_unusable, with_cause
from sktorch_acc.engine.evaluate import each_output
from sktorch_acc.engine.observer import batch_observers, tell
from sktorch_acc.engine.state import Fit
from sktorch_acc.engine.untouched import untouched
from sktorch_acc.exceptions import warn

MOST_COLLECTED = 64 * 2**20  # bytes of outputs
_COARSE = (torch.float16, torch.bfloat16)  # in which the sum of a chunk's losses depends on their order


def validate(fit: Fit, examples: Examples, counter: AccuracyCounter | None) -> tuple[float, int]:
    """Return the loss in evaluation mode, and how many samples have no probabilities.

    Correct predictions are counted if asked to, and observers are told of each chunk. The loss is NaN if the criterion
    counts no sample.
    """
    told, model = bool(batch_observers(fit)), fit.model
    fit.loss.train(False)
    total: _Total = _Sums(fit, examples) if fit.loss.additive else _Collected(fit, examples, told)
    n_unusable = 0

    def consume(start: int, stop: int, output: torch.Tensor) -> None:
        nonlocal n_unusable
        fit.first.evaluation_form.check(output, model.module)
        n_unusable += refuse_unusable(fit, output)
        if counter is not None:
            counter.update(model.spec.classes(output), examples.targets[start:stop])
        heard = output.clone() if told else output  # the criterion may write to it
        loss = total.add(output, start, stop)
        if told:
            batch = (examples.rows.chunk(start, stop), examples.targets[start:stop].clone())
            tell(fit, "batch_begin", batch, False)
            tell(fit, "batch_end", batch, (loss, heard), False)

    each_output(model.module, examples.rows, consume)
    counts = fit.loss.counts_any(examples.targets, examples.weights)
    return total.value() if counts else math.nan, n_unusable


def infinite_losses(fit: Fit, examples: Examples) -> int | None:
    """Return how many samples that count have a loss that is not finite; None if the criterion does not tell."""
    found: list[torch.Tensor | None] = []

    def consume(start: int, stop: int, output: torch.Tensor) -> None:
        indices, weights = _part(examples, start, stop)
        losses = fit.loss.of_each(output, indices)
        counted = fit.loss.counted(indices, weights)
        found.append(None if losses is None else (counted & ~torch.isfinite(losses)).sum())

    each_output(fit.model.module, examples.rows, consume)
    return None if any(part is None for part in found) else sum(int(part) for part in found if part is not None)


class _Total(Protocol):
    def add(self, output: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        """Take a chunk; return its loss, 0 if no sample of it counts."""

    def value(self) -> float:
        """Return the loss of all chunks."""


class _Sums:
    """Losses of chunks, weighted by what the criterion divided each by: the samples, or the sum of their shares."""

    def __init__(self, fit: Fit, examples: Examples) -> None:
        self._fit, self._examples = fit, examples
        self._counted = examples.weights is not None or fit.loss.by_class
        self._losses: list[torch.Tensor] = []
        self._weights: list[float] = []
        self._of_no_share = 0.0

    def add(self, output: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        loss, weight = self._fit.loss, float(stop - start)
        indices, weights = _part(self._examples, start, stop)
        if loss.summed:
            weight = 1.0
        elif self._counted:
            weight = float(loss.shares(indices, weights).sum())
        if weight == 0:
            if loss.additive and loss.smooths:  # samples of a class of weight 0 add to the numerator
                self._of_no_share += float(loss.numerator(output, indices, weights))
            return output.new_zeros(())
        if loss.additive and output.dtype in _COARSE:
            total = with_cause(self._fit, lambda z, _: loss.numerator(z, indices, weights))(output, None)
            value = total if loss.summed else total / weight
        else:
            value = _loss_of(self._fit, output, indices, weights)
        self._losses.append(value.clone())  # which the criterion may return again for the next chunk
        self._weights.append(weight)
        return self._losses[-1].to(output.dtype)

    def value(self) -> float:
        if not self._losses:
            return math.nan
        weights = torch.tensor(self._weights, dtype=torch.float64)
        total = torch.stack(self._losses).to(torch.float64).cpu() @ weights + self._of_no_share
        return float(total) if self._fit.loss.summed else float(total / sum(self._weights))


class _Collected:
    """The outputs of all chunks, for one call of a criterion that may compare samples; if they are few enough."""

    def __init__(self, fit: Fit, examples: Examples, told: bool) -> None:
        self._fit, self._examples, self._told = fit, examples, told
        self._outputs: list[torch.Tensor] = []
        self._chunks = _Sums(fit, examples)
        self._collects = True

    def add(self, output: torch.Tensor, start: int, stop: int) -> torch.Tensor:
        n_samples = len(self._examples)
        if start == 0:
            size = output.element_size() * output.numel() // stop * n_samples
            self._collects = stop < n_samples and size <= MOST_COLLECTED
            if size > MOST_COLLECTED and stop < n_samples:
                self._remark(size)
        if self._collects:
            self._outputs.append(output.clone())
        if not self._collects:
            return self._chunks.add(output, start, stop)
        if not self._told:
            return output.new_zeros(())
        loss = self._fit.loss  # which has the state of one call more for nobody
        with untouched(loss.criterion, loss.per_sample), guarded_generators(self._fit.model.device):
            return self._chunks.add(output, start, stop)

    def value(self) -> float:
        if not self._collects:
            return self._chunks.value()
        examples = self._examples
        if not self._fit.loss.counts_any(examples.targets, examples.weights):
            return math.nan
        with torch.no_grad():
            return float(_loss_of(self._fit, torch.cat(self._outputs), examples.targets, examples.weights))

    def _remark(self, size: int) -> None:
        if self._fit.state.epoch + 1 == self._fit.first_epoch:
            warn(
                f"valid_loss is the mean over chunks of the validation samples: their outputs take {size / 2**20:.0f} "
                f"MiB, more than the {MOST_COLLECTED / 2**20:.0f} MiB for one call of "
                f"{type(self._fit.loss.criterion).__name__}. The mean is exact if the criterion is a mean over samples."
            )


def _part(examples: Examples, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    weights = examples.weights
    return examples.targets[start:stop], None if weights is None else weights[start:stop]


def _loss_of(fit: Fit, output: torch.Tensor, indices: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
    if weights is None:
        return with_cause(fit, fit.loss.plain)(output, fit.loss.targets(indices))  # type: ignore[no-any-return]
    counted = weights != 0
    if not fit.loss.additive and not bool(counted.all()):  # a criterion that compares samples is to see no others
        output, indices, weights = output[counted], indices[counted], weights[counted]
    return with_cause(fit, fit.loss.evaluated)(output, (fit.loss.targets(indices), weights))  # type: ignore[no-any-return]
