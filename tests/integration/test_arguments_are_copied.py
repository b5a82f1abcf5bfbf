"""What is handed to an estimator is not trained: two fits are equal, and cross-validation does not remember a fit."""

import copy
import dataclasses
import functools
import warnings

import numpy as np
import pytest
import torch
from sklearn.model_selection import cross_val_score
from torch import nn

from sktorch_acc import AccuracyWarning, SktorchAccError, TorchClassifier, diagnose

X = np.random.default_rng(0).standard_normal((60, 6)).astype("float32")
y = np.random.default_rng(1).integers(0, 2, 60)
SETTINGS = {"max_epochs": 4, "lr": 0.05, "batch_size": 16, "random_state": 0}


def body():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU())


@dataclasses.dataclass
class Config:
    layers: object


class Net(nn.Module):
    """Takes a body in any of its forms."""

    def __init__(self, body=None, act=None, scale=None, table=None):
        super().__init__()
        body = body.layers if isinstance(body, Config) else body
        body = list(body.values()) if isinstance(body, dict) else body
        self.body = nn.Sequential(*body) if isinstance(body, (list, tuple)) else body or nn.Linear(6, 8)
        self.act = act or nn.ReLU()
        self.scale = scale
        self.table = None if table is None else nn.Parameter(torch.as_tensor(table))
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        h = self.act(self.body(x))
        h = h if self.scale is None else h * self.scale
        return self.head(h if self.table is None else h + self.table)


class Weighted(nn.Module):
    """A criterion that trains the layer it is given."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, output, target):
        return nn.functional.cross_entropy(output, target) + self.layer.weight.square().mean()


HANDED_IN = {
    "module__body": lambda: (Net, {"module__body": body()}),
    "a list": lambda: (Net, {"module__body": [body(), nn.Linear(8, 8)]}),
    "a dict": lambda: (Net, {"module__body": {"a": body(), "b": nn.PReLU()}}),
    "a dataclass": lambda: (Net, {"module__body": Config([body()])}),
    "a parameter": lambda: (Net, {"module__scale": nn.Parameter(torch.ones(8))}),
    "an activation": lambda: (Net, {"module__act": nn.PReLU()}),
    "a tensor": lambda: (Net, {"module__table": torch.zeros(8)}),
    "an array": lambda: (Net, {"module__table": np.zeros(8, dtype="float32")}),
    "a partial": lambda: (functools.partial(Net, body=body()), {}),
    "a partial with arguments by position": lambda: (functools.partial(Net, [body()], nn.PReLU()), {}),
    "an instance": lambda: (Net(body()), {}),
    "criterion__layer": lambda: (Net, {"criterion": Weighted, "criterion__layer": nn.Linear(2, 2)}),
    "a criterion": lambda: (Net, {"criterion": Weighted(nn.Linear(2, 2))}),
    "a partial as criterion": lambda: (
        Net,
        {"criterion": functools.partial(Weighted, nn.Linear(2, 2)), "output": "logits"},
    ),
}


def tensors(value):
    """The tensors in what is handed in, and the modes of its layers."""
    if isinstance(value, nn.Module):
        return [*value.state_dict().values(), torch.tensor([layer.training for layer in value.modules()])]
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return [torch.as_tensor(value).detach()]
    if isinstance(value, functools.partial):
        return tensors([*value.args, *value.keywords.values()])
    if isinstance(value, Config):
        return tensors(value.layers)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [tensor for part in parts for tensor in tensors(part)]


@pytest.mark.parametrize("make", HANDED_IN.values(), ids=HANDED_IN)
def test_what_is_handed_in_stays_as_it_is_and_two_fits_are_equal_to_the_bit(make):
    module, given = make()
    given.setdefault("output", "logits")
    clf = TorchClassifier(module, **SETTINGS, **given)
    before = copy.deepcopy(tensors([module, given]))
    assert len(before) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error", AccuracyWarning)
        first = cross_val_score(clf, X, y, cv=3)
        states = [clf.fit(X, y).module_.state_dict() for _ in range(2)]
        assert np.array_equal(cross_val_score(clf, X, y, cv=3), first)
    for a, b in zip(tensors([module, given]), before, strict=True):
        assert torch.equal(a, b)
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())


def test_a_layer_in_module_and_criterion_is_one_layer():
    layer = nn.Linear(6, 8)
    torch.manual_seed(0)
    given = {"module__body": layer, "criterion": Weighted, "criterion__layer": layer, "output": "logits"}
    clf = TorchClassifier(Net, **SETTINGS, **given).fit(X, y)
    assert clf._state.model.criterion.layer is clf.module_.body is not layer


# ------------------------------------------------------------------ what cannot be copied


class Shares(nn.Module):
    """Takes its body from the class."""

    body = None

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layers = nn.Sequential(type(self).shared[0], nn.Linear(8, n_classes))

    def forward(self, x):
        return self.layers(x)


def with_default(body):
    def make(n_features, n_classes, body=body):
        return nn.Sequential(body, nn.Linear(8, n_classes))

    return make


def with_class_attribute(body):
    return type("Sharing", (Shares,), {"shared": [body]})


def with_global(body):
    namespace = {"nn": nn, "BODY": body}
    exec("def make(n_features, n_classes): return nn.Sequential(BODY, nn.Linear(8, n_classes))", namespace)
    return namespace["make"]


def with_new_parameter(body):
    def make(n_features, n_classes):
        layer = nn.Linear(6, 8)
        layer.weight = nn.Parameter(body[0].weight.data)  # the same memory
        return nn.Sequential(layer, nn.Linear(8, n_classes))

    return make


FACTORIES = {
    "a closure": lambda body: lambda n_features, n_classes: nn.Sequential(body, nn.Linear(8, n_classes)),
    "a default argument": with_default,
    "a class attribute": with_class_attribute,
    "a global": with_global,
    "a new parameter over the same memory": with_new_parameter,
}


def found_in(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [w.message.code for w in caught if isinstance(w.message, AccuracyWarning)]


@pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES)
def test_a_factory_that_hands_out_a_trained_layer_is_noticed_at_the_next_fit(factory):
    make = factory(body())
    clf = TorchClassifier(make, **SETTINGS)
    assert found_in(lambda: diagnose(clf, X, y)) == []
    assert "ACC-E10" not in diagnose(clf, X, y).codes
    assert found_in(lambda: clf.fit(X, y)) == []
    assert found_in(lambda: clf.fit(X, y)) == ["ACC-E10"]
    assert "ACC-E10" in diagnose(TorchClassifier(make, **SETTINGS), X, y).codes
    assert found_in(lambda: TorchClassifier(make, **SETTINGS).partial_fit(X, y, classes=[0, 1])) == ["ACC-E10"]
    with pytest.raises(SktorchAccError, match=r"^\[ACC-E10\] The new module is not new"):
        TorchClassifier(make, **SETTINGS, diagnose="raise").fit(X, y)
    with pytest.raises(SktorchAccError, match="ACC-E10"):
        TorchClassifier(make, **SETTINGS, diagnose="raise").partial_fit(X, y, classes=[0, 1])
    silent = TorchClassifier(make, **SETTINGS, diagnose="off")
    assert found_in(lambda: silent.fit(X, y)) == found_in(lambda: silent.fit(X, y)) == []


def test_cross_validation_of_a_shared_layer_warns():
    make = FACTORIES["a closure"](body())
    codes = found_in(lambda: cross_val_score(TorchClassifier(make, **SETTINGS), X, y, cv=3))
    assert codes == ["ACC-E10", "ACC-E10"]


def test_statistics_of_batch_norm_are_noticed_in_a_frozen_layer():
    frozen = body().requires_grad_(False)
    clf = TorchClassifier(FACTORIES["a closure"](frozen), **SETTINGS)
    assert found_in(lambda: clf.fit(X, y)) == []
    with pytest.warns(AccuracyWarning, match=r"2 parameters and buffers.*running_mean.*running_var"):
        clf.fit(X, y)


def test_a_fit_that_fails_in_its_first_epoch_counts():
    make = FACTORIES["a closure"](body())

    class Fails(nn.Module):
        calls = 0

        def forward(self, output, target):
            Fails.calls += 1
            if Fails.calls == 4:  # the probe is the first
                raise RuntimeError("full")
            return nn.functional.cross_entropy(output, target)

    with pytest.raises(RuntimeError, match="full"):
        TorchClassifier(make, criterion=Fails, output="logits", **SETTINGS).fit(X, y)
    assert found_in(lambda: TorchClassifier(make, **SETTINGS).fit(X, y)) == ["ACC-E10"]


# ------------------------------------------------------------------ what is right


class EvalNorm(nn.Sequential):
    """Batch norm that stays in evaluation mode, without gradients."""

    def train(self, mode=True):
        return super().train(False)


class Encoded(nn.Module):
    """Runs an encoder without gradients; it is not frozen otherwise."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.head = encoder, nn.Linear(8, 2)

    def forward(self, x):
        with torch.no_grad():
            h = self.encoder(x)
        return self.head(h)


class Counted(nn.Module):
    """Counts its steps beside a table that all its instances have."""

    table = torch.ones(6)

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 2)
        self.register_buffer("factors", self.table)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        if self.training:
            self.steps += 1
        return self.layer(x * self.factors)


def loading_weights():
    state = TorchClassifier(body_and_head, **SETTINGS).fit(X, y).module_.state_dict()

    def make():
        module = body_and_head()
        module.load_state_dict(state)
        return module

    return make


def body_and_head():
    return nn.Sequential(body(), nn.Linear(8, 2))


def copying_a_template():
    template = body_and_head()
    return lambda: copy.deepcopy(template)


def frozen_body():
    layers = EvalNorm(*body()).requires_grad_(False)
    return lambda: nn.Sequential(layers, nn.Linear(8, 2))


def encoder_without_gradients():
    layers = nn.Sequential(nn.Linear(6, 8), nn.ReLU())
    return lambda: Encoded(layers)


def body_trained_before():
    layers = nn.Sequential(nn.Linear(6, 8), nn.ReLU())
    TorchClassifier(lambda: nn.Sequential(layers, nn.Linear(8, 2)), **SETTINGS).fit(X, y)
    layers.requires_grad_(False)
    return lambda: nn.Sequential(layers, nn.Linear(8, 2))


RIGHT = {
    "a body that was trained before and is frozen now": body_trained_before,
    "a template that is copied": copying_a_template,
    "weights that are loaded": loading_weights,
    "a frozen body": frozen_body,
    "an encoder without gradients": encoder_without_gradients,
    "a buffer of the class": lambda: Counted,
    "the trained module of another estimator": lambda: TorchClassifier(body_and_head, **SETTINGS).fit(X, y).module_,
}


@pytest.mark.parametrize("make", RIGHT.values(), ids=RIGHT)
def test_what_is_right_is_not_accused(make):
    module = make()
    for _ in range(2):
        assert found_in(lambda: TorchClassifier(module, **SETTINGS).fit(X, y)) == []
        assert "ACC-E10" not in diagnose(TorchClassifier(module, **SETTINGS), X, y).codes


@pytest.mark.parametrize("warm", [False, True])
def test_continuing_is_not_accused(warm):
    make = FACTORIES["a closure"](body())
    clf = TorchClassifier(make, warm_start=warm, **SETTINGS).fit(X, y)
    assert found_in(lambda: clf.partial_fit(X, y)) == []
    if warm:
        assert found_in(lambda: clf.fit(X, y)) == []
