"""Other ways to train: each function returns the seconds of an epoch, or an estimator to fit."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNetClassifier
from skorch.callbacks import EpochScoring
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.leanest import LeanestFit
from benchmarks.measure import now
from benchmarks.tables import Case, Stamped, per_epoch

__all__ = ["has_realmlp", "leanest", "mlp", "mlp_estimator", "realmlp", "skorch_estimator", "skorch_net", "tutorial"]


def leanest(case: Case, X: Any, y: Any, n_epochs: int = 12) -> float:
    """Return the seconds of an epoch of the baseline, `benchmarks.leanest`."""
    fit = LeanestFit(case.module(), torch.from_numpy(X), torch.from_numpy(y), case.batch_size)
    return per_epoch(fit.fit(n_epochs).stamps)


def tutorial(case: Case, X: Any, y: Any, n_epochs: int) -> float:
    """Return the seconds of an epoch of a tutorial loop: `DataLoader`, ``zero_grad``, ``loss.item()``, accuracy."""
    module = case.module()
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3)
    loss_of = nn.CrossEntropyLoss()
    dataset = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    loader = DataLoader(dataset, batch_size=case.batch_size, shuffle=True)
    stamps = [now()]
    for _ in range(n_epochs):
        module.train()
        running_loss, correct = 0.0, 0
        for x, target in loader:
            optimizer.zero_grad()
            output = module(x)
            loss = loss_of(output, target)
            loss.backward()
            optimizer.step()
            running_loss += loss.item() * len(x)
            correct += (output.argmax(1) == target).sum().item()
        assert correct <= len(X)
        stamps.append(now())
    return per_epoch(stamps)


class _Timed(NeuralNetClassifier):
    """A skorch net that stores the time at the start of each epoch."""

    begun: ClassVar[list[float]] = []

    def run_single_epoch(self, iterator: Any, training: bool, prefix: str, step_fn: Any, **fit_params: Any) -> None:
        if training:
            _Timed.begun.append(now())
        super().run_single_epoch(iterator, training, prefix, step_fn, **fit_params)


def skorch_estimator(case: Case, n_epochs: int, accuracy: bool, cls: Any = NeuralNetClassifier) -> Any:
    """Return a skorch net with fused AdamW; it records the training accuracy as in skorch's documentation."""
    scoring = EpochScoring("accuracy", name="train_acc", lower_is_better=False, on_train=True)
    return cls(
        Stamped,
        module__n_features=case.n_features,
        module__hidden=case.hidden,
        module__n_classes=case.n_classes,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        optimizer__fused=True,
        lr=1e-3,
        max_epochs=n_epochs,
        batch_size=case.batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[scoring] if accuracy else None,
        verbose=0,
    )


def skorch_net(case: Case, X: Any, y: Any, n_epochs: int, accuracy: bool) -> float:
    """Return the seconds of an epoch of skorch, from the start of one to that of the next."""
    _Timed.begun.clear()
    skorch_estimator(case, n_epochs + 1, accuracy, _Timed).fit(X, y)
    return per_epoch(_Timed.begun)


class _TimedMLP(MLPClassifier):
    """scikit-learn's network; it stores the time when it records the loss of an epoch."""

    ended: ClassVar[list[float]] = []

    @property
    def loss_(self) -> float:
        return self.__dict__["loss_"]

    @loss_.setter
    def loss_(self, value: float) -> None:
        self.__dict__["loss_"] = value
        _TimedMLP.ended.append(now())


def mlp_estimator(case: Case, n_epochs: int, cls: type[MLPClassifier] = MLPClassifier) -> MLPClassifier:
    """Return scikit-learn's network with the same layers and Adam; it runs exactly `n_epochs` epochs."""
    return cls(
        (case.hidden, case.hidden),
        batch_size=case.batch_size,
        max_iter=n_epochs,
        n_iter_no_change=n_epochs + 1,
        random_state=0,
    )


def mlp(case: Case, X: Any, y: Any, n_epochs: int) -> float:
    """Return the seconds of an epoch of `MLPClassifier`, from the end of one to that of the next."""
    _TimedMLP.ended.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mlp_estimator(case, n_epochs + 1, _TimedMLP).fit(X, y)
    return per_epoch(_TimedMLP.ended[-(n_epochs + 1) :])


def has_realmlp() -> bool:
    """Whether pytabkit is installed."""
    return importlib.util.find_spec("pytabkit") is not None


def realmlp(case: Case, X: Any, y: Any, n_epochs: int) -> float:
    """Return the seconds of an epoch of pytabkit's RealMLP: its defaults, with our width, batch size and one thread."""
    from pytabkit import RealMLP_TD_Classifier

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

    def build(epochs: int) -> Any:
        return RealMLP_TD_Classifier(
            device="cpu",
            n_epochs=epochs,
            batch_size=case.batch_size,
            hidden_sizes=[case.hidden] * 2,
            n_threads=1,
            random_state=0,
        )

    return _by_difference(build, X, y, n_epochs)


def _by_difference(build: Callable[[int], Any], X: Any, y: Any, n_epochs: int) -> float:
    """Return the seconds of an epoch as the difference of a long fit and a short one."""
    taken = []
    for epochs in (2, n_epochs):
        estimator = build(epochs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            start = now()
            estimator.fit(X, y)
            taken.append(now() - start)
    return max(taken[1] - taken[0], 1e-9) / (n_epochs - 2)
