"""The multilayer perceptron that ``TorchClassifier(module=None)`` trains."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class MLP(nn.Module):
    """Linear layers with ReLU between them.

    Parameters
    ----------
    n_features : int
        Number of columns of X.
    out_features : int
        Number of outputs: the number of classes, or 1 for a criterion on one column.
    hidden_sizes : sequence of int, default=(64,)
        Number of units of each hidden layer; ``()`` for a linear model.
    dropout : float, default=0.0
        Share of hidden units set to 0 in each training step.

    Examples
    --------
    >>> import torch
    >>> MLP(12, 3)(torch.zeros(5, 12)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self, n_features: int, out_features: int, hidden_sizes: Sequence[int] = (64,), dropout: float = 0.0
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = n_features
        for size in hidden_sizes:
            layers += [nn.Linear(width, size), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = size
        layers.append(nn.Linear(width, out_features))
        self.layers = nn.Sequential(*layers)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        """Return logits of shape (n_samples, out_features) for X of shape (n_samples, n_features)."""
        return self.layers(X)  # type: ignore[no-any-return]
