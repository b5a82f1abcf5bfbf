"""The direct optimizer step gives the same bits as ``step()``, and steps aside where it would not."""

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from sktorch_acc.engine import optimizers
from sktorch_acc.engine.optimizers import _DirectAdam, step_of


class Branching(nn.Module):
    """Uses its second layer in every other forward pass only."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.frozen = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)
        self.frozen.requires_grad_(False)
        self.calls = 0

    def forward(self, X):
        self.calls += 1
        z = self.frozen(self.first(X))
        return self.second(z) if self.calls % 2 else z


def trained(build, direct, *, schedule=None, blocks=3, steps=4):
    torch.manual_seed(0)
    module = Branching()
    optimizer = build(module)
    scheduler = None if schedule is None else schedule(optimizer)
    for _ in range(blocks):
        step = step_of(optimizer) if direct else optimizer.step
        assert isinstance(step, _DirectAdam) == direct
        for _ in range(steps):
            optimizer.zero_grad()
            module(torch.randn(5, 3)).square().sum().backward()
            step()
            if scheduler is not None:
                scheduler.step()
    states = [value for state in optimizer.state.values() for value in state.values()]
    return [*module.parameters(), *states]


def groups(module):
    return [{"params": module.first.parameters(), "lr": 0.1}, {"params": [*module.second.parameters()]}]


def one_cycle(optimizer):
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=12)


@pytest.mark.parametrize(
    ("build", "schedule"),
    [
        (lambda m: torch.optim.AdamW(m.parameters(), fused=True), None),
        (lambda m: torch.optim.Adam(groups(m), fused=True, weight_decay=0.1), None),
        (lambda m: torch.optim.AdamW(m.parameters(), fused=True, amsgrad=True, maximize=True), None),
        (lambda m: torch.optim.AdamW(m.parameters(), fused=True, lr=torch.tensor(0.01)), None),
        (lambda m: torch.optim.AdamW(m.parameters(), fused=True), one_cycle),
    ],
)
def test_direct_steps_give_the_same_bits(build, schedule):
    direct, by_step = trained(build, True, schedule=schedule), trained(build, False, schedule=schedule)
    assert len(direct) == len(by_step)
    assert all(torch.equal(a, b) for a, b in zip(direct, by_step, strict=True))


def test_without_the_kernel_the_functional_optimizer_gives_the_same_bits(monkeypatch):
    for kind in (torch.optim.Adam, torch.optim.AdamW):

        def build(module, kind=kind):
            return kind(module.parameters(), fused=True, weight_decay=0.1)

        with monkeypatch.context() as patch:
            by_kernel = trained(build, True)
            patch.setattr(optimizers, "_kernel", lambda decoupled: None)
            by_function = trained(build, True)
        assert all(torch.equal(a, b) for a, b in zip(by_kernel, by_function, strict=True))


def test_parameters_of_two_dtypes_in_one_group_give_the_same_bits():
    def results(direct):
        first, second = (nn.Parameter(torch.ones(3, dtype=dtype)) for dtype in (torch.float32, torch.float64))
        optimizer = torch.optim.AdamW([first, second], fused=True)
        step = step_of(optimizer) if direct else optimizer.step
        for _ in range(3):
            optimizer.zero_grad()
            (first.double() * second).square().sum().backward()
            step()
        return first, second

    assert all(torch.equal(a, b) for a, b in zip(results(True), results(False), strict=True))


@pytest.fixture
def asked_anew():
    optimizers._kernel.cache_clear()
    yield
    optimizers._kernel.cache_clear()


@pytest.mark.usefixtures("asked_anew")
def test_the_kernel_of_this_torch_is_used():
    assert optimizers._kernel(True) is torch._fused_adamw_
    assert optimizers._kernel(False) is torch._fused_adam_


def takes_other_arguments(params, *, rate):
    """A kernel of some later torch."""


def counts_steps_itself(params, grads, averages, squares, largest, steps, **settings):
    steps[0] += 1


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.parametrize("kernel", [takes_other_arguments, counts_steps_itself, torch._fused_adam_, None])
def test_a_kernel_that_does_something_else_is_not_used(monkeypatch, kernel):
    class OtherTorch:
        def __getattr__(self, name):
            return kernel if name == "_fused_adamw_" else getattr(torch, name)

    with monkeypatch.context() as patch:
        patch.setattr(optimizers, "torch", OtherTorch())
        assert optimizers._kernel(True) is None
        assert optimizers._kernel(False) is torch._fused_adam_


class MyAdam(torch.optim.AdamW):
    """A user's subclass: its step may do anything."""


@pytest.mark.parametrize(
    "build",
    [
        lambda p: torch.optim.AdamW(p),
        lambda p: torch.optim.SGD(p, lr=0.1, fused=True),
        lambda p: torch.optim.RMSprop(p),
        lambda p: MyAdam(p, fused=True),
    ],
)
def test_other_optimizers_step_by_themselves(build):
    optimizer = build(nn.Linear(2, 2).parameters())
    assert step_of(optimizer) == optimizer.step


def test_whoever_listens_to_steps_hears_all_of_them():
    optimizer = torch.optim.AdamW(nn.Linear(2, 2).parameters(), fused=True)
    assert isinstance(step_of(optimizer), _DirectAdam)
    for register in (optimizer.register_step_pre_hook, optimizer.register_step_post_hook):
        handle = register(lambda *_: None)
        assert step_of(optimizer) == optimizer.step
        handle.remove()
    handle = register_optimizer_step_post_hook(lambda *_: None)
    assert step_of(optimizer) == optimizer.step
    handle.remove()
    assert isinstance(step_of(optimizer), _DirectAdam)


def test_a_replaced_step_is_called():
    optimizer = torch.optim.AdamW(nn.Linear(2, 2).parameters(), fused=True)
    optimizer.step = lambda: None
    assert step_of(optimizer) is optimizer.step
    del optimizer.step
    own = optimizer.step
    optimizer.step = lambda: own()
    assert step_of(optimizer) is optimizer.step


def test_schedulers_see_the_steps():
    optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(2))], fused=True)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    step = step_of(optimizer)
    assert isinstance(step, _DirectAdam)
    optimizer.param_groups[0]["params"][0].grad = torch.ones(2)
    step()
    scheduler.step()  # warns if no step was seen


def test_gradients_that_turn_sparse_get_the_optimizers_own_error():
    layer = nn.Embedding(5, 3)
    optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
    step = step_of(optimizer)
    layer(torch.tensor([0, 1])).sum().backward()
    step()
    optimizer.zero_grad()
    layer.sparse = True
    layer(torch.tensor([0, 1])).sum().backward()
    with pytest.raises(RuntimeError, match="does not support sparse gradients"):
        step()


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("own_group", [False, True])
def test_a_parameter_whose_first_gradient_comes_after_the_first_step_is_trained(kind, own_group):
    def results(direct):
        early, late = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
        groups = [{"params": [early]}, {"params": [late]}] if own_group else [early, late]
        optimizer = kind(groups, fused=True, weight_decay=0)
        step = step_of(optimizer) if direct else optimizer.step
        for number in range(4):
            optimizer.zero_grad()
            (early + (late if number in (1, 3) else 0)).square().sum().backward()
            step()
        return early, late

    direct, by_step = results(True), results(False)
    assert (direct[1] != 1).all()
    assert all(torch.equal(a, b) for a, b in zip(direct, by_step, strict=True))


def test_a_parameter_that_is_unfrozen_after_the_first_step_is_trained():
    module = nn.Linear(3, 3)
    module.bias.requires_grad_(False)
    before = module.bias.clone()
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)
    step = step_of(optimizer)
    for _ in range(2):
        optimizer.zero_grad()
        module(torch.ones(2, 3)).sum().backward()
        step()
        module.bias.requires_grad_(True)
    assert (module.bias != before).all()
