"""Promise 3: looking changes nothing, neither the weights nor the state that the process shares."""

import random

import numpy as np
import pytest
import torch
from sklearn.callback import ScoringMonitor
from sklearn.datasets import make_classification
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback, EpochScoring
from torch import nn

from sktorch_acc import ModuleOutputError, NonFiniteLossError, TorchClassifier
from tests.modules import DropNorm

X, INDICES = make_classification(50, 6, n_informative=4, n_classes=3, random_state=0)
X = X.astype("float32")
Y = np.array(["fox", "cat", "dog"])[INDICES]


class Draws(Callback):
    """Draw from every global generator at every hook, and look at the module."""

    def _draw(self, net):
        torch.rand(3)
        np.random.rand(3)  # noqa: NPY002
        random.random()
        net.module_.eval()

    def on_train_begin(self, net, **kwargs):
        self._draw(net)

    def on_epoch_begin(self, net, **kwargs):
        self._draw(net)

    def on_batch_begin(self, net, **kwargs):
        self._draw(net)

    def on_grad_computed(self, net, **kwargs):
        torch.rand(3)

    def on_batch_end(self, net, **kwargs):
        self._draw(net)

    def on_epoch_end(self, net, dataset_valid=None, **kwargs):
        self._draw(net)
        net.predict_proba(X)


class DrawsPerEpoch(Draws):
    on_batch_begin = Callback.on_batch_begin
    on_batch_end = Callback.on_batch_end
    on_grad_computed = Callback.on_grad_computed


def weights(clf):
    return [tensor.clone() for tensor in clf.module_.state_dict().values()]


def trained(callbacks=(), monitor=None, **settings):
    clf = TorchClassifier(
        DropNorm, lr=0.01, max_epochs=4, batch_size=16, validation_fraction=0.2, random_state=3, **settings
    )
    clf.set_params(callbacks=list(callbacks))
    if monitor:
        clf.set_callbacks(monitor)
    return clf.fit(X, Y)


REFERENCE = weights(trained())

LOOKS = {
    "no accuracy": {"train_accuracy": None},
    "running": {"train_accuracy": "running"},
    "verbose": {"verbose": 1},
    "five callbacks": {"callbacks": [Draws() for _ in range(5)]},
    "five callbacks on epochs": {"callbacks": [DrawsPerEpoch() for _ in range(5)]},
    "scoring callbacks": {"callbacks": [EpochScoring("accuracy", lower_is_better=False, on_train=True)]},
    "a scikit-learn monitor": {"monitor": ScoringMonitor(scoring="accuracy")},
}


@pytest.mark.parametrize("look", LOOKS)
def test_looking_changes_no_bit_of_the_weights(look, capsys):
    assert all(torch.equal(a, b) for a, b in zip(weights(trained(**LOOKS[look])), REFERENCE, strict=True))


def test_looking_at_gradients_changes_nothing_for_an_optimizer_with_a_closure():
    class LooksAtGradients(Callback):
        def on_grad_computed(self, net, **kwargs):
            net.predict_proba(X)

    settings = {"optimizer": torch.optim.LBFGS, "train_accuracy": "exact"}
    first, second = (weights(trained(callbacks, **settings)) for callbacks in ([], [LooksAtGradients]))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def shared_state():
    return (
        torch.get_rng_state().tolist(),
        str(np.random.get_state()),  # noqa: NPY002
        random.getstate(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.is_grad_enabled(),
    )


class Rude(DropNorm):
    """Changes what a process shares when it is built and when it runs."""

    def __init__(self, n_features, n_classes):
        super().__init__(n_features, n_classes)
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002
        random.seed(1)
        torch.set_num_threads(2)

    def forward(self, X):
        torch.set_grad_enabled(True)
        return super().forward(X)


class Fails(DropNorm):
    def forward(self, X):
        if self.training and len(X) == 2:
            raise RuntimeError("no pairs")
        return super().forward(X)


class Explodes(DropNorm):
    def forward(self, X):
        self.calls = getattr(self, "calls", 0) + 1
        return super().forward(X) * (torch.inf if self.calls > 8 else 1.0)


class Softmaxed(DropNorm):
    def forward(self, X):
        return super().forward(X).softmax(1)


@pytest.mark.parametrize(
    ("module", "error"),
    [
        (DropNorm, None),
        (Rude, None),
        (Fails, RuntimeError),
        (Explodes, NonFiniteLossError),
        (Softmaxed, ModuleOutputError),
    ],
)
@pytest.mark.parametrize("grad", [True, False])
def test_fit_changes_no_shared_state_also_when_it_fails(module, error, grad):
    torch.manual_seed(5)
    clf = TorchClassifier(module, max_epochs=3, batch_size=16, random_state=0)
    with torch.set_grad_enabled(grad):
        before = shared_state()
        if error is None:
            clf.fit(X, Y)
        else:
            with pytest.raises(error):
                clf.fit(X, Y)
            with pytest.raises(NotFittedError):
                clf.predict(X)
        clf_state = shared_state()
    assert clf_state == before


def test_a_default_dtype_that_a_module_changes_is_put_back():
    class Changes(DropNorm):
        def __init__(self, n_features, n_classes):
            torch.set_default_dtype(torch.float64)
            super().__init__(n_features, n_classes)

    TorchClassifier(Changes, max_epochs=1).fit(X, Y)
    assert torch.get_default_dtype() == torch.float32


def test_one_seed_gives_the_same_bits_whatever_the_global_generators():
    class NumpyInit(DropNorm):
        def __init__(self, n_features, n_classes):
            super().__init__(n_features, n_classes)
            self.scale = float(np.random.rand()) + random.random()  # noqa: NPY002

        def forward(self, X):
            return super().forward(X) * self.scale

    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        results.append(TorchClassifier(NumpyInit, max_epochs=2, random_state=7).fit(X, Y).predict_proba(X))
    assert np.array_equal(*results)


def test_no_seed_means_fresh_entropy_and_a_random_state_is_advanced():
    first, second = (TorchClassifier(max_epochs=1).fit(X, Y).predict_proba(X) for _ in range(2))
    assert not np.array_equal(first, second)
    state = np.random.RandomState(0)
    clf = TorchClassifier(max_epochs=1, random_state=state)
    first, second = (clf.fit(X, Y).predict_proba(X) for _ in range(2))
    assert not np.array_equal(first, second)


def test_a_module_instance_and_callback_instances_are_never_touched():
    module, callback = DropNorm(6, 3), EpochScoring("accuracy", lower_is_better=False)
    before = [tensor.clone() for tensor in module.state_dict().values()]
    clf = TorchClassifier(module, max_epochs=2, callbacks=[callback], validation_fraction=0.2).fit(X, Y)
    assert clf.module_ is not module
    assert clf.callbacks_[0][1] is not callback
    assert not hasattr(callback, "best_score_")
    assert all(torch.equal(a, b) for a, b in zip(module.state_dict().values(), before, strict=True))
    assert module.training


def test_fit_trains_under_no_grad_and_inference_mode():
    reference = weights(TorchClassifier(DropNorm, max_epochs=2, random_state=0).fit(X, Y))
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            clf = TorchClassifier(DropNorm, max_epochs=2, random_state=0).fit(X, Y)
        assert all(torch.equal(a, b) for a, b in zip(weights(clf), reference, strict=True))


def test_a_module_that_writes_to_its_input_changes_neither_the_callers_array_nor_the_result():
    class InPlace(nn.Module):
        def __init__(self, n_features, n_classes):
            super().__init__()
            self.layers = nn.Sequential(nn.ReLU(inplace=True), nn.Linear(n_features, n_classes))

        def forward(self, X):
            return self.layers(X)

    before = X.copy()
    clf = TorchClassifier(InPlace, max_epochs=2, random_state=0).fit(X, Y)
    first = clf.predict_proba(X)
    assert np.array_equal(X, before)
    assert np.array_equal(first, clf.predict_proba(X))
    assert clf.history_.loc[2, "train_acc"] == clf.score(X, Y)
