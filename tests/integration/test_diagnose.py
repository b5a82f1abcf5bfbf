"""Each mistake is built for real, in somebody's loop or in an estimator, and exactly its code is named."""

import copy
import pickle
import random

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
)

from sktorch_acc import TorchClassifier, diagnose, overfit_check
from tests.modules import DropNorm, Ensemble, LogProbabilities, OneLogit, OneProbability, Sequences

_draws = torch.Generator().manual_seed(0)
X = torch.randn(240, 6, generator=_draws)
Y = (X[:, :3] + 0.3 * torch.randn(240, 3, generator=_draws)).argmax(dim=1)
TWO = (Y == 0).long()
CE, BCEL, NLL = nn.CrossEntropyLoss(), nn.BCEWithLogitsLoss(), nn.NLLLoss()


def mlp(columns=3, *last):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, columns), *last)


def trained(model, criterion=CE, X=X, y=Y, *, steps=60, lr=0.02, optimizer=None):
    """A loop without a mistake of its own: batches of 32, shuffled; returns what diagnose is given."""
    torch.manual_seed(0)
    optimizer = optimizer or torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    for _ in range(steps):
        rows = torch.randint(len(X), (32,))
        optimizer.zero_grad()
        output = model(X[rows])
        targets = y[rows].to(output.dtype).reshape(output.shape) if output.numel() == len(rows) else y[rows]
        criterion(output, targets).backward()
        optimizer.step()
    model.eval()
    return {"criterion": criterion, "optimizer": optimizer}


def of_module(model, X=X, y=Y, criterion=CE, **more):
    return diagnose(model, X, y, criterion=criterion, **more)


class Changed(nn.Module):
    """Layers, and a last line of forward that is wrong."""

    def __init__(self, change, columns=3):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Linear(6, columns)
        self.change = change

    def forward(self, x):
        return self.change(self.layers(x))


class LogOfLogits(nn.CrossEntropyLoss):
    """What a wrapper does that takes logits for probabilities."""

    def forward(self, output, target):
        return nn.functional.nll_loss(output.log(), target)


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


# ------------------------------------------------------------------ a loop of one's own, and its loader


def loader(dataset=None, **settings):
    return DataLoader(dataset or TensorDataset(X, Y), **{"batch_size": 50, **settings})


def with_loader(made, model=None, y=Y, X=X):
    model = model or mlp()
    return of_module(model, X, y, **trained_with(model, X, y), loader=made)


def trained_with(model, X, y):
    return {"optimizer": trained(model, X=X, y=y)["optimizer"]}


SORTED = torch.argsort(Y)

LOADERS = {
    "drop_last": ("ACC-A3", lambda: with_loader(loader(drop_last=True, shuffle=True))),
    "a sampler of a part": ("ACC-A4", lambda: with_loader(loader(sampler=SubsetRandomSampler(range(200))))),
    "weighted resampling": ("ACC-A5", lambda: with_loader(loader(sampler=WeightedRandomSampler(torch.ones(240), 240)))),
    "a bootstrap": ("ACC-A5", lambda: with_loader(loader(sampler=RandomSampler(range(240), replacement=True)))),
    "a last batch of one row": (
        "ACC-B8",
        lambda: of_module(
            DropNorm(6, 3), X[:201], Y[:201], loader=loader(TensorDataset(X[:201], Y[:201]), shuffle=True)
        ),
    ),
    "sorted labels without shuffling": (
        "ACC-D3",
        lambda: with_loader(loader(TensorDataset(X[SORTED], Y[SORTED])), X=X[SORTED], y=Y[SORTED]),
    ),
    "a shuffled loader without labels": ("ACC-D9", lambda: with_loader(loader(TensorDataset(X), shuffle=True))),
}

CLEAN_LOADERS = {
    "shuffled": lambda: with_loader(loader(shuffle=True)),
    "drop_last without a tail": lambda: with_loader(loader(batch_size=48, drop_last=True, shuffle=True)),
    "in order": lambda: with_loader(loader()),
    "sorted, but shuffled": lambda: with_loader(
        loader(TensorDataset(X[SORTED], Y[SORTED]), shuffle=True), X=X[SORTED], y=Y[SORTED]
    ),
    "features alone, in order": lambda: with_loader(loader(TensorDataset(X))),
    "a part, divided by its own length": lambda: with_loader(
        loader(random_split(TensorDataset(X, Y), [200, 40])[0], shuffle=True)
    ),
    "a last batch of one row without batch norm": lambda: of_module(
        mlp(), X[:201], Y[:201], loader=loader(TensorDataset(X[:201], Y[:201]), shuffle=True)
    ),
    "a stream": lambda: with_loader(DataLoader(Stream())),
}


class Stream(IterableDataset):
    def __iter__(self):
        raise AssertionError("diagnose drew from the loader")


# ------------------------------------------------------------------ what the module returns


OUTPUTS = {
    "the wrong axis": ("ACC-B4", lambda: of_module(Changed(lambda z: z.T[:, :3]))),
    "class indices": ("ACC-B6", lambda: of_module(Changed(lambda z: z.argmax(dim=1)))),
    "max() without a dimension": ("ACC-B7", lambda: of_module(Changed(lambda z: z.max()))),
    "a squeeze that drops the batch": ("ACC-B8", lambda: of_module(Changed(lambda z: z.squeeze()))),
    "softmax before cross-entropy": ("ACC-C1", lambda: of_module(mlp(3, nn.Softmax(dim=1)))),
    "sigmoid before BCEWithLogits": ("ACC-C1", lambda: of_module(mlp(1, nn.Sigmoid()), y=TWO, criterion=BCEL)),
    "logits under NLLLoss": ("ACC-C2", lambda: of_module(mlp(), criterion=NLL)),
    "logits under BCELoss": ("ACC-C4", lambda: of_module(mlp(1), y=TWO, criterion=nn.BCELoss())),
    "one column under cross-entropy": ("ACC-C7", lambda: of_module(mlp(1), y=TWO)),
    "too few columns": ("ACC-C8", lambda: of_module(mlp(2))),
    "log of a softmax that underflows": (
        "ACC-C10",
        lambda: of_module(Changed(lambda z: (z * 1e4).softmax(dim=1).log()), criterion=NLL),
    ),
    "a logarithm of logits": ("ACC-C3", lambda: of_module(mlp(), criterion=LogOfLogits())),
    "softmax in an unfitted estimator": (
        "ACC-C1",
        lambda: diagnose(TorchClassifier(mlp(3, nn.Softmax(dim=1))), X, Y),
    ),
}

CLEAN_OUTPUTS = {
    "logits": lambda: of_module(mlp()),
    "without a criterion": lambda: of_module(mlp(), criterion=None),
    "one logit": lambda: of_module(OneLogit(6), y=TWO, criterion=BCEL),
    "one flat logit": lambda: of_module(OneLogit(6, flat=True), y=TWO.float(), criterion=BCEL),
    "one probability": lambda: of_module(OneProbability(6), y=TWO.float()[:, None], criterion=nn.BCELoss()),
    "log-probabilities": lambda: of_module(LogProbabilities(6, 3), criterion=NLL),
    "an ensemble": lambda: of_module(Ensemble(6, 3)),
    "more columns than labels in these rows": lambda: of_module(mlp(5)),
    "a criterion of one's own": lambda: of_module(mlp(), criterion=nn.MultiMarginLoss()),
    "a function as criterion": lambda: of_module(mlp(), criterion=nn.functional.cross_entropy),
    "tokens": lambda: of_module(Sequences(3), X=(X.abs() * 5).long().clamp(max=19)),
    "float64": lambda: of_module(mlp().double(), X=X.double()),
    "numpy": lambda: of_module(mlp(), X=X.numpy(), y=Y.numpy()),
    "pandas": lambda: of_module(mlp(), X=pd.DataFrame(X.numpy()), y=pd.Series(Y.numpy())),
}


# ------------------------------------------------------------------ rows and labels


def with_a_nan():
    rows = X.clone()
    rows[3, 2] = torch.nan
    return rows


def diverged():
    model = mlp()
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    return model


class Rare(nn.Module):
    """Divides by 0 for a few rows."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        return self.layer(x) / (x[:, :1] < 2).float() * 1.0 - 0 * torch.log((x[:, :1] < 2).float())


def of_trained(model=None, X=X, y=Y, criterion=CE, **settings):
    model = model or mlp()
    return of_module(model, X, y, **trained(model, criterion, X, y, **settings))


def unscaled(X=X):
    return X * torch.tensor([1.0, 1, 1, 1, 20_000, 1])


REPEATED = (X[:120] * 2).round() / 2
FRAME = pd.DataFrame(X.numpy(), columns=list("abcdef"))

DATA = {
    "labels from 1": ("ACC-D1", lambda: of_module(mlp(), y=Y + 1)),
    "-1 for unknown": ("ACC-D1", lambda: of_module(mlp(), y=torch.where(Y == 2, -1, Y))),
    "gaps": ("ACC-D1", lambda: of_module(mlp(), y=Y * 3)),
    "y in another order": (
        "ACC-D2",
        lambda: diagnose(TorchClassifier(), FRAME, pd.Series(Y.numpy()).sample(frac=1, random_state=0)),
    ),
    "income beside age": ("ACC-D4", lambda: of_trained(X=unscaled())),
    "income in an estimator": ("ACC-D4", lambda: diagnose(TorchClassifier(), unscaled(), Y)),
    "a missing value": ("ACC-D5", lambda: of_module(mlp(), X=with_a_nan())),
    "a missing value in an estimator": ("ACC-D5", lambda: diagnose(TorchClassifier(), with_a_nan(), Y)),
    "a missing value in a frame": (
        "ACC-D5",
        lambda: diagnose(TorchClassifier(), FRAME.mask(FRAME > 2.5), pd.Series(Y.numpy())),
    ),
    "NaN in the weights": ("ACC-D5", lambda: of_module(diverged())),
    "a logarithm of 0": ("ACC-D5", lambda: of_module(Rare())),
    "one row, two labels": (
        "ACC-D6",
        lambda: of_trained(X=torch.cat([X, X[:60]]), y=torch.cat([Y, (Y[:60] + 1) % 3])),
    ),
    "nothing but the majority": (
        "ACC-D7",
        lambda: of_trained(
            X=X, y=(torch.rand(240, generator=torch.Generator().manual_seed(1)) < 0.07).long(), model=mlp(2)
        ),
    ),
    "one-hot labels": ("ACC-B3", lambda: of_module(mlp(), y=nn.functional.one_hot(Y))),
    "one-hot labels in an estimator": ("ACC-B3", lambda: diagnose(TorchClassifier(), X, nn.functional.one_hot(Y))),
    "soft labels": ("ACC-D11", lambda: of_module(mlp(), y=torch.softmax(X[:, :3], dim=1))),
}

CLEAN_DATA = {
    "labels from 0": lambda: of_trained(),
    "the same index": lambda: diagnose(TorchClassifier(), FRAME, pd.Series(Y.numpy())),
    "other indices": lambda: diagnose(TorchClassifier(), FRAME, pd.Series(Y.numpy(), index=range(9, 249))),
    "scaled in a pipeline": lambda: diagnose(TorchClassifier(), StandardScaler().fit_transform(unscaled().numpy()), Y),
    "batch norm comes first": lambda: of_trained(nn.Sequential(nn.BatchNorm1d(6), mlp()), X=unscaled()),
    "two values of any size": lambda: of_trained(X=torch.cat([X[:, :5], 1000.0 * TWO[:, None]], dim=1)),
    "repeated rows with one label": lambda: of_trained(X=torch.cat([X, X[:60]]), y=torch.cat([Y, Y[:60]])),
    "rare, but learnt": lambda: of_trained(y=(X[:, 0] > 1.5).long(), model=mlp(2), steps=200),
}

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


def dead(n_features, n_classes):
    model = nn.Sequential(nn.Linear(n_features, 16), nn.ReLU(), nn.Linear(16, n_classes))
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


ESTIMATORS = {
    "a class without rows": ("ACC-D8", with_an_absent_class),
    "labels not seen in fit": ("ACC-D8", lambda: of_fitted(examined=(X, torch.where(Y == 2, 7, Y)))),
    "copies in the hold-out": ("ACC-D10", lambda: diagnose(TorchClassifier(validation_fraction=0.25), *COPIES)),
    "a running figure": ("ACC-E2", lambda: of_fitted(max_epochs=1, train_accuracy="running", lr=0.02)),
    "slow batch norm": ("ACC-E5", lambda: of_fitted(module=slow_norm, X=X * 3 + 40)),
    "best weights restored": ("ACC-E6", stopped_early),
    "a hold-out inside fit": ("ACC-E7", lambda: of_fitted(validation_fraction=0.25)),
    "noise and a linear module": ("ACC-F1", lambda: of_fitted(y=noise_labels(), module=nn.Linear(6, 3), lr=1e-3)),
    "lr too high": ("ACC-F3", lambda: of_fitted(optimizer=SGD, lr=50.0, max_epochs=4, batch_size=240)),
    "lr too low": ("ACC-F4", lambda: of_fitted(optimizer=SGD, lr=1e-8)),
    "dead units": ("ACC-F5", lambda: of_fitted(module=dead)),
}


def rare_class():
    return torch.where((X[:, 0] > 1.2) & (torch.arange(240) % 3 > 0), 1, 0)


CLEAN_ESTIMATORS = {
    "not fitted": lambda: diagnose(TorchClassifier(), X, Y),
    "a module class, not fitted": lambda: diagnose(TorchClassifier(DropNorm), X, Y),
    "fitted": of_fitted,
    "text labels": lambda: of_fitted(y=np.array(["fox", "cat", "dog"])[Y.numpy()]),
    "dropout and batch norm": lambda: of_fitted(module=DropNorm, max_epochs=20),
    "log-probabilities": lambda: of_fitted(module=LogProbabilities, criterion=nn.NLLLoss),
    "one logit": lambda: of_fitted(module=OneLogit, y=TWO, criterion=nn.BCEWithLogitsLoss),
    "an ensemble": lambda: of_fitted(module=Ensemble),
    "tokens": lambda: of_fitted(module=Sequences, X=(X.abs() * 5).long().clamp(max=19), max_epochs=30),
    "sparse rows": lambda: of_fitted(X=scipy.sparse.csr_array(X.numpy())),
    "two epochs": lambda: of_fitted(max_epochs=2, lr=1e-4),
    "balanced weights on rare labels": lambda: of_fitted(y=rare_class(), class_weight="balanced", max_epochs=30),
    "no accuracy recorded": lambda: of_fitted(train_accuracy=None),
    "a running figure at rest": lambda: of_fitted(train_accuracy="running", max_epochs=40),
    "no copies in the hold-out": lambda: diagnose(TorchClassifier(validation_fraction=0.25), X, Y),
    "copies without a hold-out": lambda: diagnose(TorchClassifier(), *COPIES),
}


# ------------------------------------------------------------------ modes, and weights that do not move


def of_scored_in_training_mode():
    model = mlp(3, nn.Dropout(0.5))
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


def in_training_mode_without_dropout():
    model = mlp()
    parts = trained(model)
    model.train()
    return of_module(model, **parts)


def by_sgd():
    model = mlp()
    return of_trained(model, optimizer=SGD(model.parameters(), lr=0.1))


def of_dead_module():
    model = mlp()
    nn.init.constant_(model[0].bias, -100.0)
    return of_trained(model)


LOOPS = {
    "eval() forgotten": ("ACC-E1", of_scored_in_training_mode),
    "training mode, and an optimizer that does not tell": ("ACC-E1", lambda: of_untrained(SGD)),
    "the module built again": ("ACC-F2", lambda: of_rebuilt(copy.deepcopy)),
    "the head replaced": ("ACC-F2", lambda: of_rebuilt(new_head)),
    "layers in a list": ("ACC-F2", lambda: of_trained(InAList())),
    "layers in a list, in an estimator": ("ACC-F2", lambda: of_fitted(module=InAList)),
    "all layers in a list": ("ACC-F2", lambda: diagnose(TorchClassifier(AllInAList), X, Y)),
    "all frozen": ("ACC-F2", lambda: of_module(mlp().requires_grad_(False))),
    "a detached output": ("ACC-F2", lambda: of_module(Changed(lambda z: z.detach()))),
    "a layer that forward does not use": ("ACC-F2", lambda: of_trained(Unused())),
    "noise labels": ("ACC-F1", lambda: of_trained(nn.Linear(6, 3), y=noise_labels(), lr=1e-4)),
    "dead units in a loop": ("ACC-F5", of_dead_module),
    "the same output for all rows": (
        "ACC-F7",
        lambda: overfit_check(Changed(lambda z: z.mean(dim=0, keepdim=True).expand_as(z)), X, Y),
    ),
    "labels that the module cannot see": ("ACC-F7", lambda: overfit_check(Changed(lambda z: 0 * z), X, Y)),
    "frozen": ("ACC-F2", lambda: overfit_check(mlp().requires_grad_(False), X, Y)),
    "an estimator of a constant": (
        "ACC-F7",
        lambda: overfit_check(TorchClassifier(Changed(lambda z: 0 * z)), X, Y),
    ),
}

CLEAN_LOOPS = {
    "dropout before the first step": lambda: of_untrained(torch.optim.Adam),
    "dropout in evaluation mode": lambda: of_trained(mlp(3, nn.Dropout(0.2))),
    "training mode without dropout": in_training_mode_without_dropout,
    "the head alone is trained": fine_tuned,
    "the body is frozen": half_frozen,
    "batch norm that has settled": lambda: of_trained(DropNorm(6, 3, p=0.1), steps=200),
    "SGD, which does not tell its steps": by_sgd,
    "a linear module can memorise a few": lambda: overfit_check(nn.Linear(6, 3), X, noise_labels()),
    "a linear module and categories": lambda: overfit_check(nn.Linear(6, 3), (X > 0).float(), noise_labels()),
    "a module can memorise": lambda: overfit_check(mlp(), X, Y),
    "up to the ceiling": lambda: overfit_check(
        mlp(), torch.cat([X[:16], X[:16]]), torch.cat([Y[:16], (Y[:16] + 1) % 3])
    ),
    "one logit can memorise": lambda: overfit_check(mlp(1), X, TWO, criterion=BCEL),
    "an estimator can memorise": lambda: overfit_check(fitted(DropNorm), X, Y),
    "an unfitted estimator can memorise": lambda: overfit_check(TorchClassifier(), X, Y),
}


class AllInAList(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(6, 3)]

    def forward(self, x):
        return self.layers[0](x)


def joined(**tables):
    return {f"{table}: {case}": made for table, cases in tables.items() for case, made in cases.items()}


MISTAKES = joined(loader=LOADERS, output=OUTPUTS, data=DATA, estimator=ESTIMATORS, loop=LOOPS)
RIGHT = joined(
    loader=CLEAN_LOADERS, output=CLEAN_OUTPUTS, data=CLEAN_DATA, estimator=CLEAN_ESTIMATORS, loop=CLEAN_LOOPS
)


@pytest.mark.parametrize("case", MISTAKES)
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
def test_a_mistake_is_named_by_its_code_and_no_other(case):
    code, made = MISTAKES[case]
    diagnosis = made()
    assert diagnosis.codes == [code], diagnosis
    assert f"[{code}]" in str(diagnosis)


@pytest.mark.parametrize("case", RIGHT)
def test_nothing_is_found_where_nothing_is_wrong(case):
    diagnosis = RIGHT[case]()
    assert diagnosis.findings == (), diagnosis
    assert str(diagnosis).endswith("nothing found.")


# ------------------------------------------------------------------ nothing is changed


class Remembers(nn.Module):
    """Everything that a forward pass can move: running statistics, a counter, caches, generators."""

    def __init__(self, fails_after=10**6):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("last", None)
        self.calls, self.sizes, self.fails_after = 0, [], fails_after

    def forward(self, x):
        self.calls += 1
        if self.calls > self.fails_after:
            raise ArithmeticError("the module gives up")
        self.sizes.append(len(x))
        self.seen += 1
        self.last = x.mean(dim=0)
        self.cached = z = self.layers(x + random.random() * 1e-9 + float(np.random.rand()) * 1e-9)  # noqa: NPY002
        return z


def fingerprint(model, optimizer, data):
    """All bits that diagnose must not move."""
    tensors = {f"{k}={v.dtype}": v.detach().numpy().tobytes() for k, v in model.state_dict().items()}
    grads = {n: None if p.grad is None else (id(p.grad), p.grad.numpy().tobytes()) for n, p in model.named_parameters()}
    return {
        "identities": [id(p) for p in model.parameters()] + [id(b) for b in model.buffers()],
        "tensors": tensors,
        "grads": grads,
        "modes": [layer.training for layer in model.modules()],
        "attributes": (model.calls, list(model.sizes), model.last, getattr(model, "cached", "none")),
        "hooks": [len(layer._forward_hooks) for layer in model.modules()],
        "optimizer": str(optimizer.state_dict()),
        "loader": data.generator.get_state().numpy().tobytes(),
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": str(np.random.get_state()),  # noqa: NPY002
        "python": random.getstate(),
        "threads": (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()),
        "requires_grad": [p.requires_grad for p in model.parameters()],
    }


def loop_in_the_middle(fails_after=10**6):
    model = Remembers()
    trained_by = torch.optim.Adam(model.parameters(), lr=0.01)
    for rows in torch.arange(240).split(40):
        trained_by.zero_grad()
        CE(model(X[rows]), Y[rows]).backward()
        trained_by.step()
    model.layers[1].eval()  # a layer in a mode of its own
    model.fails_after = model.calls + fails_after
    del model.cached
    data = DataLoader(TensorDataset(X, Y), batch_size=40, shuffle=True, generator=torch.Generator().manual_seed(3))
    return model, trained_by, data


@pytest.mark.parametrize("calls", range(12))
def test_a_loop_goes_on_as_if_nobody_had_looked_also_if_the_module_raises(calls):
    model, optimizer, data = loop_in_the_middle(fails_after=calls)
    before = fingerprint(model, optimizer, data)
    try:
        diagnose(model, X, Y, criterion=CE, optimizer=optimizer, loader=data)
    except ArithmeticError:
        assert calls < 11
    assert fingerprint(model, optimizer, data) == before


def test_the_memory_test_changes_nothing():
    model, optimizer, data = loop_in_the_middle()
    before = fingerprint(model, optimizer, data)
    assert overfit_check(model, X, Y).codes == []
    assert fingerprint(model, optimizer, data) == before


@pytest.mark.parametrize("settings", [{}, {"validation_fraction": 0.2}])
def test_an_estimator_is_not_changed(settings):
    clf = fitted(DropNorm, **settings)
    state, module = pickle.dumps(clf), copy.deepcopy(clf.module_.state_dict())
    diagnose(clf, X, Y)
    overfit_check(clf, X, Y)
    assert pickle.dumps(clf) == state
    assert all(torch.equal(module[name], value) for name, value in clf.module_.state_dict().items())
    unfitted = TorchClassifier(mlp(), random_state=np.random.RandomState(0))
    state = pickle.dumps(unfitted)
    diagnose(unfitted, X, Y)
    assert pickle.dumps(unfitted) == state
    assert not hasattr(unfitted, "n_features_in_")


# ------------------------------------------------------------------ the answer, and what is refused


def test_errors_come_first_and_every_form_says_the_same():
    rows, model = unscaled(), mlp(3, nn.Softmax(dim=1))
    diagnosis = of_module(model, rows, Y, loader=loader(drop_last=True))
    assert diagnosis.codes == ["ACC-C1", "ACC-A3", "ACC-D4"]
    assert [f.severity for f in diagnosis.findings] == ["error", "warning", "warning"]
    frame = diagnosis.to_frame()
    assert frame.columns.tolist() == ["code", "severity", "message", "advice"]
    assert frame["code"].tolist() == diagnosis.codes
    text, html = str(diagnosis), diagnosis._repr_html_()
    assert text.startswith("Diagnosis of Sequential on 240 rows: 3 findings.")
    assert all(finding.message in text for finding in diagnosis.findings)
    assert html.count("<tr>") == 4
    assert of_module(mlp()).to_frame().columns.tolist() == frame.columns.tolist()
    assert "nothing found" in of_module(mlp())._repr_html_()


def test_labels_are_escaped_in_the_table():
    labels = np.where(TWO.numpy() == 1, "<script>", "b & c")
    rows = torch.zeros(240, 6)
    html = diagnose(TorchClassifier(), rows, labels)._repr_html_()
    assert "ACC-D6" in html
    many = np.where(np.arange(240) < 230, "<script>", "b & c")
    html = of_fitted(y=many, max_epochs=3)._repr_html_()
    assert "ACC-D7" in html
    assert "&lt;script&gt;" in html
    assert "<script>" not in html


def test_the_column_is_named():
    frame = FRAME.assign(c=FRAME["c"] * 1e5)
    assert "c has a standard deviation" in diagnose(TorchClassifier(), frame, Y).findings[0].message


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: diagnose("model", X, Y), TypeError, "nn.Module or a TorchClassifier is needed, but got a str"),
        (
            lambda: diagnose(make_pipeline(StandardScaler(), TorchClassifier()), X, Y),
            TypeError,
            r"pass pipeline\[-1\] and pipeline\[:-1\].transform",
        ),
        (lambda: diagnose(StandardScaler(), X, Y), TypeError, "got a StandardScaler"),
        (lambda: diagnose(mlp(), X, Y, loader=[1]), TypeError, "DataLoader, but got a list"),
        (lambda: diagnose(mlp(), X, Y[:9]), ValueError, "240 rows of X and 9 of y"),
        (lambda: diagnose(mlp(), X, np.full(240, "fox")), ValueError, r"numpy.unique\(y"),
        (lambda: diagnose(mlp(), X[:0], Y[:0]), ValueError, "no rows"),
        (lambda: diagnose(nn.LazyLinear(3), X, Y), ValueError, "lazy layers"),
        (lambda: diagnose(mlp(), X[:, :2], Y), RuntimeError, "shapes cannot be multiplied"),
        (lambda: overfit_check(nn.LazyLinear(3), X, Y), ValueError, "lazy layers"),
        (lambda: overfit_check("model", X, Y), TypeError, "got a str"),
    ],
)
def test_what_cannot_be_examined_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
