"""Which object a name stands for, and which none."""

import functools

import pytest
import torch
from torch import nn

from sktorch_acc import ModelFileError
from sktorch_acc.modules import MLP
from sktorch_acc.storage.names import Names, name_of
from tests.saved import TwoLayers, two_layers


class Outer:
    class TwoLayers(nn.Module):
        pass


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (nn.ReLU, "torch.nn.ReLU"),
        (torch.optim.AdamW, "torch.optim.AdamW"),
        (torch.optim.lr_scheduler.StepLR, "torch.optim.lr_scheduler.StepLR"),
        (MLP, "sktorch_acc.modules.MLP"),
        (TwoLayers, "tests.saved:TwoLayers"),
        (Outer.TwoLayers, "tests.unit.storage.test_names:Outer.TwoLayers"),
        (two_layers, "tests.saved:two_layers"),
        (nn.functional.relu, "torch.nn.functional:relu"),
        (lambda: None, None),
    ],
)
def test_the_name_of_a_class_or_function(value, name):
    assert name_of(value) == name
    if name is not None:
        assert Names([value]).resolve(name, "module__x") is value


def test_torchs_own_need_no_permission_where_they_belong():
    names = Names([])
    assert names.resolve("torch.nn.ReLU", "module__activation") is nn.ReLU
    assert names.resolve("torch.nn.NLLLoss", "criterion") is nn.NLLLoss
    assert names.resolve("torch.optim.SGD", "optimizer") is torch.optim.SGD
    for where, name in (("criterion", "torch.nn.ReLU"), ("optimizer", "torch.nn.ReLU"), ("lr", "torch.nn.Module.x")):
        with pytest.raises(ModelFileError, match="not allowed"):
            names.resolve(name, where)
    assert Names([nn.ReLU]).resolve("torch.nn.ReLU", "criterion") is nn.ReLU


def test_a_bare_name_of_a_script_must_be_unambiguous():
    assert Names([TwoLayers]).allowed("__main__:TwoLayers") is TwoLayers
    assert Names([TwoLayers]).allowed("other:TwoLayers") is None
    with pytest.raises(TypeError, match="allow must hold classes and functions"):
        Names([functools.partial(TwoLayers)])


def test_two_classes_of_one_bare_name_are_not_guessed_between():
    first, second = (type("Net", (nn.Module,), {"__module__": module}) for module in ("a", "b"))
    assert Names([first, second]).allowed("__main__:Net") is None
    assert Names([first, second]).allowed("b:Net") is second
