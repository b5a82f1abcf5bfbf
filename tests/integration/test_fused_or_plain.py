"""Fused kernels are used where they can be; elsewhere the plain form is, without a word, to the same result."""

import functools

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW
from torch.optim.lr_scheduler import CyclicLR

from sktorch_acc import TorchClassifier
from tests.modules import Floats

X = np.random.default_rng(0).standard_normal((64, 6)).astype("float32")
TOKENS = torch.as_tensor(np.random.default_rng(0).integers(0, 10, (64, 5)))
Y = np.arange(64) % 3


class Branching(nn.Module):
    """Uses its second layer in some steps only, which are other ones for each offset."""

    def __init__(self, n_features, n_classes, offset):
        super().__init__()
        self.first, self.second = nn.Linear(n_features, n_classes), nn.Linear(n_classes, n_classes)
        self.offset = offset
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, X):
        if self.training:
            self.steps += 1
        z = self.first(X)
        return self.second(z) if (self.steps + self.offset) % 3 == 0 else z


class Looked(nn.Module):
    """Gets a sparse gradient from a function; no layer tells."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(10, n_classes))

    def forward(self, X):
        return nn.functional.embedding(X, self.vectors, sparse=True).sum(dim=1)


class PartOfATensor(nn.Module):
    """A parameter whose memory has gaps: the kernels would write to what lies between."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.around = torch.randn(n_classes, 2 * n_features)
        self.weight = nn.Parameter(self.around[:, :n_features])

    def forward(self, X):
        return X @ self.weight.T


class Transposed(nn.Module):
    """A parameter in another order without gaps."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_features, n_classes).T)

    def forward(self, X):
        return X @ self.weight.T


class Complex(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layer, self.last = nn.Linear(n_features, 4, dtype=torch.complex64), nn.Linear(4, n_classes)

    def forward(self, X):
        return self.last(self.layer(X.to(torch.complex64)).abs())


def fitted(module, optimizer, given=X, **parameters):
    known = {"lr": 0.05, "max_epochs": 3, "batch_size": 8, "random_state": 0, "device": "cpu", "diagnose": "off"}
    return TorchClassifier(module, optimizer=optimizer, **{**known, **parameters}).fit(given, Y)


def assert_as_plain(clf, module, optimizer, given=X, **parameters):
    plain = fitted(module, optimizer, given, optimizer__fused=False, **parameters)
    for a, b in zip(clf.module_.parameters(), plain.module_.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def cyclic(**more):
    return {"lr_scheduler": CyclicLR, "lr_scheduler__base_lr": 0.01, "lr_scheduler__max_lr": 0.1, **more}


@pytest.mark.parametrize("offset", range(3))
@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize(
    ("optimizer", "parameters"),
    [
        (SGD, {"optimizer__momentum": 0.9}),
        (SGD, {"optimizer__momentum": 0.9, "optimizer__nesterov": True}),
        (SGD, {"optimizer__momentum": 0.9, "optimizer__dampening": 0.1}),
        (SGD, {"lr_scheduler": "onecycle"}),  # moves the momentum from 0
        (SGD, cyclic()),
        (SGD, cyclic(optimizer__dampening=0.1)),
        (Adagrad, {}),
        (Adam, {"optimizer__amsgrad": True}),
        (AdamW, {}),
    ],
)
def test_a_branch_that_is_not_always_taken_is_trained_as_by_the_plain_form(optimizer, parameters, offset, told):
    from skorch.callbacks import Callback

    class Hears(Callback):
        def on_batch_end(self, net, **kwargs):
            pass

    given = {**parameters, "module__offset": offset, "callbacks": [Hears] if told else None}
    clf = fitted(Branching, optimizer, **given)
    assert_as_plain(clf, Branching, optimizer, **given)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")
@pytest.mark.parametrize(
    ("optimizer", "parameters"), [(SGD, {}), (SGD, {"optimizer__momentum": 0.9}), (Adagrad, {"lr": 0.01})]
)
def test_sparse_gradients_are_taken_by_the_plain_form(optimizer, parameters):
    clf = fitted(Looked, optimizer, TOKENS, **parameters)
    assert_as_plain(clf, Looked, optimizer, TOKENS, **parameters)
    assert clf.history_["train_loss"].is_monotonic_decreasing


@pytest.mark.parametrize("optimizer", [SGD, Adagrad, Adam, AdamW])
@pytest.mark.parametrize("module", [PartOfATensor, Transposed, Complex])
def test_parameters_of_another_kind_are_trained_as_by_the_plain_form(module, optimizer):
    clf = fitted(module, optimizer)
    assert_as_plain(clf, module, optimizer)
    assert clf.history_["train_acc"].iloc[-1] == clf.score(X, Y)


def test_what_lies_between_a_parameters_values_is_not_written_to():
    around = fitted(PartOfATensor, AdamW, max_epochs=1, lr=1e-30).module_.around[:, 6:].clone()
    assert torch.equal(fitted(PartOfATensor, AdamW).module_.around[:, 6:], around)


@pytest.mark.parametrize("optimizer", [SGD, Adagrad, Adam, AdamW])
def test_the_fused_form_is_used_where_it_can_be(optimizer):
    for module in (Floats, Transposed):
        clf = fitted(module, optimizer, warm_start=True)
        assert all(group["fused"] for group in clf._state.optimizer.param_groups)


@pytest.mark.parametrize("kind", [SGD, Adam])
def test_a_factory_that_chose_another_form_gets_it(kind):
    clf = fitted(Floats, functools.partial(kind, foreach=True), warm_start=True)
    assert not any(group["fused"] for group in clf._state.optimizer.param_groups)
