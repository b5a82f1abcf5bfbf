"""Errors and warnings keep their code wherever they travel."""

import copy
import pickle

import pytest

from sktorch_acc import AccuracyWarning, ModuleOutputError, NonFiniteLossError, SktorchAccError
from sktorch_acc.exceptions import InputError


@pytest.mark.parametrize("cls", [SktorchAccError, InputError, ModuleOutputError, NonFiniteLossError, AccuracyWarning])
@pytest.mark.parametrize("code", [None, "ACC-C1"])
def test_code_and_message_survive_pickling_and_copying(cls, code):
    error = cls("what is wrong", code)
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(again) is cls
        assert again.code == code
        assert str(again) == ("[ACC-C1] what is wrong" if code else "what is wrong")


def test_they_can_be_caught_by_the_class_of_python():
    assert issubclass(InputError, ValueError)
    assert issubclass(ModuleOutputError, ValueError)
    assert issubclass(NonFiniteLossError, ArithmeticError)
    assert issubclass(AccuracyWarning, UserWarning)
    assert not issubclass(AccuracyWarning, SktorchAccError)
