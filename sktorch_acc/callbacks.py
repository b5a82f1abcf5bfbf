"""Callbacks that record the exact training accuracy, in a plain skorch net too.

Inside `TorchClassifier` the loop has recorded it already; these then add nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from skorch.callbacks import Callback
from skorch.dataset import unpack_data
from skorch.utils import to_tensor

from sktorch_acc._global_state import guarded_generators
from sktorch_acc._rates import rates
from sktorch_acc.counts import AccuracyCounter
from sktorch_acc.observers.skorch_net import SkorchNet

__all__ = ["PerClassAccuracy", "TrainAccuracy"]


class TrainAccuracy(Callback):
    """Record the accuracy on the rows trained on, measured after each epoch in evaluation mode.

    In a plain ``skorch.NeuralNetClassifier`` it adds ``train_acc`` to ``net.history``: the share of rows
    of the training split that ``net`` classifies correctly with the weights it then has. skorch's own
    ``EpochScoring(on_train=True)`` averages over predictions made while the weights moved.

    Notes
    -----
    One more forward pass over the training samples per epoch. Counts are int64, the accuracy equals
    ``accuracy_score`` with ``==``, and no generator is moved.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skorch import NeuralNetClassifier
    >>> X = np.random.default_rng(0).standard_normal((60, 4)).astype("float32")
    >>> y = (X[:, 0] > 0).astype("int64")
    >>> net = NeuralNetClassifier(
    ...     torch.nn.Linear(4, 2), criterion=torch.nn.CrossEntropyLoss, max_epochs=3, train_split=None,
    ...     callbacks=[TrainAccuracy()], verbose=0,
    ... ).fit(X, y)
    >>> bool(net.history[-1, "train_acc"] == net.score(X, y))
    True
    """

    def on_epoch_end(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        """Record ``train_acc``."""
        if "train_acc" in net.history[-1]:
            return
        counter = _count(net, dataset_train)
        net.history.record("train_acc", float(rates(counter.correct.sum(), counter.support.sum())))


class PerClassAccuracy(Callback):
    """Record the accuracy of every class on the rows trained on, measured after each epoch.

    Adds ``train_acc[<label>]`` to ``net.history``, NaN for a class without rows.

    Parameters
    ----------
    labels : sequence or None, default=None
        Name of each class index; None: the labels of the `TorchClassifier`, or the ``classes_`` of a plain net.
    """

    def __init__(self, labels: Sequence[Any] | None = None) -> None:
        self.labels = labels

    def on_epoch_end(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        """Record ``train_acc[<label>]`` for every class."""
        labels = _labels(net) if self.labels is None else self.labels
        names = [f"train_acc[{label}]" for label in labels]
        if all(name in net.history[-1] for name in names):
            return
        by_class = _count(net, dataset_train, len(names)).per_class()
        for name, accuracy in zip(names, by_class, strict=True):
            net.history.record(name, float(accuracy))


def _labels(net: Any) -> Any:
    return net.labels_ if isinstance(net, SkorchNet) else net.classes_


def _count(net: Any, dataset: Any, n_classes: int | None = None) -> AccuracyCounter:
    """Count the net's correct predictions on a dataset, by its own `predict` and without moving a generator."""
    device = torch.device(net.device)
    with guarded_generators(device):  # a DataLoader draws a seed at each pass
        predicted = torch.as_tensor(np.asarray(net.predict(dataset)))
        if isinstance(net, SkorchNet):
            target = torch.as_tensor(dataset.y)
        else:
            batches = net.get_iterator(dataset, training=False)
            target = torch.cat([to_tensor(unpack_data(batch)[1], device="cpu") for batch in batches])
    target = target.reshape(-1).to(torch.int64)
    if n_classes is None:
        n_classes = int(max(int(target.max()), int(predicted.max()))) + 1
    counter = AccuracyCounter(n_classes)
    counter.update(predicted.reshape(-1).to(torch.int64), target)
    return counter
