"""Modules as users write them, for the tests."""

import torch
from torch import nn


class Doubles(nn.Module):
    """64 ReLU units with float64 parameters, in which the weight-equivalence checks can hold."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, 64), nn.ReLU(), nn.Linear(64, n_classes))
        self.double()

    def forward(self, X):
        return self.layers(X)


class Floats(Doubles):
    """The same in float32."""

    def __init__(self, n_features, n_classes):
        super().__init__(n_features, n_classes)
        self.float()


class DropNorm(nn.Module):
    """Batch norm and dropout: what differs between training and evaluation."""

    def __init__(self, n_features, n_classes, hidden=16, p=0.5):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, hidden),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Dropout(p),
            nn.Linear(hidden, n_classes),
        )

    def forward(self, X):
        return self.layers(X)


class OneLogit(nn.Module):
    """One column for two classes, flat or not."""

    def __init__(self, n_features, flat=False):
        super().__init__()
        self.layer = nn.Linear(n_features, 1)
        self.flat = flat

    def forward(self, X):
        z = self.layer(X)
        return z.reshape(-1) if self.flat else z


class OneDouble(OneLogit):
    """The same with float64 parameters."""

    def __init__(self, n_features):
        super().__init__(n_features)
        self.double()


class OneProbability(OneLogit):
    def forward(self, X):
        return super().forward(X).sigmoid()


class LogProbabilities(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layer = nn.Linear(n_features, n_classes)

    def forward(self, X):
        return self.layer(X).log_softmax(dim=1)


class Ensemble(nn.Module):
    """(n, members, columns)."""

    def __init__(self, n_features, out_features, members=3):
        super().__init__()
        self.members = nn.ModuleList(nn.Linear(n_features, out_features) for _ in range(members))

    def forward(self, X):
        return torch.stack([member(X) for member in self.members], dim=1)


class Images(nn.Module):
    def __init__(self, in_channels, n_classes):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, n_classes),
        )

    def forward(self, X):
        return self.layers(X)


class Sequences(nn.Module):
    """Integer tokens through an embedding and a GRU."""

    def __init__(self, n_classes, n_tokens=20, width=16):
        super().__init__()
        self.embedding = nn.Embedding(n_tokens, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, n_classes)

    def forward(self, X):
        return self.head(self.gru(self.embedding(X))[1][-1])


class Lazy(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.layers = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(n_classes))

    def forward(self, X):
        return self.layers(X)
