"""Callbacks of skorch that record the exact training accuracy.

They are meant for plain skorch nets. `TorchClassifier` records the accuracy itself; there they record only what is
missing in ``net_.history``.
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
from sktorch_acc.engine.interrupts import Interrupts
from sktorch_acc.observers.skorch_net import SkorchNet

__all__ = ["PerClassAccuracy", "TrainAccuracy"]


class TrainAccuracy(Callback):
    """Record the accuracy on the training samples, measured after each epoch in evaluation mode.

    The callback adds ``train_acc`` (float in [0, 1]) to ``net.history`` of a ``skorch.NeuralNetClassifier``: the share
    of the samples of the training split that ``net.predict`` classifies correctly after the epoch. With
    ``EpochScoring(on_train=True)``, skorch scores predictions that were made while the weights were updated.

    See Also
    --------
    PerClassAccuracy : Record the accuracy of each class.

    Notes
    -----
    This takes one additional forward pass over the training samples per epoch. The accuracy is a quotient of int64
    counts and equals ``accuracy_score`` to the last bit. The state of the random generators is restored.

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
        """Record ``train_acc``, unless the epoch has it."""
        if "train_acc" in net.history[-1]:
            return
        counter = _count(net, dataset_train)
        net.history.record("train_acc", float(rates(counter.correct.sum(), counter.support.sum())))


class PerClassAccuracy(Callback):
    """Record the accuracy of each class on the training samples, measured after each epoch in evaluation mode.

    The callback adds ``train_acc[<label>]`` (float in [0, 1]) to ``net.history`` for each class; NaN for a class
    without samples.

    Parameters
    ----------
    labels : sequence or None, default=None
        Label of each class index; None: the labels of the `TorchClassifier`, or ``classes_`` of a plain net.

    See Also
    --------
    TrainAccuracy : Record the accuracy over all classes.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from skorch import NeuralNetClassifier
    >>> X = np.random.default_rng(0).standard_normal((60, 4)).astype("float32")
    >>> y = (X[:, 0] > 0).astype("int64")
    >>> net = NeuralNetClassifier(
    ...     torch.nn.Linear(4, 2), criterion=torch.nn.CrossEntropyLoss, max_epochs=3, train_split=None,
    ...     callbacks=[PerClassAccuracy(["low", "high"])], verbose=0,
    ... ).fit(X, y)
    >>> high = y == 1
    >>> bool(net.history[-1, "train_acc[high]"] == net.score(X[high], y[high]))
    True
    """

    def __init__(self, labels: Sequence[Any] | None = None) -> None:
        self.labels = labels

    def on_epoch_end(self, net: Any, dataset_train: Any = None, **kwargs: Any) -> None:
        """Record ``train_acc[<label>]`` of each class, unless the epoch has them."""
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
    """Count the correct predictions of ``net.predict`` on a dataset; the generators are restored."""
    device = torch.device(net.device)
    guard = guarded_generators(device)  # a DataLoader draws a seed at each pass
    with Interrupts().watching() as interrupts, guard, interrupts.interruptible():
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
