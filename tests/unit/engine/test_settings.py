"""The parameters as one value: nested ones by prefix, and which changes a fit that continues ignores."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import sktorch_acc
from sktorch_acc.engine.settings import _USED_BY_BUILD, FitSettings
from tests.fits import settings


def test_nested_parameters_are_found_under_their_prefix():
    given = settings(module__bias=False, optimizer__momentum=0.9, optimizer__param_groups=[("*", {})])
    assert given.part("module") == {"bias": False}
    assert given.part("optimizer") == {"momentum": 0.9, "param_groups": [("*", {})]}
    assert given.part("criterion") == {}


def test_a_prefix_is_a_whole_word():
    assert settings(lr_scheduler__gamma=0.5).part("lr") == {}


def test_every_field_is_read_by_the_engine():
    sources = [path.read_text() for path in Path(sktorch_acc.__file__).parent.glob("[eo]*/*.py")]  # engine, observers
    read = {name for source in sources for name in re.findall(r"\bsettings\.(\w+)", source)}
    assert {field.name for field in dataclasses.fields(FitSettings)} <= read | set(_USED_BY_BUILD)


def test_settings_do_not_follow_the_estimator():
    nested = {"module__bias": True}
    given = FitSettings.of({**PLAIN, "lr": 0.1}, nested)
    nested["module__bias"] = False
    assert given.part("module") == {"bias": True}
    with pytest.raises(dataclasses.FrozenInstanceError):
        given.lr = 0.2


PLAIN = {field.name: getattr(settings(), field.name) for field in dataclasses.fields(FitSettings)[:-1]}


def test_parameters_that_no_fit_reads_are_left_out():
    assert FitSettings.of({**PLAIN, "shown_name": "x"}, {}).lr == PLAIN["lr"]


@pytest.mark.parametrize("name", ["batch_size", "max_epochs"])
def test_integers_of_numpy_are_converted(name):
    """Some schedulers of torch take no others."""
    assert type(getattr(settings(**{name: np.int64(7)}), name)) is int


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        ({}, {}, []),
        ({}, {"lr": 0.5, "max_epochs": 3, "batch_size": 5, "verbose": 1, "class_weight": "balanced"}, []),
        ({}, {"lr_scheduler": "cosine", "lr_scheduler__eta_min": 0.1}, []),
        ({"random_state": 0}, {"random_state": 1, "warm_start": True, "tol": 0.1, "monitor": "valid_acc"}, []),
        ({}, {"module": nn.Bilinear}, ["module"]),
        ({}, {"criterion": nn.NLLLoss, "optimizer": torch.optim.SGD}, ["criterion", "optimizer"]),
        ({}, {"device": "meta", "output": "logits", "callbacks": []}, ["callbacks", "device", "output"]),
        ({}, {"module__bias": False}, ["module__bias"]),
        ({"module__bias": False}, {}, ["module__bias"]),
        ({"optimizer__momentum": 0.9}, {"optimizer__momentum": 0.8}, ["optimizer__momentum"]),
        ({"optimizer__betas": (0.9, 0.99)}, {"optimizer__betas": (0.9, 0.99)}, []),
        ({"callbacks__a__b": 1}, {"callbacks__a__b": 2}, ["callbacks__a__b"]),
        ({"module": nn.Linear}, {"module": nn.Linear, "module__bias": True}, []),
        ({"module": nn.Linear, "module__bias": True}, {"module": nn.Linear}, []),
        ({"module": nn.Linear}, {"module": nn.Linear, "module__bias": False}, ["module__bias"]),
        ({}, {"criterion__label_smoothing": 0.0, "criterion__weight": None}, []),
    ],
)
def test_a_fit_that_continues_ignores_changes_of_what_was_built(before, after, names):
    assert settings(**after).ignored_changes(settings(**before)) == names


def test_an_array_is_the_same_only_if_it_is_the_same_object():
    weight = torch.ones(3)
    given = settings(criterion__weight=weight)
    assert settings(criterion__weight=weight).ignored_changes(given) == []
    assert settings(criterion__weight=torch.ones(3)).ignored_changes(given) == ["criterion__weight"]
