"""Train random estimators on random data, and compare everything they record and return with a slow loop.

    python -m benchmarks.fuzz_estimator --configurations 2000 --seed 0

A configuration is data (sizes, balance, kind of labels), weights, a module, a criterion, an optimizer, a schedule,
early stopping, and a way to train: one `fit`, two with `warm_start`, two with a pickle between them, or `partial_fit`
on parts. Modules compute in float64, so that the two loops differ by rounding only and no prediction hangs on it. Sizes
of blocks and chunks are drawn too: no result may depend on them. Then the model is pickled and saved, and must predict
the same bits.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import functools
import io
import math
import pickle
import random
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import accuracy_score
from sklearn.utils.class_weight import compute_sample_weight
from torch import nn
from torch.optim import lr_scheduler

from benchmarks.oracles import Criterion, Recipe, Reference, Samples, probabilities
from sktorch_acc import AccuracyWarning, TorchClassifier, load_model, save_model
from sktorch_acc._global_state import fit_seed, split_seed
from sktorch_acc.data import batches, stratified_holdout
from sktorch_acc.engine import evaluate

__all__ = ["Configuration", "WrongNumberError", "check", "draw", "run"]

TOLERANCE = 1e-7  # relative, of float64 losses after a few steps; probabilities absolutely
SEED = 7  # random_state of the estimators


class WrongNumberError(AssertionError):
    """A number of the library is not that of the slow loop."""


class FocalLoss(nn.Module):
    """A criterion of a user's own: cross-entropy that counts less where the model is sure."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        losses = nn.functional.cross_entropy(output, target, reduction="none")
        losses = losses * (1 - (-losses).exp()) ** 2
        return {"mean": losses.mean, "sum": losses.sum, "none": lambda: losses}[self.reduction]()


class Members(nn.Module):
    """An ensemble of modules of one form."""

    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([member(x) for member in self.members], dim=1)


class Branch(nn.Module):
    """A residual layer that half of the training steps leave out: its weights then get no gradient."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training and torch.rand(()) < 0.5:
            return x
        return x + torch.tanh(self.layer(x))


CRITERIA = {
    "ce": nn.CrossEntropyLoss,
    "nll": nn.NLLLoss,
    "bce": nn.BCELoss,
    "bce_logits": nn.BCEWithLogitsLoss,
    "focal": FocalLoss,
}


@dataclass(frozen=True)
class Configuration:
    """One drawn case; `recipe` is the slow loop's view of `parameters`."""

    X: npt.NDArray[np.float64]
    y: npt.NDArray[Any]
    sample_weight: npt.NDArray[np.float64] | None
    validation: tuple[npt.NDArray[np.float64], npt.NDArray[Any]] | None
    module: nn.Module
    parameters: dict[str, Any]
    recipe: Recipe
    flow: str
    chunk_rows: int
    block_elements: int


# ------------------------------------------------------------ drawing


def draw(seed: int) -> Configuration:
    """Return the configuration of a seed."""
    chance = random.Random(seed)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    kind = chance.choice(["ce", "ce", "ce", "nll", "nll", "bce", "bce_logits", "focal"])
    n_classes = 2 if kind.startswith("bce") else chance.choice([2, 3, 3, 4, 6])
    n_samples, n_features = chance.choice([8, 15, 31, 60, 120]), chance.randint(1, 6)
    X, indices = _data(chance, rng, n_samples, n_features, n_classes)
    labels = _labels(chance, n_classes)
    criterion = _criterion(chance, kind, n_classes)
    flow = chance.choice(["fit", "fit", "fit", "continued", "pickled", "stream"])
    parameters: dict[str, Any] = {
        "batch_size": chance.choice([1, 2, 5, 7, 16, 32, 128]),
        "max_epochs": 1 if flow == "stream" else chance.randint(1, 5),
        "class_weight": _class_weight(chance, labels),
        "train_accuracy": "exact",
    }
    module = _module(chance, kind, n_features, n_classes, parameters["batch_size"])
    optimizer = _optimizer(chance, parameters, criterion)
    validation = None
    if flow != "stream":
        validation = _validated(chance, rng, parameters, X, labels[indices])
    recipe = Recipe(
        criterion,
        n_classes,
        parameters["batch_size"],
        parameters["max_epochs"],
        optimizer,
        _scheduler(chance, parameters, flow, n_samples),
        _stopping(chance, parameters, validation, labels),
    )
    weights = _weights(chance, rng, indices)
    return Configuration(
        X,
        labels[indices],
        weights,
        validation,
        module,
        parameters | _criterion_parameters(criterion),
        recipe,
        flow,
        chance.choice([1, 2, 3, 7, 50, 2048]),
        chance.choice([1, 10, 100, 2**20]),
    )


def _data(
    chance: random.Random, rng: np.random.Generator, n_samples: int, n_features: int, n_classes: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return features around a centre for each class, some of them rounded; every class has two samples at least."""
    share = rng.dirichlet(np.full(n_classes, chance.choice([0.4, 5.0])))
    indices = rng.choice(n_classes, n_samples, p=share)
    indices[: 2 * n_classes] = np.tile(np.arange(n_classes), 2)[:n_samples]
    if chance.random() < 0.3:
        indices = np.sort(indices)
    X = rng.normal(size=(n_samples, n_features)) + rng.normal(size=(n_classes, n_features))[indices]
    return (X.round(1) if chance.random() < 0.3 else X), indices


def _labels(chance: random.Random, n_classes: int) -> npt.NDArray[Any]:
    """Return sorted labels of some kind."""
    kinds = [
        np.arange(n_classes),
        np.sort(np.array(chance.sample(range(-50, 50), n_classes))),
        np.array([f"job {c}" for c in range(n_classes)]),
        np.array([chr(97 + c) for c in range(n_classes)], dtype=object),
        np.arange(n_classes) / 1.0,
        np.arange(2**63, 2**63 + n_classes, dtype=np.uint64),
    ]
    if n_classes == 2:
        kinds.append(np.array([False, True]))
    return chance.choice(kinds)


def _class_weight(chance: random.Random, labels: npt.NDArray[Any]) -> Any:
    """Return weights of the classes, of any size; only their ratios count in a mean."""
    choice = chance.choice([None, None, None, "balanced", "dict"])
    if choice != "dict":
        return choice
    scale = chance.choice([1.0, 1.0, 2.0, 0.5])
    return {label: scale * chance.choice([1.0, 1.0, 3.0]) for label in labels}


def _criterion(chance: random.Random, kind: str, n_classes: int) -> Criterion:
    weight, smoothing = None, chance.choice([0.0, 0.0, 0.1]) if kind == "ce" else 0.0
    if kind in ("ce", "nll") and chance.random() < 0.5:
        weight = [round(chance.uniform(0.2, 3), 2) for _ in range(n_classes)]
        # With smoothing, a batch of such samples alone has an infinite loss.
        if n_classes > 2 and not smoothing and chance.random() < 0.3:
            weight[chance.randrange(n_classes)] = 0.0
    ignores = kind in ("ce", "nll") and n_classes > 3 and chance.random() < 0.3
    return Criterion(
        kind,
        weight,
        chance.choice([None, 2.5]) if kind == "bce_logits" else None,
        smoothing,
        chance.randrange(n_classes) if ignores else None,
        chance.choice(["mean", "mean", "mean", "sum", "none"]),
    )


def _criterion_parameters(criterion: Criterion) -> dict[str, Any]:
    given: dict[str, Any] = {"criterion": CRITERIA[criterion.kind]}
    if criterion.kind == "focal":
        given["output"] = "logits"
    if criterion.weight is not None:
        given["criterion__weight"] = torch.tensor(criterion.weight, dtype=torch.float64)
    if criterion.pos_weight is not None:
        given["criterion__pos_weight"] = torch.tensor([criterion.pos_weight], dtype=torch.float64)
    if criterion.smoothing:
        given["criterion__label_smoothing"] = criterion.smoothing
    if criterion.ignored is not None:
        given["criterion__ignore_index"] = criterion.ignored
    if criterion.reduction != "mean":
        given["criterion__reduction"] = criterion.reduction
    return given


def _module(chance: random.Random, kind: str, n_features: int, n_classes: int, batch_size: int) -> nn.Module:
    """Return a module in float64 with the output that the criterion takes."""
    width = chance.choice([4, 5, 9])  # layer norm makes a step function of two values, where rounding grows
    hidden = chance.choice(["none", "tanh", "dropout", "layer norm", "branch", "batch norm"])
    if hidden == "batch norm" and batch_size < 5:
        hidden = "tanh"
    # Without a bias before it: its gradient is rounding alone, which Adam would make as large as any other.
    first = nn.Linear(n_features, width, bias=hidden != "batch norm")
    middle: dict[str, list[nn.Module]] = {
        "tanh": [first, nn.Tanh()],
        "dropout": [first, nn.Tanh(), nn.Dropout(0.3)],
        "layer norm": [first, nn.LayerNorm(width), nn.SiLU()],
        "branch": [first, Branch(width)],
        "batch norm": [first, nn.BatchNorm1d(width), nn.Tanh()],
    }
    last = nn.Linear(n_features if hidden == "none" else width, 1 if kind.startswith("bce") else n_classes)
    end: dict[str, list[nn.Module]] = {"nll": [nn.LogSoftmax(dim=1)], "bce": [nn.Sigmoid()]}
    module = nn.Sequential(*middle.get(hidden, []), last, *end.get(kind, [])).double()
    if hidden not in ("none", "tanh") or chance.random() < 0.7:
        return module
    other = copy.deepcopy(module)
    for parameter in other.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    return Members([module, other])


def _optimizer(chance: random.Random, parameters: dict[str, Any], criterion: Criterion) -> Any:
    """Choose an optimizer; return one with plain steps for the slow loop."""
    cls, options, lr = chance.choice(
        [
            (torch.optim.AdamW, {}, 0.02),
            (torch.optim.Adam, {"amsgrad": True}, 0.02),
            (torch.optim.SGD, {}, 0.1),
            (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}, 0.01),
            (torch.optim.SGD, {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01}, 0.02),
            (torch.optim.RMSprop, {}, 0.01),
            (torch.optim.Adagrad, {}, 0.05),
            (torch.optim.NAdam, {}, 0.01),
        ]
    )
    if cls is torch.optim.SGD:  # steps that do not diverge, in which rounding would grow
        lr /= parameters["batch_size"] if criterion.reduction == "sum" else 1
        lr /= max(1, 4 // parameters["batch_size"])
    parameters |= {"optimizer": cls, "lr": lr} | {f"optimizer__{name}": value for name, value in options.items()}
    return functools.partial(cls, lr=lr, foreach=False, **options)


def _validated(
    chance: random.Random,
    rng: np.random.Generator,
    parameters: dict[str, Any],
    X: npt.NDArray[np.float64],
    y: npt.NDArray[Any],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[Any]] | None:
    """Choose samples to validate on: none, a fraction, or others."""
    choice = chance.choice(["none", "fraction", "others"])
    if choice == "fraction":
        parameters["validation_fraction"] = chance.choice([0.2, 0.34])
    if choice != "others":
        return None
    chosen = rng.permutation(len(y))[: chance.randint(2, len(y))]
    return X[chosen] + 0.3 * rng.normal(size=X[chosen].shape), y[chosen]


def _scheduler(chance: random.Random, parameters: dict[str, Any], flow: str, n_samples: int) -> Any:
    lr = parameters["lr"]
    kinds: dict[str, tuple[Any, dict[str, Any], Any]] = {
        "none": (None, {}, None),
        "step": (
            lr_scheduler.StepLR,
            {"lr_scheduler__step_size": 2, "lr_scheduler__gamma": 0.5},
            lambda optimizer, _: lr_scheduler.StepLR(optimizer, 2, 0.5),
        ),
        "cosine": (
            "cosine",
            {},
            lambda optimizer, _: lr_scheduler.CosineAnnealingLR(optimizer, parameters["max_epochs"]),
        ),
        "plateau": (
            "plateau",
            {"lr_scheduler__patience": 0},
            lambda optimizer, _: lr_scheduler.ReduceLROnPlateau(optimizer, patience=0),
        ),
        "onecycle": (
            "onecycle",
            {},
            lambda optimizer, n_steps: lr_scheduler.OneCycleLR(optimizer, lr, total_steps=n_steps),
        ),
    }
    names = ["none", "none", *kinds]
    moves = parameters["optimizer"] in (torch.optim.AdamW, torch.optim.Adam) or "optimizer__momentum" in parameters
    if flow == "stream" or not moves or n_samples < 4 * parameters["batch_size"]:
        names = [name for name in names if name != "onecycle"]
    spec, given, scheduler = kinds[chance.choice(names)]
    parameters |= {"lr_scheduler": spec, **given}
    return scheduler


def _stopping(
    chance: random.Random, parameters: dict[str, Any], validation: Any, labels: npt.NDArray[Any]
) -> tuple[str, int, float] | None:
    """Choose a column that early stopping follows; the slow loop calls classes by their index."""
    validated = validation is not None or "validation_fraction" in parameters
    if not validated or parameters["lr_scheduler"] == "plateau" or chance.random() < 0.4:
        return None
    column = chance.choice(["valid_loss", "valid_acc", "train_loss", "train_acc", "train_acc[0]"])
    monitor = column.replace("[0]", f"[{labels[0]}]")
    patience, tol = chance.choice([(1, 0.0), (2, 1e-4), (10, 1e-4)])
    parameters |= {"early_stopping": True, "monitor": monitor, "n_iter_no_change": patience, "tol": tol}
    return column, patience, tol


def _weights(
    chance: random.Random, rng: np.random.Generator, indices: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64] | None:
    """Return weights of the samples, some of them 0, or None; every class keeps a positive one."""
    if chance.random() < 0.6:
        return None
    weights = rng.uniform(0.1, 4, len(indices)).round(2)
    weights[rng.random(len(indices)) < chance.choice([0.0, 0.3])] = 0
    for c in np.unique(indices):
        weights[np.flatnonzero(indices == c)[:2]] = 1.5
    weights[[0, 2]] = 1.5  # of every other sample, two have a weight
    return weights


# ------------------------------------------------------------ checking


def check(configuration: Configuration) -> None:
    """Train as the library does and as the slow loop does.

    Raises
    ------
    WrongNumberError
        If a number differs.
    """
    with (
        mock.patch.object(evaluate, "CHUNK_ROWS", configuration.chunk_rows),
        mock.patch.object(batches, "BLOCK_ELEMENTS", configuration.block_elements),
        warnings.catch_warnings(),
        _nothing_changed(configuration),
    ):
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", AccuracyWarning)  # of odd tables: a single class is predicted, and the like
        reference = _expected(configuration)
        try:
            clf = _trained(configuration)
        except ValueError as err:
            _check_refusal(err, reference)
            return
        _check_history(configuration, clf, reference)
        _check_predictions(configuration, clf, reference)
        _check_copies(configuration, clf)


def _trained(configuration: Configuration) -> TorchClassifier:
    """Return the estimator, trained by the flow."""
    clf = TorchClassifier(configuration.module, random_state=SEED, diagnose="off", **configuration.parameters)
    X, y, weight = configuration.X, configuration.y, configuration.sample_weight
    if configuration.flow == "stream":
        for part in _parts(configuration):
            clf.partial_fit(X[part], y[part], np.unique(y), None if weight is None else weight[part])
        return clf
    valid = configuration.validation or (None, None)
    again = configuration.flow != "fit"
    clf.set_params(warm_start=again).fit(X, y, weight, *valid)
    if configuration.flow == "pickled":
        clf = pickle.loads(pickle.dumps(clf))
    return clf.fit(X, y, weight, *valid) if again else clf


def _parts(configuration: Configuration) -> list[npt.NDArray[np.int64]]:
    """Return the parts of a stream: the whole, every other sample, those of a class that does not count, the whole."""
    n_samples = len(configuration.y)
    criterion = configuration.recipe.criterion
    uncounted = [c for c, weight in enumerate(criterion.weight or []) if weight == 0]
    uncounted += [] if criterion.ignored is None else [criterion.ignored]
    of_one = np.flatnonzero(_indices(configuration, configuration.y) == [*uncounted, 0][0])
    of_one = np.resize(of_one, max(2, len(of_one)))  # batch norm trains on two samples at least
    return [np.arange(n_samples), np.arange(0, n_samples, 2), of_one, np.arange(n_samples)]


def _expected(configuration: Configuration) -> Reference:
    """Return the slow loop, trained by the flow."""
    seed = fit_seed(SEED)
    reference = Reference(configuration.module, configuration.recipe, seed)
    if configuration.flow == "stream":
        for part in _parts(configuration):
            reference.fit(_samples(configuration, part), None)
        return reference
    everything = np.arange(len(configuration.y))
    fitted, validation = everything, None
    fraction = configuration.parameters.get("validation_fraction")
    if fraction is not None:
        fitted, held = stratified_holdout(_indices(configuration, configuration.y), fraction, split_seed(seed))
        validation = _of(_samples(configuration, everything), held)
    elif configuration.validation is not None:
        validation = _others(configuration)
    samples = _of(_samples(configuration, everything), fitted)
    for _ in range(1 if configuration.flow == "fit" else 2):
        reference.fit(samples, validation)
    return reference


def _of(samples: Samples, chosen: npt.NDArray[np.int64]) -> Samples:
    return samples.take(torch.from_numpy(chosen))


def _indices(configuration: Configuration, y: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return np.searchsorted(np.unique(configuration.y), y).astype(np.int64)


def _samples(configuration: Configuration, part: npt.NDArray[np.int64]) -> Samples:
    """Return the given samples with their weights: those of the samples times those of their classes."""
    y, weight = configuration.y[part], configuration.sample_weight
    weights = np.ones(len(y)) if weight is None else weight[part]
    if configuration.parameters["class_weight"] is not None:
        weights = weights * _class_factors(configuration, part)[_indices(configuration, y)]
    targets = torch.from_numpy(_indices(configuration, y))
    alike = _alike(configuration, weights)
    return Samples(torch.from_numpy(configuration.X[part]), targets, None if alike else torch.from_numpy(weights))


def _alike(configuration: Configuration, weights: npt.NDArray[np.float64]) -> bool:
    """Return whether the weights are as good as none: a mean depends on their ratios, a sum on themselves."""
    summed = configuration.recipe.criterion.reduction == "sum"
    return bool((weights == (1.0 if summed else weights[0])).all())


def _class_factors(configuration: Configuration, part: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return n / (k * n_c) of weighted counts; 1 for a class without samples."""
    given = configuration.parameters["class_weight"]
    if isinstance(given, dict):
        return np.array([given[label] for label in np.unique(configuration.y)])
    indices, weight = _indices(configuration, configuration.y[part]), configuration.sample_weight
    weights = np.ones(len(part)) if weight is None else weight[part]
    counts = np.bincount(indices, weights, configuration.recipe.n_classes)
    shown = counts > 0
    return np.where(shown, counts.sum() / (shown.sum() * np.where(shown, counts, 1)), 1.0)


def _others(configuration: Configuration) -> Samples:
    """Return the samples to validate on that were passed: weighted if the training is, by the weight of their class."""
    assert configuration.validation is not None
    X, y = configuration.validation
    everything = np.arange(len(configuration.y))
    weights = None
    if configuration.sample_weight is not None or configuration.parameters["class_weight"] is not None:
        weights = torch.ones(len(y), dtype=torch.float64)
        if configuration.parameters["class_weight"] is not None:
            weights = torch.from_numpy(_class_factors(configuration, everything)[_indices(configuration, y)])
    return Samples(torch.from_numpy(X), torch.from_numpy(_indices(configuration, y)), weights)


def _check_refusal(error: ValueError, reference: Reference) -> None:
    """Raise the error again, unless no validation sample counts, so that the epochs cannot be compared."""
    if "valid_loss has no value" not in str(error) or not math.isnan(reference.rows[0]["valid_loss"]):
        raise error


def _check_history(configuration: Configuration, clf: TorchClassifier, reference: Reference) -> None:
    """Compare the record: accuracies by ``==``, losses and rates by the tolerance."""
    history, names = clf.history_, [str(label) for label in clf.classes_]
    _equal("n_iter_", clf.n_iter_, reference.epoch)
    _equal("epochs", history.index.tolist(), list(range(1, reference.epoch + 1)))
    _equal("best_epoch_", clf.best_epoch_, reference.best_epoch)
    for epoch, row in enumerate(reference.rows, start=1):
        for name, expected in row.items():
            column, bracket, index = name.partition("[")
            shown = f"{column}[{names[int(index[:-1])]}]" if bracket else column
            value = float(history.loc[epoch, shown])
            if "acc" in name:
                _equal(f"{shown} in epoch {epoch}", value, expected)
            else:
                _close(f"{shown} in epoch {epoch}", value, expected)


def _check_predictions(configuration: Configuration, clf: TorchClassifier, reference: Reference) -> None:
    """Compare weights, probabilities, labels and scores."""
    for name, tensor in reference.module.state_dict().items():
        _close(name, clf.module_.state_dict()[name].numpy(), tensor.numpy())
    X, y = configuration.X, configuration.y
    expected = probabilities(configuration.recipe.criterion.kind, reference.output(torch.from_numpy(X)))
    _close("predict_proba", clf.predict_proba(X), expected)
    predicted = clf.predict(X)
    _equal("predict", predicted.tolist(), np.unique(y)[_argmax(expected)].tolist())
    _equal("score", clf.score(X, y), accuracy_score(y, predicted))
    weights = compute_sample_weight("balanced", y)
    _equal("weighted score", clf.score(X, y, weights), float(np.average(predicted == y, weights=weights)))
    table = clf.per_class_accuracy(X, y)
    _equal(
        "per_class_accuracy", table["accuracy"].tolist()[:-1], [(predicted == y)[y == c].mean() for c in np.unique(y)]
    )


def _argmax(probability: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Return the most likely class; class 0 of two that are equally likely."""
    return probability.argmax(axis=1)


def _check_copies(configuration: Configuration, clf: TorchClassifier) -> None:
    """Compare the predictions after a pickle and after a save, bit by bit."""
    file = io.BytesIO()
    save_model(clf, file)
    file.seek(0)
    loaded = load_model(file, module=copy.deepcopy(configuration.module), allow=[FocalLoss])
    for name, again in (("pickle", pickle.loads(pickle.dumps(clf))), ("saved", loaded)):
        _equal(name, again.predict_proba(configuration.X).tolist(), clf.predict_proba(configuration.X).tolist())
        _equal(f"{name}: history_", again.history_.to_csv(), clf.history_.to_csv())


@contextlib.contextmanager
def _nothing_changed(configuration: Configuration) -> Iterator[None]:
    """Raise if the data, the module or the generators are not as they were."""

    def state() -> bytes:
        weights = {name: tensor.numpy() for name, tensor in configuration.module.state_dict().items()}
        data = (configuration.X, configuration.y, configuration.sample_weight, weights)
        return pickle.dumps((data, configuration.module.training))

    before = state()
    yield
    _equal("data and module", state(), before)


def _equal(what: str, value: Any, expected: Any) -> None:
    if value != expected and not (isinstance(value, float) and math.isnan(value) and math.isnan(expected)):
        raise WrongNumberError(f"{what}: {value!s:.200} instead of {expected!s:.200}")


def _close(what: str, value: Any, expected: Any) -> None:
    if not np.allclose(value, expected, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
        raise WrongNumberError(f"{what}: {value!s:.200} instead of {expected!s:.200}")


# ------------------------------------------------------------ the run


def run(n_configurations: int, seed: int) -> int:
    """Check configurations, print each wrong number, and return how many of the configurations have one."""
    torch.set_num_threads(1)
    wrong, started = 0, time.perf_counter()
    for i in range(n_configurations):
        try:
            check(draw(seed * 10**6 + i))
        except Exception as err:
            wrong += 1
            print(f"configuration {seed * 10**6 + i}: {type(err).__name__}: {err!s:.300}")
    print(f"{n_configurations} configurations, seed {seed}: {wrong} wrong, {time.perf_counter() - started:.0f} s")
    return wrong


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compare random estimators with a slow training loop.")
    parser.add_argument("--configurations", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sys.exit(run(options.configurations, options.seed) > 0)
