"""Common mistakes in fits, estimators and modes, and correct counterparts."""

import copy

import numpy as np
import scipy.sparse
import torch
from torch import nn

from sktorch_acc import TorchClassifier, diagnose, overfit_check
from tests.mistakes.common import TWO, Changed, X, Y, mlp, of_module, of_trained, trained
from tests.modules import DropNorm, Ensemble, LogProbabilities, OneLogit, Sequences


class InAList(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(6, 8), nn.ReLU()]
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.head(x)


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(6, 8), nn.Linear(6, 3)

    def forward(self, x):
        self.body(x)
        return self.head(x)


class AllInAList(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(6, 3)]

    def forward(self, x):
        return self.layers[0](x)


# ------------------------------------------------------------------ estimators


def fitted(module=None, X=X, y=Y, **settings):
    settings = {"max_epochs": 10, "lr": 0.01, "random_state": 0, "batch_size": 32, "diagnose": "off", **settings}
    return TorchClassifier(module, **settings).fit(X, y)


def of_fitted(X=X, y=Y, examined=None, **settings):
    return diagnose(fitted(X=X, y=y, **settings), *(examined or (X, y)))


def with_an_absent_class():
    clf = TorchClassifier(random_state=0, lr=0.01)
    for _ in range(5):
        clf.partial_fit(X, Y, classes=[0, 1, 2, 3])
    return diagnose(clf, X, Y)


def dead(n_features=6, n_classes=3):
    model = mlp(n_classes)
    nn.init.constant_(model[0].bias, -100.0)
    return model


def noise_labels(n_classes=3):
    return torch.randint(n_classes, (240,), generator=torch.Generator().manual_seed(5))


def slow_norm():
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16, momentum=1e-4), nn.Linear(16, 3))


SGD = torch.optim.SGD
COPIES = X[:120].repeat(2, 1), Y[:120].repeat(2)


def stopped_early():
    clf = TorchClassifier(early_stopping=True, lr=0.1, n_iter_no_change=3, random_state=0, batch_size=32)
    return diagnose(clf.fit(X, Y, X_val=X[:60], y_val=noise_labels()[:60]), X, Y)


def closing_over(layer):
    """Return a factory that puts the same layer into every module."""
    return lambda: nn.Sequential(layer, nn.ReLU(), nn.Linear(8, 3))


def of_a_trained_layer():
    clf = TorchClassifier(closing_over(nn.Linear(6, 8)), max_epochs=1, random_state=0).fit(X, Y)
    return diagnose(TorchClassifier(clf.module), X, Y)


def of_a_copied_layer():
    layer = nn.Linear(6, 8)
    clf = TorchClassifier(lambda: closing_over(copy.deepcopy(layer))(), max_epochs=1, random_state=0).fit(X, Y)
    return diagnose(TorchClassifier(clf.module), X, Y)


ESTIMATORS = {
    "a class without samples": ("ACC-D8", with_an_absent_class),
    "labels not seen in fit": ("ACC-D8", lambda: of_fitted(examined=(X, torch.where(Y == 2, 7, Y)))),
    "equal sparse samples, two labels": (
        "ACC-D6",
        lambda: diagnose(TorchClassifier(), scipy.sparse.csr_array(COPIES[0].numpy()), noise_labels(2)),
    ),
    "sparse duplicates and a validation split": (
        "ACC-D10",
        lambda: diagnose(
            TorchClassifier(validation_fraction=0.25), scipy.sparse.csr_array(COPIES[0].numpy()), COPIES[1]
        ),
    ),
    "duplicates and a validation split": (
        "ACC-D10",
        lambda: diagnose(TorchClassifier(validation_fraction=0.25), *COPIES),
    ),
    "a running accuracy": ("ACC-E2", lambda: of_fitted(max_epochs=1, train_accuracy="running", lr=0.02)),
    "slow batch norm": ("ACC-E5", lambda: of_fitted(module=slow_norm, X=X * 3 + 40)),
    "best weights restored": ("ACC-E6", stopped_early),
    "a layer that an earlier fit has trained": ("ACC-E10", of_a_trained_layer),
    "a validation split inside fit": ("ACC-E7", lambda: of_fitted(validation_fraction=0.25)),
    "noise and a linear module": ("ACC-F1", lambda: of_fitted(y=noise_labels(), module=nn.Linear(6, 3), lr=1e-3)),
    "lr too high": ("ACC-F3", lambda: of_fitted(optimizer=SGD, lr=50.0, max_epochs=4, batch_size=240)),
    "lr too low": ("ACC-F4", lambda: of_fitted(optimizer=SGD, lr=1e-8)),
    "dead units": ("ACC-F5", lambda: of_fitted(module=dead)),
}


def rare_class():
    return torch.where((X[:, 0] > 1.2) & (torch.arange(240) % 3 > 0), 1, 0)


CLEAN_ESTIMATORS = {
    "not fitted": lambda: diagnose(TorchClassifier(), X, Y),
    "a layer that the factory copies": of_a_copied_layer,
    "a module class, not fitted": lambda: diagnose(TorchClassifier(DropNorm), X, Y),
    "fitted": of_fitted,
    "text labels": lambda: of_fitted(y=np.array(["fox", "cat", "dog"])[Y.numpy()]),
    "dropout and batch norm": lambda: of_fitted(module=DropNorm, max_epochs=20),
    "log-probabilities": lambda: of_fitted(module=LogProbabilities, criterion=nn.NLLLoss),
    "one logit": lambda: of_fitted(module=OneLogit, y=TWO, criterion=nn.BCEWithLogitsLoss),
    "an ensemble": lambda: of_fitted(module=Ensemble),
    "tokens": lambda: of_fitted(module=Sequences, X=(X.abs() * 5).long().clamp(max=19), max_epochs=30),
    "sparse": lambda: of_fitted(X=scipy.sparse.csr_array(X.numpy())),
    "two epochs": lambda: of_fitted(max_epochs=2, lr=1e-4),
    "balanced weights on rare labels": lambda: of_fitted(y=rare_class(), class_weight="balanced", max_epochs=30),
    "no accuracy recorded": lambda: of_fitted(train_accuracy=None),
    "a running accuracy of weights that hardly change": lambda: of_fitted(train_accuracy="running", max_epochs=40),
    "a validation split without duplicates": lambda: diagnose(TorchClassifier(validation_fraction=0.25), X, Y),
    "duplicates without a validation split": lambda: diagnose(TorchClassifier(), *COPIES),
}


# ------------------------------------------------------------------ modes, and weights that do not change


def of_scored_in_training_mode(model):
    parts = trained(model)
    model.train()
    return of_module(model, **parts)


def of_untrained(kind):
    model = mlp(3, nn.Dropout(0.5))
    return of_module(model, optimizer=kind(model.parameters()))


def of_rebuilt(rebuild):
    model = mlp()
    parts = trained(model)
    return of_module(rebuild(model), **parts)


def new_head(model):
    model[2] = nn.Linear(16, 3)
    return model


def fine_tuned():
    model = mlp()
    return of_trained(model, optimizer=torch.optim.Adam(model[2].parameters(), lr=0.05), steps=100)


def half_frozen():
    model = mlp()
    model[0].requires_grad_(False)
    return of_trained(model, lr=0.05)


def by_sgd():
    model = mlp()
    return of_trained(model, optimizer=SGD(model.parameters(), lr=0.1))


def always_dropped(z):
    return nn.functional.dropout(z, 0.2)


LOOPS = {
    "eval() forgotten": ("ACC-E1", lambda: of_scored_in_training_mode(mlp(3, nn.Dropout(0.5)))),
    "training mode, and an optimizer without a step count": ("ACC-E1", lambda: of_untrained(SGD)),
    "dropout that does not know the mode": ("ACC-E11", lambda: of_scored_in_training_mode(Changed(always_dropped))),
    "dropout that does not know the mode, in evaluation mode": ("ACC-E11", lambda: of_module(Changed(always_dropped))),
    "dropout that does not know the mode, in an estimator": (
        "ACC-E11",
        lambda: of_fitted(module=Changed(lambda z: z * (1 + 0.001 * torch.randn_like(z)))),
    ),
    "the module built again": ("ACC-F2", lambda: of_rebuilt(copy.deepcopy)),
    "the head replaced": ("ACC-F2", lambda: of_rebuilt(new_head)),
    "layers in a list": ("ACC-F2", lambda: of_trained(InAList())),
    "layers in a list, in an estimator": ("ACC-F2", lambda: of_fitted(module=InAList)),
    "all layers in a list": ("ACC-F2", lambda: diagnose(TorchClassifier(AllInAList), X, Y)),
    "all frozen": ("ACC-F2", lambda: of_module(mlp().requires_grad_(False))),
    "a detached output": ("ACC-F2", lambda: of_module(Changed(lambda z: z.detach()))),
    "a layer that forward does not use": ("ACC-F2", lambda: of_trained(Unused())),
    "noise labels": ("ACC-F1", lambda: of_trained(nn.Linear(6, 3), y=noise_labels(), lr=1e-4)),
    "dead units in a loop": ("ACC-F5", lambda: of_trained(dead())),
    "the same output for all samples": (
        "ACC-F7",
        lambda: overfit_check(Changed(lambda z: z.mean(dim=0, keepdim=True).expand_as(z)), X, Y),
    ),
    "an output that does not depend on the input": ("ACC-F7", lambda: overfit_check(Changed(lambda z: 0 * z), X, Y)),
    "frozen": ("ACC-F2", lambda: overfit_check(mlp().requires_grad_(False), X, Y)),
    "an estimator with a constant output": (
        "ACC-F7",
        lambda: overfit_check(TorchClassifier(Changed(lambda z: 0 * z)), X, Y),
    ),
}

CLEAN_LOOPS = {
    "dropout before the first step": lambda: of_untrained(torch.optim.Adam),
    "dropout in evaluation mode": lambda: of_trained(mlp(3, nn.Dropout(0.2))),
    "training mode without dropout": lambda: of_scored_in_training_mode(mlp()),
    "only the head is trained": fine_tuned,
    "the body is frozen": half_frozen,
    "batch norm that has settled": lambda: of_trained(DropNorm(6, 3, p=0.1), steps=200),
    "SGD, which has no step count": by_sgd,
    "a linear module can overfit some samples": lambda: overfit_check(nn.Linear(6, 3), X, noise_labels()),
    "a linear module and categories": lambda: overfit_check(nn.Linear(6, 3), (X > 0).float(), noise_labels()),
    "a module can overfit": lambda: overfit_check(mlp(), X, Y),
    "up to the ceiling": lambda: overfit_check(
        mlp(), torch.cat([X[:16], X[:16]]), torch.cat([Y[:16], (Y[:16] + 1) % 3])
    ),
    "one logit can overfit": lambda: overfit_check(mlp(1), X, TWO, criterion=nn.BCEWithLogitsLoss()),
    "an estimator can overfit": lambda: overfit_check(fitted(DropNorm), X, Y),
    "an estimator that is not fitted can overfit": lambda: overfit_check(TorchClassifier(), X, Y),
}
