"""Values as JSON and back, in the same types."""

import functools
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from sktorch_acc import ModelFileError
from sktorch_acc.storage.names import Names
from sktorch_acc.storage.values import Reader, Writer, number, plain_number
from tests.saved import TwoLayers


def there_and_back(value, allow=()):
    writer = Writer()
    encoded = json.loads(json.dumps(writer.encode(value, "x"), allow_nan=False))
    return Reader(writer.tensors, Names(allow)).decode(encoded, "x")


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**70),
        0.1,
        -0.0,
        math.inf,
        -math.inf,
        "",
        "ä\udc80",
        [],
        [1, [2.5, None]],
        (),
        (1, (2,)),
        {},
        {"a": [1], "b": {"c": (1,)}},
        {"$a": 1},
        {1: "a", None: "b", 2.5: "c"},
        {"$name": "os:system"},
        torch.float16,
        torch.device("cuda", 1),
        nn.ReLU,
        torch.optim.SGD,
        TwoLayers,
    ],
    ids=repr,
)
def test_values_come_back_in_their_types(value):
    again = there_and_back(value, allow=[TwoLayers])
    assert again == value
    assert type(again) is type(value)
    assert repr(again) == repr(value)


def test_nan_comes_back():
    assert math.isnan(there_and_back(float("nan")))


@pytest.mark.parametrize(
    ("value", "plain"),
    [(np.int8(1), 1), (np.float32(0.1), float(np.float32(0.1))), (np.bool_(True), True), (np.str_("x"), "x")],
)
def test_scalars_of_numpy_come_back_as_those_of_python(value, plain):
    again = there_and_back(value)
    assert again == plain
    assert type(again) is type(plain)


@pytest.mark.parametrize("array", [np.arange(3), np.ones((2, 2), "float32"), np.zeros(0), np.array([True, False])])
def test_arrays_come_back_beside_the_json(array):
    again = there_and_back({"a": [array, array + array]})["a"]
    assert np.array_equal(again[0], array)
    assert np.array_equal(again[1], array + array)
    assert again[0].dtype == array.dtype


def test_an_array_in_another_byte_order_comes_back_in_this_machines():
    assert there_and_back(np.arange(3, dtype=">i4")).tolist() == [0, 1, 2]


def test_tensors_come_back_beside_the_json():
    tensor = torch.arange(4.0).reshape(2, 2)
    assert torch.equal(there_and_back((tensor,))[0], tensor)


class Own:
    def __repr__(self):
        return "Own()"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Own(), r"^x is a Own \(Own\(\)\), which a model file cannot hold. Numbers"),
        ([1, Own()], r"^x\[1\] is a Own"),
        ({"a": (Own(),)}, r"^x\['a'\]\[0\] is a Own"),
        (nn.ReLU(), r"ReLU.*Pass the class as x and its arguments as x__<name>"),
        (functools.partial(nn.ELU, 0.5), r"partial.*Pass the class as x"),
        (lambda: None, "x is a lambda"),
        (np.random.RandomState(0), "RandomState.*random_state=None"),
        ({1, 2}, "x is a set"),
        (1j, "x is a complex"),
        (np.array(["a"]), "x is an array of dtype <U1"),
        (np.longdouble(1), "x is a (longdouble|float128)"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_be_stored_is_named_with_its_place(value, message):
    with pytest.raises(ModelFileError, match=message):
        Writer().encode(value, "x")


def test_containers_in_themselves_are_refused():
    cyclic = []
    cyclic.append(cyclic)
    with pytest.raises(ModelFileError, match="cannot hold"):
        Writer().encode(cyclic, "x")


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        ({"$pickle": "x"}, r"x .*\['\$pickle'\], which this version does not know"),
        ({"$float": "nan", "more": 1}, "does not know"),
        ({"$float": "1.0"}, "A number was expected"),
        ({"$tuple": {}}, "must hold a list"),
        ({"$dict": [[1]]}, "pairs of a key and a value"),
        ({"$dict": [[[], 1]]}, "pairs of a key and a value"),
        ({"$name": 1}, "by a string"),
        ({"$name": "os:system"}, "was not allowed"),
        ({"$tensor": "value.0"}, "does not hold"),
        ({"$tensor": "module.weight"}, "does not hold"),
        ({"$dtype": "load"}, "not a dtype of torch|no dtype of torch"),
        ({"$device": "nowhere"}, "not a device of torch|no device of torch"),
        ([[{"$float": 1.5, "x": 2}]], r"x\[0\]\[0\]"),
    ],
)
def test_what_no_writer_wrote_is_refused_with_its_place(encoded, message):
    with pytest.raises(ModelFileError, match=message):
        Reader({"module.weight": torch.zeros(1)}, Names([])).decode(encoded, "x")


def test_depth_is_limited_when_reading():
    encoded = 1
    for _ in range(100):
        encoded = [encoded]
    with pytest.raises(ModelFileError, match="levels deep"):
        Reader({}, Names([])).decode(encoded, "x")


@pytest.mark.parametrize("value", [0.1, math.inf, -math.inf, 5e-324])
def test_numbers_are_json_and_come_back(value):
    assert number(json.loads(json.dumps(plain_number(value), allow_nan=False))) == value


@pytest.mark.parametrize("value", [True, None, "1.0", "NaN", [], 10**400])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ModelFileError, match="A number was expected"):
        number(value)
