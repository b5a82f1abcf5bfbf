"""Errors and warnings keep their code wherever they travel."""

import copy
import pickle

import numpy as np
import pytest
import torch

from sktorch_acc import (
    AccuracyCounter,
    AccuracyWarning,
    ModuleOutputError,
    NonFiniteLossError,
    SktorchAccError,
    TorchClassifier,
)
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


def count_a_label_out_of_range():
    counter = AccuracyCounter(2)
    counter.update(torch.tensor([0]), torch.tensor([2]))
    counter.compute()


def predict_nan():
    clf = TorchClassifier(max_epochs=1, random_state=0).fit(np.eye(4), [0, 1, 0, 1])
    with torch.no_grad():
        next(clf.module_.parameters()).fill_(np.nan)
    clf.predict(np.eye(4))


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: TorchClassifier().fit(np.eye(4), np.eye(4)), "ACC-B3"),
        (count_a_label_out_of_range, "ACC-D1"),
        (predict_nan, "ACC-D5"),
    ],
)
def test_refused_input_carries_its_code(call, code):
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.code == code
    assert str(caught.value).startswith(f"[{code}] ")
