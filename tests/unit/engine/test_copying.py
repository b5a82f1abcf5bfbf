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
