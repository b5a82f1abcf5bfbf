"""The fits that `benchmarks.golden` compares between commits, and the results that are compared.

    python -m benchmarks.configurations OUT [NAME ...]

writes the results of the package that this process imports. All fits are seeded and run on the CPU with one thread.
Their batches begin at multiples of 64 bytes (batch size x columns x bytes of a value), because the bits of matrix
products depend on it; the other configurations have ``aligned=False``.
"""

from __future__ import annotations

import pickle
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
import torch
from sklearn.callback import ScoringMonitor
from sklearn.datasets import make_classification
from skorch import callbacks as skorch_callbacks
from torch import nn

from benchmarks.commits import check_import
from sktorch_acc import TorchClassifier
from tests.modules import Doubles, Ensemble, Floats, Images, OneLogit

__all__ = ["CONFIGURATIONS", "Configuration", "collect"]


@dataclass(frozen=True)
class Trained:
    """A fitted classifier, the samples to predict, and the recorded calls of its callbacks."""

    clf: TorchClassifier
    X: Any
    calls: Any = None


@dataclass(frozen=True)
class Configuration:
    """A named fit.

    Parameters
    ----------
    name : str
        Name for the output and for ``--only``.
    train : callable
        Trains a new classifier and returns the results.
    aligned : bool
        Whether every batch begins at a multiple of 64 bytes.
    """

    name: str
    train: Callable[[], Trained]
    aligned: bool = True


# ------------------------------------------------------------ data, modules, classifiers


def table(n_samples: int = 208, n_features: int = 16, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 features and the labels of unbalanced classes."""
    X, y = make_classification(
        n_samples,
        n_features,
        n_informative=6,
        n_classes=n_classes,
        weights=[0.5] + [0.5 / (n_classes - 1)] * (n_classes - 1),
        random_state=0,
    )
    return X.astype(np.float32), np.array(["fox", "cat", "dog"])[y]


X, Y = table()
WEIGHTS = np.random.default_rng(0).integers(0, 4, len(X)) / 2  # some are 0: these samples are not trained on


def dropout(n_features: int, n_classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(n_features, 32), nn.ReLU(), nn.Dropout(0.4), nn.Linear(32, n_classes))


def batch_norm(n_features: int, n_classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(n_features, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, n_classes))


class Late(nn.Module):
    """A module that uses one of its layers only from the twelfth training step on, in the middle of an epoch."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.first, self.late = nn.Linear(n_features, n_classes), nn.Linear(n_classes, n_classes)
        self.register_buffer("n_steps", torch.zeros((), dtype=torch.int64))

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        self.n_steps += self.training
        z = self.first(X)
        return z + self.late(z) if self.n_steps >= 12 else z


def classifier(module: Any = dropout, **settings: Any) -> TorchClassifier:
    common = {"lr": 0.02, "max_epochs": 3, "batch_size": 32, "random_state": 0, "device": "cpu", "n_threads": 1}
    return TorchClassifier(module, **{**common, **settings})


def plain(name: str, module: Any = dropout, *, sample_weight: Any = None, **settings: Any) -> Configuration:
    """Return a configuration with another module or other parameters."""
    return Configuration(
        name, lambda: Trained(classifier(module, **settings).fit(X, Y, sample_weight=sample_weight), X)
    )


def on(name: str, module: Any, X: Any, y: Any, *, aligned: bool = True, **settings: Any) -> Configuration:
    """Return a configuration on other data."""
    return Configuration(name, lambda: Trained(classifier(module, **settings).fit(X, y), X), aligned)


# ------------------------------------------------------------ other fits


def validated_on_samples() -> Trained:
    clf = classifier(early_stopping=True, n_iter_no_change=3, max_epochs=40, lr=0.05)
    return Trained(clf.fit(X[:144], Y[:144], X_val=X[144:], y_val=Y[144:]), X)


def warm_start() -> Trained:
    clf = classifier(warm_start=True).fit(X, Y)
    return Trained(clf.set_params(lr=0.005).fit(X, Y), X)


def warm_start_with_a_schedule() -> Trained:
    clf = classifier(warm_start=True, lr_scheduler="cosine").fit(X, Y)
    return Trained(clf.set_params(lr=0.005, lr_scheduler=None).fit(X, Y), X)


def partial_fits() -> Trained:
    clf = classifier()
    for start in (0, 64, 128):
        clf.partial_fit(X[start : start + 80], Y[start : start + 80], classes=["cat", "dog", "fox"])
    return Trained(clf, X)


class Recorder(skorch_callbacks.Callback):
    """Override the batch hooks, record the calls, and draw random numbers, which must not change the weights."""

    def initialize(self) -> Recorder:
        self.calls_: list[Any] = []
        return self

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kwargs: Any) -> None:
        self.calls_.append(("train begin", len(X), len(net.history)))

    def on_epoch_begin(self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kwargs: Any) -> None:
        torch.rand(1)
        self.calls_.append(("epoch begin", len(dataset_train), len(dataset_valid or ())))

    def on_batch_begin(self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any) -> None:
        self.calls_.append(("batch begin", training, len(batch[0])))

    def on_grad_computed(self, net: Any, named_parameters: Any, **kwargs: Any) -> None:
        gradients = [(name, float(p.grad.abs().sum())) for name, p in named_parameters if p.grad is not None]
        self.calls_.append(("gradients", gradients))

    def on_batch_end(self, net: Any, batch: Any = None, training: bool = False, **kwargs: Any) -> None:
        torch.rand(1)
        net.module_.eval()
        loss, output = float(kwargs["loss"]), float(kwargs["y_pred"].abs().sum())
        self.calls_.append(("batch end", training, len(batch[0]), loss, output))

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        self.calls_.append(("epoch end", sorted(net.history[-1]), net.predict(X).tolist()))

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        self.calls_.append(("train end", len(net.history)))


def with_batch_hooks() -> Trained:
    scoring = skorch_callbacks.EpochScoring("accuracy", lower_is_better=False, on_train=True, name="theirs")
    clf = classifier(callbacks=[("recorder", Recorder), scoring], validation_fraction=0.25).fit(X, Y)
    return Trained(clf, X, dict(clf.callbacks_)["recorder"].calls_)


def with_epoch_hooks() -> Trained:
    """Train with callbacks without batch hooks, one of which restores the best weights."""
    schedule = skorch_callbacks.LRScheduler(policy="StepLR", step_size=2, gamma=0.5)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = skorch_callbacks.Checkpoint(dirname=folder, monitor="valid_loss_best", load_best=True)
        clf = classifier(callbacks=[schedule, checkpoint], validation_fraction=0.25, max_epochs=12, lr=0.1)
        return Trained(clf.fit(X, Y), X, sorted(path.name for path in Path(folder).iterdir()))


class Tasks:
    """A callback of scikit-learn that records its calls and draws random numbers."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def setup(self, estimator: Any, context: Any) -> None:
        self.calls.append("setup")

    def teardown(self, estimator: Any, context: Any) -> None:
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        torch.rand(1)
        self.calls.append(("begin", context.task_name, context.task_id))

    def on_fit_task_end(self, estimator: Any, context: Any) -> bool:
        torch.rand(1)
        self.calls.append(("end", context.task_name, context.task_id))
        return context.task_name == "epoch" and context.task_id == 4


def with_sklearn_callbacks() -> Trained:
    tasks, monitor = Tasks(), ScoringMonitor(scoring="accuracy")
    clf = classifier(max_epochs=9, validation_fraction=0.25).set_callbacks(tasks, monitor).fit(X, Y)
    log = monitor.get_logs().data_as_pandas
    return Trained(clf, X, [tasks.calls, log["task_name"].tolist(), log["accuracy"].tolist()])


# ------------------------------------------------------------ all of them

_IMAGES = np.random.default_rng(0).standard_normal((208, 1, 8, 8), dtype=np.float32)
_SPARSE = scipy.sparse.csr_matrix(np.where(X > 0.5, X, 0).astype(np.float64))  # float64: converted, so aligned
_WIDE = table(2100, 1024)
_ODD = table(203, 13)
_TWO = Y == "fox"

CONFIGURATIONS = [
    plain("dropout"),
    plain("batch norm", batch_norm),
    on("bundled module and defaults", None, X.astype(np.float64), Y, lr=1e-3, batch_size=128),
    plain("sample weights", sample_weight=WEIGHTS),
    plain("class weight", class_weight="balanced", validation_fraction=0.25),
    plain("one-cycle schedule", lr_scheduler="onecycle"),
    plain("cosine schedule", lr_scheduler="cosine", max_epochs=5),
    plain(
        "plateau schedule",
        lr_scheduler="plateau",
        lr_scheduler__patience=0,
        max_epochs=12,
        lr=0.1,
        validation_fraction=0.25,
    ),
    plain("early stopping", early_stopping=True, n_iter_no_change=3, max_epochs=40, lr=0.05, validation_fraction=0.25),
    Configuration("early stopping on X_val", validated_on_samples),
    Configuration("warm start", warm_start),
    Configuration("warm start, the schedule dropped", warm_start_with_a_schedule),
    Configuration("partial_fit", partial_fits),
    on("one column (BCEWithLogitsLoss)", OneLogit, X, _TWO, criterion=nn.BCEWithLogitsLoss),
    on("sparse X", Floats, _SPARSE, Y),
    on("images", Images, _IMAGES, Y, validation_fraction=0.25),
    plain("ensemble", Ensemble, train_accuracy="running"),
    plain("SGD, nothing recorded", optimizer=torch.optim.SGD, optimizer__momentum=0.9, train_accuracy=None),
    plain("LBFGS", Floats, optimizer=torch.optim.LBFGS),
    plain("a layer used late", Late),
    plain("parameter groups", optimizer__param_groups=[("0.*", {"lr": 0.1}), ("3.bias", {"weight_decay": 0.5})]),
    on("several blocks and chunks", Floats, *_WIDE, batch_size=512),
    Configuration("skorch callbacks per batch", with_batch_hooks),
    Configuration("skorch callbacks per epoch", with_epoch_hooks),
    Configuration("scikit-learn callbacks", with_sklearn_callbacks),
    on("13 float64 columns, batches of 17", Doubles, *_ODD, batch_size=17, aligned=False),
    on("13 float32 columns, batches of 17", Floats, *_ODD, batch_size=17, aligned=False),
]


# ------------------------------------------------------------ what is compared


def collect(configuration: Configuration) -> dict[str, Any]:
    """Train a configuration; return the results to compare, by name."""
    try:
        trained = configuration.train()
    except Exception as err:  # the other configurations can still be compared
        traceback.print_exc()
        return {"error": f"{type(err).__name__}: {err}"}
    clf = trained.clf
    history = clf.history_.drop(columns="seconds")
    return {
        "weights": {name: value.numpy(force=True) for name, value in clf.module_.state_dict().items()},
        "columns of history_": [history.index.tolist(), history.columns.tolist()],
        **{f"history_[{name!r}]": history[name].to_numpy() for name in history},
        "best_epoch_": clf.best_epoch_,
        "n_iter_": clf.n_iter_,
        "predict_proba": clf.predict_proba(trained.X),
        "skorch history": [{name: row[name] for name in row if name != "dur"} for row in clf.net_.history],
        "calls of callbacks": trained.calls,
    }


def main(arguments: Sequence[str]) -> None:
    """Write the results of all configurations, or of the named ones."""
    check_import()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    out, *names = arguments
    chosen = [c for c in CONFIGURATIONS if not names or c.name in names]
    Path(out).write_bytes(pickle.dumps({c.name: collect(c) for c in chosen}))


if __name__ == "__main__":
    main(sys.argv[1:])
