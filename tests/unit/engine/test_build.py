"""Module, criterion and optimizer from parameters, sized by the data."""

import copy
import functools

import numpy as np
import pytest
import torch
from skorch import NeuralNet
from torch import nn

from sktorch_acc import ModuleOutputError, TorchClassifier
from sktorch_acc.data import FeatureSchema, Labels
from sktorch_acc.data.rows import as_rows
from sktorch_acc.engine.build import (
    build_criterion,
    build_model,
    build_module,
    build_optimizer,
    initialize_lazy_layers,
    refuse_untrainable,
)
from sktorch_acc.engine.model import Model
from sktorch_acc.modules import MLP
from sktorch_acc.outputs import OutputSpec
from tests.fits import CPU, classes, settings, table

# ------------------------------------------------------------ module


class Takes(nn.Module):
    """Keeps the arguments that it was made with."""

    def __init__(self, n_features=None, num_classes=None, out_features=None, in_channels=None, width=1):
        super().__init__()
        self.given = {
            "n_features": n_features,
            "num_classes": num_classes,
            "out_features": out_features,
            "in_channels": in_channels,
            "width": width,
        }


def given_to(module, shape=(7,), one_column=False, **given):
    built = build_module(module, given, shape, 4, one_column).given
    return {name: value for name, value in built.items() if value is not None}


def test_sizes_come_from_the_data_under_the_names_that_the_constructor_has():
    assert given_to(Takes) == {"n_features": 7, "num_classes": 4, "out_features": 4, "width": 1}


def test_for_a_criterion_on_one_column_there_is_one_output():
    assert given_to(Takes, one_column=True)["out_features"] == 1
    assert given_to(Takes, one_column=True)["num_classes"] == 4


def test_images_have_channels_and_no_features():
    assert given_to(Takes, (3, 8, 9)) == {"num_classes": 4, "out_features": 4, "in_channels": 3, "width": 1}
    assert given_to(Takes, (8, 9)) == {"num_classes": 4, "out_features": 4, "width": 1}


def test_what_was_given_wins():
    assert given_to(Takes, n_features=2, width=9) == {"n_features": 2, "num_classes": 4, "out_features": 4, "width": 9}


def test_what_a_partial_has_set_is_left_alone():
    assert given_to(functools.partial(Takes, n_features=2))["n_features"] == 2
    assert given_to(functools.partial(Takes, width=3))["n_features"] == 7


@pytest.mark.parametrize("name", ["n_features", "in_features", "input_dim", "input_size", "n_inputs"])
def test_every_name_of_the_number_of_features_is_known(name):
    namespace = {}
    exec(f"def make({name}): return torch.nn.Linear({name}, 1)", {"torch": torch}, namespace)
    assert build_module(namespace["make"], {}, (7,), 4, False).in_features == 7


def test_a_factory_may_take_any_keyword():
    def make(**given):
        return Takes(**given)

    assert given_to(make, width=5) == {"width": 5}


def test_an_instance_is_copied():
    module = nn.Linear(2, 2)
    built = build_module(module, {}, (2,), 2, False)
    assert built is not module
    assert torch.equal(built.weight, module.weight)
    assert built.weight.data_ptr() != module.weight.data_ptr()


@pytest.mark.parametrize(
    ("module", "given", "error", "message"),
    [
        (nn.Linear(2, 2), {"bias": False}, ValueError, "module__bias was set, but module is an instance of Linear"),
        (nn.Linear, {"biass": False}, ValueError, "Did you mean 'module__bias'"),
        (nn.Conv2d, {}, TypeError, r"Conv2d cannot be built from the arguments \[\].*module__<name>"),
        (lambda: "linear", {}, TypeError, "must make a torch.nn.Module, but made a str"),
    ],
)
def test_what_cannot_be_built_says_why(module, given, error, message):
    with pytest.raises(error, match=message):
        build_module(module, given, (2,), 2, False)


def test_an_error_inside_the_constructor_is_its_own():
    class Fails(nn.Module):
        def __init__(self, n_features):
            raise TypeError("width must be odd")

    with pytest.raises(TypeError, match=r"^width must be odd$"):
        build_module(Fails, {}, (2,), 2, False)


# ------------------------------------------------------------ criterion


def test_a_criterion_is_built_from_a_class_and_its_parameters():
    criterion = build_criterion(nn.CrossEntropyLoss, {"label_smoothing": 0.25})
    assert type(criterion) is nn.CrossEntropyLoss
    assert criterion.label_smoothing == 0.25


def test_a_criterion_that_is_an_instance_is_copied():
    given = nn.CrossEntropyLoss(weight=torch.ones(3))
    built = build_criterion(given, {})
    assert built is not given
    assert built.weight.data_ptr() != given.weight.data_ptr()


@pytest.mark.parametrize(
    ("criterion", "given", "error", "message"),
    [
        (nn.CrossEntropyLoss(), {"reduction": "sum"}, ValueError, "criterion is an instance of CrossEntropyLoss"),
        (nn.CrossEntropyLoss, {"smoothing": 0.1}, ValueError, "no parameter 'smoothing'"),
        (nn.functional.cross_entropy, {}, TypeError, "plain function such as functional.cross_entropy"),
        (lambda: 3, {}, TypeError, "must make a torch.nn.Module, but made a int"),
    ],
)
def test_a_criterion_that_cannot_be_built_says_why(criterion, given, error, message):
    with pytest.raises(error, match=message):
        build_criterion(criterion, given)


# ------------------------------------------------------------ model


def model_for(module, X, *, device=CPU, n_classes=3, **given):
    schema = FeatureSchema(tuple(X.shape[1:]), integers=False, dtype=str(X.dtype))
    rows = as_rows(X, getattr(torch, str(X.dtype)))
    return build_model(settings(module, **given), schema, Labels(np.arange(n_classes)), device, rows)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bundled_module_computes_in_the_dtype_of_the_data(dtype):
    model = model_for(None, table(dtype=dtype), module__hidden_sizes=(5,))
    assert type(model.module) is MLP
    assert {str(p.dtype) for p in model.module.parameters()} == {f"torch.{dtype}"}
    assert model.dtype == getattr(torch, dtype)


def test_a_users_module_computes_in_its_own_dtype_and_the_criterion_with_it():
    model = model_for(lambda: nn.Linear(3, 3).double(), table(), criterion__weight=torch.ones(3))
    assert model.dtype == model.criterion.weight.dtype == torch.float64


def test_the_bundled_module_is_for_two_dimensional_rows():
    with pytest.raises(ValueError, match=r"but X has rows of shape \(2, 3\)"):
        model_for(None, np.zeros((4, 2, 3)))


def test_lazy_layers_get_their_shapes():
    model = model_for(lambda: nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(3)), table())
    assert [tuple(p.shape) for p in model.module.parameters()] == [(4, 3), (4,), (3, 4), (3,)]


def test_a_module_without_lazy_layers_is_not_run():
    class Fails(nn.Linear):
        def forward(self, X):
            raise AssertionError

    initialize_lazy_layers(Fails(3, 2), as_rows(table(), torch.float32))


def test_a_module_without_anything_to_train_is_refused():
    with pytest.raises(ModuleOutputError) as caught:
        refuse_untrainable(nn.Linear(2, 2).requires_grad_(False))
    assert caught.value.code == "ACC-F2"
    refuse_untrainable(nn.Linear(2, 2))


# ------------------------------------------------------------ optimizer


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, X):
        return self.head(self.first(X)) + self.second(X)


class Trained(nn.CrossEntropyLoss):
    """A criterion with a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))


def model_of(module=None, criterion=None):
    spec = OutputSpec("logits", one_column=False, n_classes=2)
    schema = FeatureSchema((2,), integers=False, dtype="float32")
    labels = Labels(np.arange(2))
    criterion = nn.CrossEntropyLoss() if criterion is None else criterion
    return Model(module or Named(), criterion, spec, schema, labels, CPU, torch.float32)


def positions(optimizer, model):
    """The parameters of each group by their place in module and criterion."""
    parameters = [*model.module.parameters(), *model.criterion.parameters()]
    place = {id(parameter): number for number, parameter in enumerate(parameters)}
    return [[place[id(parameter)] for parameter in group["params"]] for group in optimizer.param_groups]


def test_without_groups_all_parameters_are_in_order_those_of_the_criterion_last():
    model = model_of(criterion=Trained())
    optimizer = build_optimizer(settings(), 0.5, model)
    assert positions(optimizer, model) == [[0, 1, 2, 3, 4, 5, 6]]
    assert optimizer.param_groups[0]["lr"] == 0.5


GROUPS = [
    [("first.*", {"lr": 0.1})],
    [("*.bias", {"weight_decay": 0.0}), ("head.*", {"lr": 0.2})],
    [("head.*", {}), ("no.such.*", {"lr": 9.0}), ("*.weight", {"lr": 0.3})],
    [("*", {})],
]


@pytest.mark.parametrize("groups", GROUPS, ids=str)
def test_groups_have_the_order_of_skorch(groups):
    """Saved optimizer state goes by position."""
    module = Named()
    net = NeuralNet(Named, nn.CrossEntropyLoss, optimizer=torch.optim.SGD, optimizer__param_groups=groups).initialize()
    net.module_.load_state_dict(module.state_dict())
    theirs = model_of(net.module_)
    expected = positions(net.optimizer_, theirs)
    model = model_of(module)
    parameters = settings(optimizer=torch.optim.SGD, optimizer__param_groups=groups)
    optimizer = build_optimizer(parameters, 0.01, model)
    assert positions(optimizer, model) == expected
    rates = [[group[name] for group in built.param_groups] for built in (optimizer, net.optimizer_) for name in ("lr",)]
    assert rates[0] == rates[1]


def test_a_parameter_that_is_shared_is_in_one_group_once():
    module = Named()
    module.second.weight = module.first.weight
    optimizer = build_optimizer(settings(optimizer__param_groups=[("second.*", {"lr": 0.1})]), 0.01, model_of(module))
    members = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert len(members) == len(set(members)) == 5


def test_parameters_of_the_optimizer_are_passed_on():
    optimizer = build_optimizer(settings(optimizer=torch.optim.SGD, optimizer__momentum=0.9), 0.1, model_of())
    assert optimizer.param_groups[0]["momentum"] == 0.9


def test_fused_kernels_are_used_where_there_are_some_unless_something_else_was_asked_for():
    assert build_optimizer(settings(), 0.1, model_of()).param_groups[0]["fused"] is True
    chosen = build_optimizer(settings(optimizer__foreach=True), 0.1, model_of())
    assert chosen.param_groups[0]["foreach"] is True
    assert not chosen.param_groups[0]["fused"]
    assert not build_optimizer(settings(), 0.1, model_of(nn.Linear(2, 2, dtype=torch.complex64))).defaults["fused"]
    assert "fused" not in build_optimizer(settings(optimizer=torch.optim.Rprop), 0.1, model_of()).defaults


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adagrad])
def test_sparse_gradients_are_taken_by_optimizers_that_take_them(optimizer):
    module = nn.Embedding(5, 2, sparse=True)
    built = build_optimizer(settings(optimizer=optimizer), 0.1, model_of(module))
    before = module.weight.detach().clone()
    module(torch.tensor([1])).sum().backward()
    with torch.sparse.check_sparse_tensor_invariants():
        built.step()
    assert [i for i in range(5) if not torch.equal(module.weight[i], before[i])] == [1]


def steps_of_sgd(optimizer, module, X):
    """Three steps; from the second on, the second layer has gradients too."""
    for step in range(3):
        module.second.requires_grad_(step > 0)
        optimizer.zero_grad()
        module(X).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize(
    "given", [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"momentum": 0.9, "dampening": 0.5}], ids=str
)
def test_sgd_with_momentum_moves_a_parameter_whose_first_gradient_comes_later(given):
    torch.manual_seed(0)
    module, X = Named().double(), torch.randn(5, 2, dtype=torch.float64)
    plain = copy.deepcopy(module)
    nested = {f"optimizer__{name}": value for name, value in given.items()}
    optimizer = build_optimizer(settings(optimizer=torch.optim.SGD, **nested), 0.01, model_of(module))
    steps_of_sgd(optimizer, module, X)
    steps_of_sgd(torch.optim.SGD(plain.parameters(), lr=0.01, **given), plain, X)
    for mine, expected in zip(module.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, expected)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"optimizer__lr": 0.1}, ValueError, "the learning rate is the parameter lr"),
        ({"optimizer__momentun": 0.9, "optimizer": torch.optim.SGD}, ValueError, "Did you mean 'optimizer__momentum'"),
        ({"optimizer": nn.Linear}, TypeError, "optimizer=Linear must make a torch optimizer: pass a class"),
        ({"optimizer": lambda params, lr: "sgd"}, TypeError, "but made a str"),
    ],
)
def test_an_optimizer_that_cannot_be_built_says_why(given, error, message):
    with pytest.raises(error, match=message):
        build_optimizer(settings(**given), 0.01, model_of())


class Complex(nn.Module):
    """Weights that no fused kernel takes, as in Fourier layers."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layer = nn.Linear(n_features, n_classes)
        self.phase = nn.Parameter(torch.ones(n_classes, dtype=torch.complex64))

    def forward(self, X):
        return (self.layer(X) * self.phase).real


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD, torch.optim.Adagrad])
def test_a_module_with_complex_weights_trains(optimizer):
    clf = TorchClassifier(Complex, optimizer=optimizer, lr=0.1, max_epochs=2, random_state=0)
    clf.fit(table(), classes(n_classes=3))
    assert (clf.module_.phase != 1).all()
    assert clf.history_.loc[2, "train_acc"] == clf.score(table(), classes(n_classes=3))
