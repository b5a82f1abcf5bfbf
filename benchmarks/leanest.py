"""The baseline: the leanest loop that can be written by hand for one module and one table.

It records only the loss of each epoch. There is no `DataLoader`, accuracy or progress bar. Samples are shuffled by
one gather per epoch and batches are views of the result, gradients are set to None instead of zero, AdamW is fused,
and losses are read once per epoch. A last batch of one sample is joined to the batch before it, as in the library, so
that both take the same steps.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from benchmarks.measure import now

__all__ = ["LeanestFit", "batched_forward"]


class LeanestFit:
    """Train a module on tensors; `stamps` holds the times before each epoch and after the last."""

    def __init__(self, module: nn.Module, X: torch.Tensor, y: torch.Tensor, batch_size: int) -> None:
        self.module, self.X, self.y, self.batch_size = module, X, y, batch_size
        self.losses: list[float] = []
        self.stamps: list[float] = []

    def sizes(self) -> list[int]:
        """Return the number of samples in each batch."""
        full, tail = divmod(len(self.X), self.batch_size)
        sizes = [self.batch_size] * full + [tail] * (tail > 0)
        if tail == 1 and full:
            sizes[-2:] = [self.batch_size + 1]
        return sizes

    def fit(self, n_epochs: int) -> LeanestFit:
        """Run the epochs."""
        module, X, y, sizes = self.module, self.X, self.y, self.sizes()
        parameters = list(module.parameters())
        optimizer = torch.optim.AdamW(parameters, lr=1e-3, fused=True)
        loss_of = nn.CrossEntropyLoss()
        module.train()
        for _ in range(n_epochs):
            self.stamps.append(now())
            order = torch.randperm(len(X))
            # index_select is three times faster than X[order], split than a slice per batch
            batches = zip(X.index_select(0, order).split(sizes), y.index_select(0, order).split(sizes), strict=True)
            losses = []
            for x, target in batches:
                for parameter in parameters:
                    parameter.grad = None
                loss = loss_of(module(x), target)
                loss.backward()
                optimizer.step()
                losses.append(loss.detach())
            self.losses.append(float(torch.stack(losses).mean()))
        self.stamps.append(now())
        return self


def batched_forward(
    module: nn.Module, X: torch.Tensor, convert: Callable[[torch.Tensor], torch.Tensor], chunk: int = 4096
) -> torch.Tensor:
    """Return ``convert(output)`` for all samples, computed in chunks and stored in memory that is allocated once."""
    module.eval()
    result: torch.Tensor | None = None
    with torch.no_grad():
        for start in range(0, len(X), chunk):
            part = convert(module(X[start : start + chunk]))
            if result is None:
                result = part.new_empty((len(X), *part.shape[1:]))
            result[start : start + chunk] = part
    assert result is not None
    return result
