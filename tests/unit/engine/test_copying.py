"""Copies of modules: what deepcopy would give, and no more shared than it would share."""

import copy

import pytest
import torch
from torch import nn

from sktorch_acc.engine.copying import copied, is_plain
from tests import modules


class Holds(nn.Module):
    """Attributes of every kind beside the layers."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.alias = self.layer
        self.number, self.text, self.nothing = 1, "x", None
        self.options = {"rates": [0.1, 0.2], "layer": self.layer}
        self.same_options = self.options
        self.plain = torch.ones(2)
        self.register_buffer("buffer", torch.zeros(2))
        self.register_buffer("empty", None)
        self.table = [self.layer, self]


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)
        self.second.weight = self.first.weight


MODULES = {
    "layers": lambda: modules.DropNorm(3, 2),
    "recurrent": lambda: modules.Sequences(3),
    "attributes": Holds,
    "tied": Tied,
    "list": lambda: nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)]),
    "parametrized": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
}


@pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
def test_a_copy_has_the_values_and_shares_no_memory(make):
    module = make()
    copied_state, state = copied(module).state_dict(), module.state_dict()
    assert list(copied_state) == list(state)
    for name, value in state.items():
        assert torch.equal(copied_state[name], value)
        assert copied_state[name].data_ptr() != value.data_ptr()


@pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
def test_a_copy_has_the_attributes_that_deepcopy_gives(make):
    module = make()
    ours, theirs = copied(module), copy.deepcopy(module)
    for a, b in zip(ours.modules(), theirs.modules(), strict=True):
        assert type(a) is type(b)
        assert list(vars(a)) == list(vars(b))
        assert [type(value) for value in vars(a).values()] == [type(value) for value in vars(b).values()]


def test_what_is_one_object_stays_one():
    twin = copied(Holds())
    assert twin.alias is twin.layer is twin.options["layer"] is twin.table[0]
    assert twin.table[1] is twin
    assert twin.same_options is twin.options
    tied = copied(Tied())
    assert tied.first.weight is tied.second.weight


def test_containers_are_copied():
    module = Holds()
    twin = copied(module)
    twin.options["rates"].append(0.3)
    twin.plain += 1
    assert module.options["rates"] == [0.1, 0.2]
    assert module.plain.tolist() == [1.0, 1.0]


def test_modes_and_frozen_parameters_are_kept():
    module = nn.Sequential(nn.Linear(1, 1), nn.Dropout()).eval()
    module[0].weight.requires_grad_(False)
    module[1].train()
    twin = copied(module)
    assert [part.training for part in twin.modules()] == [part.training for part in module.modules()]
    assert [parameter.requires_grad for parameter in twin.parameters()] == [False, True]


def test_hooks_are_copied_and_registered_apart():
    module, calls = nn.Linear(1, 1), []
    module.register_forward_hook(lambda *_: calls.append(1))
    twin = copied(module)
    twin(torch.zeros(1, 1))
    assert calls == [1]
    twin.register_forward_hook(lambda *_: calls.append(2))
    module(torch.zeros(1, 1))
    assert calls == [1, 1]


class Auxiliary(nn.Linear):
    """Keeps a loss with its graph, which deepcopy refuses."""

    def forward(self, X):
        z = super().forward(X)
        self.auxiliary, self.kept = z.mean(), {"last": z}
        return z


def test_tensors_with_a_graph_are_detached_in_the_copy():
    module = Auxiliary(2, 2)
    module(torch.ones(1, 2))
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(module)
    twin = copied(module)
    assert torch.equal(twin.auxiliary, module.auxiliary)
    assert not twin.auxiliary.requires_grad
    assert not twin.kept["last"].requires_grad
    assert module.auxiliary.requires_grad


class CopiesItself(nn.Module):
    def __deepcopy__(self, memo):
        return self


class KeepsPart(nn.Module):
    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "cache"}


def test_a_module_that_says_how_it_is_copied_is_asked():
    inner = CopiesItself()
    assert copied(nn.Sequential(inner))[0] is inner
    module = KeepsPart()
    module.cache = 1
    assert not hasattr(copied(nn.Sequential(module))[0], "cache")


@pytest.mark.parametrize("other", [CopiesItself, KeepsPart])
def test_a_graph_is_detached_also_where_not_every_part_is_plain(other):
    module = nn.Sequential(other(), Auxiliary(2, 2))
    module[1](torch.ones(1, 2))
    assert not copied(module)[1].auxiliary.requires_grad


def test_a_graph_in_a_part_that_says_how_it_is_copied_is_detached():
    module = KeepsPart()
    module.auxiliary = nn.Linear(2, 2)(torch.ones(1, 2))
    twin = copied(nn.Sequential(module))[0]
    assert torch.equal(twin.auxiliary, module.auxiliary)
    assert not twin.auxiliary.requires_grad


@pytest.mark.parametrize(
    ("make", "plain"),
    [(lambda: modules.DropNorm(3, 2), True), (CopiesItself, False), (lambda: nn.Sequential(KeepsPart()), False)],
)
def test_which_modules_share_nothing_with_their_copies(make, plain):
    assert is_plain(make()) is plain


class LooksAtLayer(nn.Module):
    """Holds a layer, and rebuilds what follows from it."""

    def __init__(self, layer=None):
        super().__init__()
        self.layer = layer or nn.Linear(2, 3)
        self.width = self.layer.out_features

    def forward(self, x):
        return self.layer(x) / self.width


class BySetState(LooksAtLayer):
    def __setstate__(self, state):
        super().__setstate__(state)
        self.width = self.layer.out_features


class ByDeepcopy(LooksAtLayer):
    def __deepcopy__(self, memo):
        new = memo[id(self)] = ByDeepcopy(copy.deepcopy(self.layer, memo))
        return new


class ByReduce(LooksAtLayer):
    def __reduce__(self):
        return ByReduce, (self.layer,)


class Scale:
    """No module; is rebuilt from the layer that it belongs to."""

    def __init__(self, layer):
        self.layer, self.width = layer, layer.out_features

    def __reduce__(self):
        return Scale, (self.layer,)


COPIED_BY_THEIR_CLASS = {
    "__setstate__": BySetState,
    "__deepcopy__": ByDeepcopy,
    "__reduce__": ByReduce,
    "a compiled layer": lambda: torch.compile(nn.Linear(2, 3), backend="eager"),
}


@pytest.mark.parametrize("make", COPIED_BY_THEIR_CLASS.values(), ids=COPIED_BY_THEIR_CLASS)
@pytest.mark.parametrize("outer", [lambda part: part, nn.Sequential, lambda part: nn.Sequential(nn.Linear(2, 2), part)])
def test_a_class_that_looks_into_a_layer_when_it_is_copied(make, outer):
    module = outer(make())
    twin, x = copied(module), torch.ones(1, 2)
    assert [type(part) for part in twin.modules()] == [type(part) for part in module.modules()]
    for a, b in zip(twin.parameters(), module.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.data_ptr() != b.data_ptr()
        assert a.is_leaf
    with torch.no_grad():
        assert torch.equal(twin(x), module(x))


def test_an_object_that_looks_into_a_layer_when_it_is_copied():
    layer = nn.Linear(2, 3)
    layer.scale = Scale(nn.Linear(3, 4))
    module = nn.Sequential(layer, layer.scale.layer)
    twin = copied(module)
    assert twin[0].scale.layer is twin[1] is not module[1]
    assert twin[0].scale.width == 4


def test_a_failed_attempt_leaves_the_memo_as_it_was():
    layer, shared, memo = nn.Linear(2, 3), nn.Linear(1, 1), {}
    layer.scale = Scale(nn.Linear(3, 4))
    given = copied(shared, memo)
    twin = copied(nn.Sequential(layer, layer.scale.layer, shared), memo)
    assert twin[2] is given
    assert twin[0].scale.layer is twin[1]


def test_graphs_are_detached_in_classes_that_copy_themselves_and_in_lists():
    module = nn.Sequential(BySetState())
    module[0].layer.kept = [nn.Linear(2, 2)(torch.ones(1, 2)), {"a": (torch.ones(1, requires_grad=True) * 2,)}]
    for part in (module, module[0].layer):
        kept = list(copied(part).modules())[-1].kept
        assert torch.equal(kept[0], module[0].layer.kept[0])
        assert not kept[0].requires_grad
        assert not kept[1]["a"][0].requires_grad


def transposed(w):
    return w.t()


VIEWS = {
    "transposed": transposed,
    "a slice": lambda w: w[1:, :2],
    "a row": lambda w: w[2],
    "reshaped": lambda w: w.view(-1)[3:],
    "a view of a view": lambda w: w[1:].t()[0],
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("other", [nn.Identity, CopiesItself])
def test_a_view_of_a_parameter_is_a_view_of_its_copy(view, other):
    module = nn.Sequential(nn.Linear(3, 4), other())
    module[0].view = view(module[0].weight)
    module[0].options = {"view": module[0].view}
    with torch.no_grad():
        twin = copied(module)
    new, weight = twin[0].view, twin[0].weight
    assert torch.equal(new, module[0].view)
    assert twin[0].options["view"] is new
    with torch.no_grad():
        weight.copy_(torch.arange(12.0).reshape(4, 3))
    assert torch.equal(new, view(weight))
    (new * new).sum().backward()
    gradient = weight.grad
    weight.grad = None
    view(weight).square().sum().backward()
    assert torch.equal(gradient, weight.grad)
    assert module[0].weight.grad is None


def test_a_view_whose_parameter_is_laid_out_anew_is_detached():
    layer = nn.Linear(3, 4)
    layer.weight = nn.Parameter(torch.ones(4, 6)[:, ::2])
    layer.view = layer.weight.t()
    view = copied(layer).view
    assert torch.equal(view, layer.view)
    assert not view.requires_grad


class Frozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.norm = nn.Linear(3, 3), nn.Linear(3, 3), nn.BatchNorm1d(3)
        self.b.weight = self.a.weight
        self.a.bias.requires_grad_(False)

    def forward(self, x):
        return self.norm(self.b(self.a(x)))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.parametrize("outer", [lambda part: part, nn.Sequential, lambda part: nn.Sequential(BySetState(), part)])
def test_a_module_of_torchscript_has_leaf_parameters_in_its_copy(outer):
    script = torch.jit.script(Frozen())
    script.norm.eval()
    script.a.bias.requires_grad_(False)
    module = outer(script)
    twin = copied(module)
    assert [type(part) for part in twin.modules()] == [type(part) for part in module.modules()]
    assert [part.training for part in twin.modules()] == [part.training for part in module.modules()]
    pairs = list(zip(twin.named_parameters(), module.named_parameters(), strict=True))
    assert all(a.is_leaf and a.requires_grad is b.requires_grad for (_, a), (_, b) in pairs)
    assert [name for (name, p), _ in pairs if not p.requires_grad] != []
    for a, b in zip(twin.state_dict().values(), module.state_dict().values(), strict=True):
        assert torch.equal(a, b)
        assert a.data_ptr() != b.data_ptr()
