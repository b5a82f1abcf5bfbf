"""What is handed to an estimator is not trained: two fits are equal, and cross-validation does not remember a fit."""

import copy
import dataclasses
import functools
import threading
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.base import _clone_parametrized, clone
from sklearn.callback import ProgressBar
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
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
    "a layer that rebuilds itself": lambda: (Net, {"module__body": nn.Sequential(Rebuilt())}),
    "an instance that rebuilds itself": lambda: (Net(Rebuilt()), {}),
    "a view": lambda: (Net, {"module__body": Transposed()}),
    "a compiled layer": lambda: (
        Net,
        {"module__body": nn.Sequential(torch.compile(nn.Linear(6, 8), backend="eager"))},
    ),
    "TorchScript": lambda: (Net, {"module__body": torch.jit.script(nn.Linear(6, 8))}),
    "an instance of TorchScript": lambda: (torch.jit.script(Net(nn.Linear(6, 8))), {}),
    "an instance with TorchScript": lambda: (Net(torch.jit.script(nn.Linear(6, 8))), {}),
    "a series": lambda: (WithLayers, {"module__layers": pd.Series([nn.Linear(6, 8)], dtype=object)}),
    "an array's memory": lambda: (Net, {"module__scale": nn.Parameter(torch.from_numpy(np.ones(8, "float32")))}),
    "criterion__layer": lambda: (Net, {"criterion": Weighted, "criterion__layer": nn.Linear(2, 2)}),
    "a criterion": lambda: (Net, {"criterion": Weighted(nn.Linear(2, 2))}),
    "a partial as criterion": lambda: (
        Net,
        {"criterion": functools.partial(Weighted, nn.Linear(2, 2)), "output": "logits"},
    ),
}


class Rebuilt(nn.Module):
    """A layer whose class looks into another one when it is copied."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 8)
        self.scale = self.layer.out_features**-0.5

    def __setstate__(self, state):
        super().__setstate__(state)
        self.scale = self.layer.out_features**-0.5

    def forward(self, x):
        return self.layer(x) * self.scale


class Transposed(nn.Module):
    """Keeps a view of its parameter."""

    def __init__(self, keeps=True):
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(6, 8) * 0.1)
        self.view = self.weight.t() if keeps else None

    def forward(self, x):
        return nn.functional.linear(x, self.weight.t() if self.view is None else self.view)


class WithLayers(Net):
    def __init__(self, layers):
        super().__init__(nn.Sequential(*layers))


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
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple, pd.Series)) else ()
    return [tensor for part in parts for tensor in tensors(part)]


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
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


@pytest.mark.parametrize("form", ["an argument", "an instance"])
def test_a_view_of_a_parameter_is_trained_with_it(form):
    def fitted(keeps):
        torch.manual_seed(0)
        if form == "an instance":
            return TorchClassifier(Net(Transposed(keeps)), **SETTINGS).fit(X, y)
        return TorchClassifier(Net, module__body=Transposed(keeps), **SETTINGS).fit(X, y)

    keeping, computing = fitted(True), fitted(False)
    assert np.array_equal(keeping.predict_proba(X), computing.predict_proba(X))
    body = keeping.module_.body
    assert torch.equal(body.view, body.weight.t())
    assert torch.equal(body.weight, computing.module_.body.weight)
    assert np.array_equal(clone(keeping).fit(X, y).predict_proba(X), keeping.predict_proba(X))


@pytest.mark.parametrize("several", [dict.values, lambda layers: iter(layers.values())], ids=["values", "an iterator"])
def test_two_fits_with_a_view_or_an_iterator_are_equal_and_the_layers_stay(several):
    layers = {"a": body(), "b": nn.PReLU()}
    before = copy.deepcopy(tensors(layers))
    clf = TorchClassifier(WithLayers, module__layers=several(layers), **SETTINGS)
    states = [clf.fit(X, y).module_.state_dict() for _ in range(2)]
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())
    assert all(torch.equal(a, b) for a, b in zip(tensors(layers), before, strict=True))


def test_a_deep_copy_of_a_fitted_estimator_goes_on_with_its_view():
    clf = TorchClassifier(lambda: Net(Transposed()), warm_start=True, **SETTINGS).fit(X, y)
    twin = copy.deepcopy(clf)
    assert np.array_equal(twin.predict_proba(X), clf.predict_proba(X))
    assert np.array_equal(twin.fit(X, y).predict_proba(X), clf.fit(X, y).predict_proba(X))
    body, other = twin.module_.body, clf.module_.body
    assert torch.equal(body.view, body.weight.t())
    assert body.weight.data_ptr() != other.weight.data_ptr()


def test_a_class_or_instance_with_a_compiled_layer_is_fitted_and_diagnosed():
    def make():
        return nn.Sequential(torch.compile(nn.Linear(6, 2), backend="eager"))

    with warnings.catch_warnings():
        warnings.simplefilter("error", AccuracyWarning)
        a = TorchClassifier(make, **SETTINGS).fit(X, y)
        TorchClassifier(make(), **SETTINGS).fit(X, y)
    b = TorchClassifier(lambda: nn.Sequential(nn.Linear(6, 2)), **SETTINGS).fit(X, y)
    assert np.array_equal(a.predict_proba(X), b.predict_proba(X))
    assert diagnose(a, X, y).codes == diagnose(b, X, y).codes
    criterion = nn.CrossEntropyLoss()
    codes = diagnose(make(), torch.from_numpy(X), torch.from_numpy(y), criterion=criterion).codes
    assert "ACC-C1" not in codes


# ------------------------------------------------------------------ clones


class Two(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.a, self.b, self.head = a, b, nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.b(torch.tanh(self.a(x))))


class Needing(TorchClassifier):
    """With a parameter that is an estimator, and one of its own."""

    def __init__(self, module=None, *, inner=None, layers=(), random_state=None, **nested):
        super().__init__(module, random_state=random_state, **nested)
        self.inner, self.layers = inner, layers


def test_layers_that_parameters_share_are_shared_in_a_clone():
    layer = nn.Linear(6, 6)
    clf = TorchClassifier(Two, module__a=layer, module__b=layer, **SETTINGS)
    twin = clone(clone(clf))
    assert twin.get_params()["module__a"] is twin.get_params()["module__b"] is not layer
    assert np.array_equal(twin.fit(X, y).predict_proba(X), clf.fit(X, y).predict_proba(X))
    given = {"criterion": Weighted, "criterion__layer": layer, "output": "logits"}
    in_both = clone(TorchClassifier(functools.partial(Two, layer, b=nn.Sequential(layer)), **given, **SETTINGS)).fit(
        X, y
    )
    assert in_both.module_.a is in_both.module_.b[0] is in_both._state.model.criterion.layer
    folds = cross_val_score(clf, X, y, cv=2, error_score="raise")
    by_hand = []
    for train, test in StratifiedKFold(2).split(X, y):
        by_hand.append(TorchClassifier(**clf.get_params()).fit(X[train], y[train]).score(X[test], y[test]))
    assert folds.tolist() == by_hand


def test_a_clone_is_that_of_scikit_learn_otherwise():
    random = np.random.RandomState(0)
    inner = LogisticRegression(C=0.5)
    clf = Needing(
        nn.Linear(6, 2), inner=inner, layers=[inner, (nn.PReLU(), "x")], module__x={"a": [1]}, random_state=random
    )
    with config_context(enable_metadata_routing=True):
        clf.set_fit_request(sample_weight=True)
    callback = ProgressBar()
    clf.set_callbacks(callback)
    clf.fitted_ = 1
    twin, expected = clone(clf), _clone_parametrized(clf)
    assert type(twin) is Needing
    assert list(vars(twin)) == list(vars(expected))
    assert list(twin.get_params()) == list(expected.get_params())
    assert repr(twin._metadata_request) == repr(clf._metadata_request)
    assert twin._metadata_request is not clf._metadata_request
    assert twin._skl_callbacks is clf._skl_callbacks
    assert not hasattr(twin, "fitted_")
    assert twin.inner is not inner
    assert type(twin.layers) is list
    assert twin.layers[0].C == twin.inner.C == 0.5
    assert isinstance(twin.layers[1][0], nn.PReLU)
    assert twin.layers[1][0] is not clf.layers[1][0]
    assert twin.get_params()["module__x"] == {"a": [1]}
    assert twin.get_params()["module__x"]["a"] is not clf.get_params()["module__x"]["a"]
    assert twin.random_state is not random
    assert twin.random_state.rand() == np.random.RandomState(0).rand()
    assert torch.equal(twin.module.weight, clf.module.weight)
    assert clf.get_params()["inner"] is inner


def test_a_clone_in_a_pipeline_and_a_search():
    layer = nn.Linear(6, 6)
    clf = TorchClassifier(Two, module__a=layer, module__b=layer, **SETTINGS)
    pipe = clone(make_pipeline(StandardScaler(), clf))
    assert pipe[-1].get_params()["module__a"] is pipe[-1].get_params()["module__b"]
    best = GridSearchCV(clf, {"lr": [0.01, 0.1]}, cv=2).fit(X, y).best_estimator_
    assert best.module_.a is best.module_.b


# ------------------------------------------------------------------ what cannot be copied


class Locked(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.lock = nn.Linear(6, 8), threading.Lock()

    def forward(self, x):
        return self.layer(x)


@pytest.mark.parametrize("level", ["warn", "off", "raise"])
def test_a_layer_that_cannot_be_copied_is_refused_before_it_is_trained(level):
    locked = Locked()
    before = copy.deepcopy(locked.state_dict())
    clf = TorchClassifier(Net, module__body=nn.Sequential(locked), diagnose=level, **SETTINGS)
    with pytest.raises(
        ValueError, match=r"^module__body holds an object of type Locked that cannot be copied \(cannot"
    ):
        clf.fit(X, y)
    assert not hasattr(clf, "module_")
    assert all(torch.equal(value, before[name]) for name, value in locked.state_dict().items())
    frozen = TorchClassifier(Net, module__body=locked.requires_grad_(False), **SETTINGS)
    assert found_in(lambda: frozen.fit(X, y)) == found_in(lambda: frozen.fit(X, y)) == []


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


class Hidden:
    """An object that has its layer from its class."""


def with_an_object_of_a_class(body):
    def make(body):
        return nn.Sequential(body.layer, nn.Linear(8, 2))

    return functools.partial(make, type("Holds", (Hidden,), {"layer": body})())


def with_a_lambda(body):
    def make(get):
        return nn.Sequential(get(), nn.Linear(8, 2))

    return functools.partial(make, lambda: body)


FACTORIES = {
    "an object with the layer in its class": with_an_object_of_a_class,
    "a function as argument": with_a_lambda,
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


def test_a_criterion_that_is_trained_further_is_noticed():
    shared = Weighted(nn.Linear(2, 2))
    clf = TorchClassifier(Net, criterion=lambda: shared, output="logits", **SETTINGS)
    assert found_in(lambda: clf.fit(X, y)) == []
    with pytest.warns(AccuracyWarning, match=r"criterion\.layer\.weight") as caught:
        clf.fit(X, y)
    assert [w.message.code for w in caught] == ["ACC-E10"]


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


def trained_body(make_body=body):
    layers = make_body()
    TorchClassifier(lambda: nn.Sequential(layers, nn.Linear(8, 2)), **SETTINGS).fit(X, y)
    return layers


class KeepsEval(nn.Module):
    """Keeps its body in evaluation mode, in one of several ways."""

    def __init__(self, body, how):
        super().__init__()
        self.body, self.head, self.how = body, nn.Linear(8, 2), how

    def train(self, mode=True):
        super().train(mode)
        if self.how == "train":
            self.body.eval()
        return self

    def forward(self, x):
        if self.how == "forward":
            self.body.eval()
        with torch.no_grad():
            h = self.body(x)
        return self.head(h)


def norm_trained_before(how, frozen=True):
    def make():
        layers = trained_body().requires_grad_(not frozen)
        return lambda: KeepsEval(layers, how)

    return make


def trained_encoder_without_gradients():
    layers = trained_body(lambda: nn.Sequential(nn.Linear(6, 8), nn.ReLU()))
    return lambda: Encoded(layers)


RIGHT = {
    "a trained body with batch norm, frozen, in evaluation mode by train()": norm_trained_before("train"),
    "a trained body with batch norm, frozen, in evaluation mode by forward()": norm_trained_before("forward"),
    "a body that was trained before and is frozen now": body_trained_before,
    "a template that is copied": copying_a_template,
    "weights that are loaded": loading_weights,
    "a trained body with batch norm, without gradients, in evaluation mode by train()": norm_trained_before(
        "train", frozen=False
    ),
    "a trained body with batch norm, without gradients, in evaluation mode by forward()": norm_trained_before(
        "forward", frozen=False
    ),
    "a trained encoder without gradients": trained_encoder_without_gradients,
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
