"""Outputs chunk by chunk, in evaluation mode, and rows with NaN."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from sktorch_acc import ModuleOutputError
from sktorch_acc.data.rows import as_rows
from sktorch_acc.engine import evaluate
from sktorch_acc.engine.evaluate import chunk_rows, each_output, nan_rows

X = np.arange(22, dtype="float32").reshape(11, 2)
ROWS = as_rows(X, torch.float32)


class Sees(nn.Module):
    """Returns its input and writes down how it was called."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, X):
        self.calls.append((len(X), self.training, torch.is_grad_enabled()))
        return X


@pytest.fixture
def five_rows(monkeypatch):
    monkeypatch.setattr(evaluate, "CHUNK_ROWS", 5)


def outputs(module, rows=ROWS, **options):
    seen = []
    each_output(module, rows, lambda start, stop, output: seen.append((start, stop, output)), **options)
    return seen


@pytest.mark.usefixtures("five_rows")
def test_every_row_comes_once_in_order_and_a_tail_of_one_row_joins_the_chunk_before_it():
    seen = outputs(Sees())
    assert [(start, stop) for start, stop, _ in seen] == [(0, 5), (5, 11)]
    assert torch.equal(torch.cat([output for _, _, output in seen]), torch.from_numpy(X))


@pytest.mark.usefixtures("five_rows")
def test_the_module_is_in_evaluation_mode_and_records_no_graph():
    module = Sees().train()
    outputs(module)
    assert module.calls == [(5, False, False), (6, False, False)]
    assert torch.is_grad_enabled()
    assert not module.training


def test_the_mode_can_be_kept():
    module = Sees().train()
    outputs(module, keep_mode=True)
    assert module.calls == [(11, True, False)]


def test_tensors_that_a_module_keeps_can_be_trained_on_later():
    class Caches(nn.Linear):
        def forward(self, X):
            self.seen = X
            return super().forward(X)

    module = Caches(2, 2)
    outputs(module)
    module(module.seen).sum().backward()  # would fail for an inference tensor
    assert module.weight.grad is not None


@pytest.mark.parametrize(("elements", "rows"), [(1, 2048), (2048, 2048), (2**12, 1024), (2**22, 1), (2**30, 1)])
def test_wide_rows_come_in_smaller_chunks(elements, rows):
    assert chunk_rows(elements) == rows


class Returns(nn.Module):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, X):
        return self.change(X)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X[:-1], r"Returns.forward returned \(10, 2\) for 11 rows"),
        (lambda X: X.sum(), r"returned \(\) for 11 rows"),
        (lambda X: (X, X), "returned tuple for 11 rows"),
        (lambda X: None, "returned NoneType for 11 rows"),
    ],
)
def test_another_number_of_rows_is_refused(change, message):
    with pytest.raises(ModuleOutputError, match=message) as caught:
        outputs(Returns(change))
    assert caught.value.code == "ACC-B4"


def test_the_lost_axis_of_a_single_row_has_a_code_of_its_own():
    with pytest.raises(ModuleOutputError, match=r"squeeze\(\) without dim") as caught:
        outputs(Returns(torch.squeeze), as_rows(X[:1], torch.float32))
    assert caught.value.code == "ACC-B8"


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("output", "count"),
    [
        ([[0.0, 1.0], [2.0, 3.0]], 0),
        ([[0.0, NAN], [2.0, 3.0], [NAN, NAN]], 2),
        ([[INF, 1.0], [-INF, 2.0]], 0),
        ([[INF, -INF], [0.0, 0.0]], 0),
        ([[INF, -INF], [0.0, NAN]], 1),
        ([0.0, NAN, NAN], 2),
        ([[[0.0, NAN], [NAN, 0.0]], [[1.0, 1.0], [1.0, 1.0]]], 1),
        ([[0.0], [NAN]], 1),
    ],
)
def test_rows_with_nan_are_counted_and_infinities_are_none(output, count):
    assert nan_rows(torch.tensor(output)) == count
