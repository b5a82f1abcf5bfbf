"""What a step moves besides the weights comes back to the bit: state and options of the optimizer, the criterion."""

import copy

import pytest
import torch
from torch import nn

from sktorch_acc.engine.rollback import Rollback

OPTIMIZERS = [
    lambda p: torch.optim.AdamW(p, lr=0.1, amsgrad=True, fused=True),
    lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
    lambda p: torch.optim.SGD(p, lr=0.01),
    lambda p: torch.optim.Adagrad(p, lr=0.1),
    lambda p: torch.optim.Rprop(p, lr=0.1),
    lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=3),
]


class Learned(nn.Module):
    """A criterion with a parameter of its own and a buffer."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, z):
        self.seen += 1
        return (z * self.scale).square().sum()


def training(build):
    torch.manual_seed(0)
    module, criterion = nn.Linear(3, 2), Learned()
    return module, criterion, build([*module.parameters(), *criterion.parameters()])


def steps(module, criterion, optimizer, number=3):
    for _ in range(number):

        def closure():
            optimizer.zero_grad()
            loss = criterion(module(torch.ones(4, 3)) - 1)
            loss.backward()
            return loss

        optimizer.step(closure)


def contents(criterion, optimizer):
    return copy.deepcopy((optimizer.state_dict(), [*criterion.state_dict().values()]))


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


@pytest.mark.parametrize("build", OPTIMIZERS)
@pytest.mark.parametrize("before", [0, 1, 4])
def test_steps_are_undone(build, before):
    module, criterion, optimizer = training(build)
    steps(module, criterion, optimizer, before)
    expected, rollback = contents(criterion, optimizer), Rollback(optimizer, criterion)
    parameters = optimizer.param_groups[0]["params"]
    steps(module, criterion, optimizer)
    optimizer.param_groups[0]["lr"] = 7.0
    optimizer.param_groups[0]["note"] = "from a callback"
    if not isinstance(optimizer, torch.optim.LBFGS):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))]})
    assert not equal(contents(criterion, optimizer), expected)
    assert rollback.restore(criterion) is optimizer
    assert equal(contents(criterion, optimizer), expected)
    assert optimizer.param_groups[0]["params"] is parameters
    steps(module, criterion, optimizer)  # it goes on, and the copy is not moved
    rollback.restore(criterion)
    assert equal(contents(criterion, optimizer), expected)


@pytest.mark.parametrize("build", OPTIMIZERS)
def test_a_copy_is_taken_again(build):
    module, criterion, optimizer = training(build)
    rollback = Rollback(optimizer, criterion)
    for _ in range(3):
        steps(module, criterion, optimizer, 2)
        rollback.take(optimizer, criterion)
        expected = contents(criterion, optimizer)
        steps(module, criterion, optimizer, 1)
        rollback.restore(criterion)
        assert equal(contents(criterion, optimizer), expected)


def test_the_same_memory_is_used_again():
    module, criterion, optimizer = training(OPTIMIZERS[0])
    steps(module, criterion, optimizer, 1)
    rollback = Rollback(optimizer, criterion)
    memory = [tensor.data_ptr() for tensor in rollback._kept]
    steps(module, criterion, optimizer, 1)
    rollback.take(optimizer, criterion)
    assert [tensor.data_ptr() for tensor in rollback._kept] == memory


def test_an_optimizer_that_was_replaced_comes_back():
    module, criterion, optimizer = training(OPTIMIZERS[1])
    steps(module, criterion, optimizer)
    rollback = Rollback(optimizer, criterion)
    steps(module, criterion, torch.optim.SGD(module.parameters(), lr=1.0))
    assert rollback.restore(criterion) is optimizer
