"""Devices, threads and the computing dtype."""

import pytest
import torch
from sklearn.datasets import make_classification
from torch import nn

from sktorch_acc import TorchClassifier
from sktorch_acc.engine.device import resolve_device, resolve_threads, step_operations, threads_to_choose
from sktorch_acc.engine.state import _move

CPU = torch.device("cpu")


def test_auto_is_the_accelerator_if_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert resolve_device("auto") == CPU
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    assert resolve_device("auto") == torch.device("cuda")
    assert resolve_device("cuda:1") == torch.device("cuda", 1)
    assert resolve_device(CPU) == CPU
    with pytest.raises(ValueError, match="the accelerator on this machine is 'cuda'"):
        resolve_device("mps")


def test_threads_are_one_for_small_steps_and_never_more_than_torch_would_use(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    assert resolve_threads("auto", 10_000, CPU) == 1
    assert resolve_threads("auto", 10**9, CPU) == 4
    assert resolve_threads(2, 10**9, CPU) == 2
    assert resolve_threads(64, 10, CPU) == 4


def test_operations_of_a_step_count_positions_of_convolutions():
    assert step_operations(nn.Linear(10, 5), 50.0, 8) == 6 * 8 * 55
    assert step_operations(nn.Linear(10, 5), 5000.0, 8) == 6 * 8 * 5000


def test_the_number_of_threads_is_decided_in_fit_and_put_back():
    X, y = make_classification(50, 5, random_state=0)
    before = torch.get_num_threads()
    seen = []

    class Looks(nn.Linear):
        def forward(self, X):
            seen.append(torch.get_num_threads())
            return super().forward(X)

    torch.set_num_threads(2)
    try:
        clf = TorchClassifier(lambda: Looks(5, 2, dtype=torch.float64), n_threads=1, max_epochs=1).fit(X, y)
        seen.clear()
        clf.predict(X)
        assert seen == [1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_moving_keeps_the_identity_of_parameters():
    module = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    module(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    parameters = list(module.parameters())
    module.to("meta")
    _move(optimizer, dict(zip(map(id, parameters), module.parameters(), strict=True)), torch.device("meta"))
    assert module.weight.device.type == "meta"
    states = optimizer.state.values()
    assert {value.device.type for state in states for value in state.values()} == {"meta"}
    assert [id(p) for p in optimizer.param_groups[0]["params"]] == [id(p) for p in module.parameters()]
    assert len(parameters) == 2


@pytest.mark.parametrize(
    ("available", "n_threads", "device", "to_choose"),
    [(4, "auto", CPU, True), (1, "auto", CPU, False), (4, 2, CPU, False), (4, "auto", torch.device("meta"), False)],
)
def test_operations_are_counted_where_the_number_of_threads_depends_on_them(
    available, n_threads, device, to_choose, monkeypatch
):
    monkeypatch.setattr(torch, "get_num_threads", lambda: available)
    assert threads_to_choose(n_threads, device) == to_choose
