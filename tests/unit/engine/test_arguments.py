"""Arguments of a module and a criterion: what can be trained is copied, and shared layers stay shared."""

import copy
import dataclasses
import functools
import threading
from collections import OrderedDict, defaultdict, deque, namedtuple
from types import GeneratorType, MappingProxyType

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sktorch_acc.engine.arguments import Copies
from sktorch_acc.engine.build import build_criterion, build_module


class Named(dict):
    def __init__(self, *args, note="", **kwargs):
        super().__init__(*args, **kwargs)
        self.note = note


class Layers(list):
    pass


Pair = namedtuple("Pair", "first second")


def built_module(module, given):
    return build_module(module, given, (1,), 2, False)


built_criterion = build_criterion


@dataclasses.dataclass
class Config:
    body: object
    width: int = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    body: object


class Stubborn:
    """Holds a layer, and cannot be copied."""

    def __init__(self, layer):
        self.layer, self.lock = layer, threading.Lock()


def weights(value):
    """The tensors in an argument, in order."""
    if isinstance(value, nn.Module):
        return [*value.parameters(), *value.buffers()]
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, np.ndarray):
        return [torch.from_numpy(value)]
    if isinstance(value, dict):
        return [t for item in value.items() for part in item for t in weights(part)]
    if isinstance(value, functools.partial):
        return weights([value.func, *value.args, value.keywords])
    if isinstance(value, (list, tuple, set, frozenset, deque)):
        return [t for item in value for t in weights(item)]
    if isinstance(value, (Config, Slotted)):
        return weights(value.body)
    return weights(value.__self__) if hasattr(value, "__self__") else []


HOLDING = {
    "module": lambda: nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)),
    "parameter": lambda: nn.Parameter(torch.ones(2)),
    "tensor": lambda: torch.ones(2),
    "array": lambda: np.ones(2),
    "list": lambda: [nn.Linear(1, 1), "x", nn.Linear(1, 1)],
    "tuple": lambda: (1, nn.Linear(1, 1)),
    "set": lambda: {nn.Linear(1, 1)},
    "frozenset": lambda: frozenset([nn.Linear(1, 1)]),
    "dict": lambda: {"a": nn.Linear(1, 1), "b": 2},
    "ordered": lambda: OrderedDict(a=nn.Linear(1, 1)),
    "defaultdict": lambda: defaultdict(list, a=[nn.Linear(1, 1)]),
    "deque": lambda: deque([nn.Linear(1, 1)], maxlen=3),
    "key": lambda: {nn.Linear(1, 1): 1},
    "nested": lambda: {"a": [(nn.Linear(1, 1), {"b": nn.Linear(1, 1)})]},
    "subclass of dict": lambda: Named({"a": nn.Linear(1, 1)}, note="x"),
    "subclass of list": lambda: Layers([nn.Linear(1, 1)]),
    "namedtuple": lambda: Pair(nn.Linear(1, 1), 1),
    "dataclass": lambda: Config(nn.Linear(1, 1)),
    "slots": lambda: Slotted(nn.Linear(1, 1)),
    "bound method of a module": lambda: nn.Linear(1, 1).forward,
    "partial": lambda: functools.partial(Config, functools.partial(nn.Sequential, nn.Linear(1, 1)), width=2),
}


@pytest.mark.parametrize("make", HOLDING.values(), ids=HOLDING)
def test_what_can_be_trained_is_copied_with_its_type_and_values(make):
    value = make()
    before = copy.deepcopy(value)
    new = Copies().of(value)
    assert type(new) is type(value)
    assert vars(new).keys() == vars(value).keys() if hasattr(value, "__dict__") else True
    assert len(weights(new)) == len(weights(value)) > 0
    for a, b, c in zip(weights(new), weights(value), weights(before), strict=True):
        assert torch.equal(a, b)
        assert a.data_ptr() != b.data_ptr()
        assert torch.equal(b, c)


class Plain:
    def method(self):
        return self


NOT_HOLDING = {
    "number": 3,
    "text": "relu",
    "sentinel": object(),
    "generator": (i for i in range(3)),
    "function": lambda: nn.Linear(1, 1),
    "class": nn.Linear,
    "torch function": torch.relu,
    "bound method": Plain().method,
    "list": [1, 2, 3],
    "dict": {"a": [1, (2, None)]},
    "object": Plain(),
    "partial": functools.partial(nn.ELU, 0.5),
    "random state": np.random.RandomState(0),
    "torch generator": torch.Generator(),
    "lock": threading.Lock(),
    "dtype": torch.float64,
}


@pytest.mark.parametrize("value", NOT_HOLDING.values(), ids=NOT_HOLDING)
def test_all_else_is_passed_on_as_it_is(value):
    assert Copies().of(value) is value
    inside = Copies().of([value, nn.Linear(1, 1)])
    assert inside[0] is value


def test_layers_that_arguments_share_stay_shared():
    layer, copies = nn.Linear(2, 2), Copies()
    given = copies.arguments({"a": layer, "b": [layer], "c": {"x": layer.weight}, "d": Config(layer)})
    partial = copies.factory(functools.partial(Config, layer))
    whole = copies.module(nn.Sequential(layer))
    assert given["a"] is not layer
    for other in (given["b"][0], given["d"].body, partial.args[0], whole[0], copies.module(layer)):
        assert other is given["a"]
    assert given["c"]["x"] is given["a"].weight


def test_a_container_in_two_arguments_stays_one_and_a_circle_stays_a_circle():
    shared, copies = [nn.Linear(1, 1)], Copies()
    given = copies.arguments({"a": shared, "b": (shared,)})
    assert given["b"][0] is given["a"] is not shared
    circle = [nn.Linear(1, 1)]
    circle.append({"again": circle})
    new = Copies().of(circle)
    assert new[1]["again"] is new is not circle
    inner = [nn.Linear(1, 1)]
    outer = (inner,)
    inner.append(outer)
    new = Copies().of(outer)
    assert new[0][1] is new


def test_one_element_that_cannot_be_copied_does_not_keep_the_others_from_it():
    stubborn, layer, copies = Stubborn(nn.Linear(1, 1)), nn.Linear(1, 1), Copies()
    new = copies.of([layer, stubborn, nn.Linear(1, 1)])
    assert new[0] is not layer
    assert new[1] is stubborn
    # Nothing of the attempt is left: the layer in it is copied as any other.
    again = copies.of(stubborn.layer)
    assert again is not stubborn.layer
    assert torch.equal(again.weight, stubborn.layer.weight)
    assert copies.of(layer) is new[0]


def test_an_attempt_that_fails_half_way_leaves_no_half_copied_layer():
    layer = nn.Linear(1, 1)
    outer = nn.Sequential(layer)
    outer.lock = threading.Lock()
    copies = Copies()
    assert copies.of(outer) is outer
    assert torch.equal(copies.of(layer).weight, layer.weight)


def test_a_tensor_with_a_graph_is_detached_in_its_copy():
    value = torch.ones(2, requires_grad=True) * 2
    new = Copies().of([value])[0]
    assert new.is_leaf
    assert torch.equal(new, value)


def test_a_class_or_a_factory_is_kept_and_a_partial_keeps_its_attributes():
    def make():
        return nn.Linear(1, 1)

    copies = Copies()
    assert copies.factory(make) is make
    assert copies.factory(nn.Linear) is nn.Linear
    plain = functools.partial(nn.Linear, 1)
    assert copies.factory(plain) is plain
    holding = functools.partial(Config, nn.Linear(1, 1))
    holding.note = "x"
    assert copies.factory(holding).note == "x"


VIEWED = {
    "values": (lambda d: d.values(), lambda v: next(iter(v))),
    "items": (lambda d: d.items(), lambda v: next(iter(v))[1]),
    "keys": (lambda d: {d["a"]: 1}.keys(), lambda v: next(iter(v))),
    "ordered values": (lambda d: OrderedDict(d).values(), lambda v: next(iter(v))),
    "a proxy": (MappingProxyType, lambda v: v["a"]),
    "a proxy's values": (lambda d: MappingProxyType(d).values(), lambda v: next(iter(v))),
    "an iterator": (lambda d: iter([d["a"]]), next),
    "an iterator of a tuple": (lambda d: iter((d["a"],)), next),
    "an iterator of values": (lambda d: iter(d.values()), next),
    "zip": (lambda d: zip([d["a"]], [1], strict=True), lambda v: next(v)[0]),
    "a series": (lambda d: pd.Series([d["a"]], index=["i"], name="n", dtype=object), lambda v: v["i"]),
}


@pytest.mark.parametrize(("make", "first"), VIEWED.values(), ids=VIEWED)
def test_layers_in_views_and_iterators_are_copied_and_these_are_not_consumed(make, first):
    layer, copies = nn.Linear(2, 2), Copies()
    given = make({"a": layer})
    alone = copies.of(layer)
    new = copies.of(given)
    if not isinstance(given, type(iter({}.values()))):  # its copy goes over a list
        assert type(new) is type(given)
    assert first(new) is alone is not layer
    assert first(given) is layer  # the iterator stands where it stood


def test_a_layer_in_the_second_of_two_iterators_is_found():
    layer = nn.Linear(1, 1)
    # What is left of an iterator is a new list each time: its address may be that of the one before.
    given = [iter({"a": layer}.values()), *(iter({"b": 1}.values()) for _ in range(9))]
    assert next(Copies().of(given)[0]) is not layer
    assert next(given[0]) is layer


def test_memory_of_arrays_and_frames_is_not_shared():
    array, frame, text = np.ones(3, "float32"), pd.DataFrame(np.ones((2, 2))), bytearray(8)
    parameter, copies = nn.Parameter(torch.from_numpy(array)), Copies()
    with torch.no_grad():
        copies.of(parameter).zero_()
        copies.of(torch.from_numpy(array)).zero_()
        torch.frombuffer(copies.of(text), dtype=torch.float32).add_(1)
    new = copies.of(frame)
    new.iloc[0, 0] = 0
    assert array.tolist() == [1, 1, 1]
    assert frame.to_numpy().tolist() == [[1, 1], [1, 1]]
    assert text == bytearray(8)
    series = Copies().of(pd.Series(["x", nn.Linear(1, 1)], index=[3, 4], name="n"))
    assert (series.index.tolist(), series.name, series[3]) == ([3, 4], "n", "x")
    assert Copies().of(frame).equals(frame)


class Takes(nn.Module):
    def __init__(self, body):
        super().__init__()
        body = body.layer if isinstance(body, Stubborn) else body
        self.body = nn.Sequential(*body) if isinstance(body, GeneratorType) else body


class Locked(nn.Module):
    """A layer that cannot be copied."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.lock = layer, threading.Lock()


def generator(layer):
    yield layer


REFUSED = {
    "a layer": (Locked, "Locked"),
    "a layer in a module": (lambda layer: nn.Sequential(nn.ReLU(), Locked(layer)), "Locked"),
    "a layer whose sublayer is copied": (lambda layer: Locked(nn.Sequential(layer)), "Locked"),
    "an object": (Stubborn, "Stubborn"),
    "a generator": (lambda layer: (part for part in [layer]), "generator"),
    "a generator function": (generator, "generator"),
    "children": (lambda layer: nn.Sequential(layer).children(), "generator"),
}


@pytest.mark.parametrize(("make", "kind"), REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize(("build", "part"), [(built_module, "module"), (built_criterion, "criterion")])
def test_what_cannot_be_copied_is_refused_if_it_would_be_trained(make, kind, build, part):
    layer = nn.Linear(1, 1)
    with pytest.raises(
        ValueError, match=rf"^{part}__body holds an object of type {kind} that cannot be copied \(cannot"
    ):
        build(Takes, {"body": make(layer)})
    with pytest.raises(ValueError, match=f"^An argument of {part} holds an object of type {kind}"):
        build(functools.partial(Takes, make(layer)), {})
    frozen = make(layer.requires_grad_(False))
    assert next(build(Takes, {"body": frozen}).parameters()) is layer.weight


def test_what_cannot_be_copied_is_passed_on_if_it_is_beside_the_module():
    stubborn = Stubborn(nn.Linear(1, 1))

    class Beside(nn.Module):
        def __init__(self, teacher):
            super().__init__()
            self.teacher, self.layer = teacher, nn.Linear(1, 1)

    assert built_module(Beside, {"teacher": stubborn}).teacher is stubborn


def test_a_parameter_over_memory_that_cannot_be_copied_is_refused():
    class Over(nn.Module):
        def __init__(self, table):
            super().__init__()
            self.weight = nn.Parameter(torch.as_tensor(table.layer))

    for table in (np.ones(2, "float32"), torch.ones(2)):
        with pytest.raises(ValueError, match=r"^module__table holds an object of type Stubborn"):
            built_module(Over, {"table": Stubborn(table)})
