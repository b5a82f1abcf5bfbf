"""F6: gradients that are not cleared."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from sktorch_acc import audit_loop
from tests.mistakes.common import BCEL, CE, mlp
from tests.mistakes.loops.common import (
    CLEAN,
    audited,
    batches,
    clean,
    count,
    counted,
    each_batch,
    mistake,
    parts,
    step,
)
from tests.modules import DropNorm

SGD = torch.optim.SGD


@mistake("ACC-F6")
@each_batch(epochs=2)
def zero_grad_forgotten(model, optimizer, x, y):
    CE(model(x), y).backward()
    optimizer.step()


@mistake("ACC-F6")
def zero_grad_once_in_an_epoch():
    model, optimizer = parts(optimizer=SGD)
    with audit_loop(model, optimizer) as audit:
        for _ in range(3):
            optimizer.zero_grad(set_to_none=False)
            for x, y in batches():
                cross_entropy(model(x), y).backward()
                optimizer.step()
            audit.epoch(count(model))
            model.train()
    return audit


@mistake("ACC-F6")
@each_batch(criterion=None)
def only_the_head_is_cleared(model, optimizer, x, y):
    model[2].zero_grad()
    CE(model(x), y).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


@mistake("ACC-F6")
@each_batch(criterion=None)
def cleared_in_another_optimizer(model, optimizer, x, y):
    SGD(mlp().parameters(), lr=0.1).zero_grad()
    CE(model(x), y).backward()
    optimizer.step()


@mistake("ACC-F6")
@each_batch(criterion=None, optimizer=SGD)
def a_closure_that_does_not_clear(model, optimizer, x, y):
    def closure():
        loss = CE(model(x), y)
        loss.backward()
        return loss

    optimizer.step(closure)


@mistake("ACC-F6")
def accumulated_over_four_but_stepped_each_time():
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for i, (x, y) in enumerate(batches()):
            (CE(model(x), y) / 4).backward()
            optimizer.step()
            if (i + 1) % 4 == 0:
                optimizer.zero_grad()
    return audit


@mistake("ACC-F6")
@each_batch()
def not_cleared_beside_a_penalty_by_autograd_grad(model, optimizer, x, y):
    loss = CE(model(x), y)
    slopes = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
    (loss + 0.1 * sum(g.square().sum() for g in slopes)).backward()
    optimizer.step()


# ------------------------------------------------------------------ cleared, in all ways and places


def set_to_none(model, optimizer):
    for p in model.parameters():
        p.grad = None


def zeroed_in_data(model, optimizer):
    for p in model.parameters():
        if p.grad is not None:
            p.grad.data.zero_()


WAYS = {
    "to_none": lambda model, optimizer: optimizer.zero_grad(),
    "to_zero": lambda model, optimizer: optimizer.zero_grad(set_to_none=False),
    "of_the_module": lambda model, optimizer: model.zero_grad(set_to_none=False),
    "by_hand": set_to_none,
    "in_data": zeroed_in_data,
}


def clearing_loop(way, place):
    def on_batch(model, optimizer, x, y):
        def clear(now):
            if now == place:
                way(model, optimizer)

        clear("first")
        loss = CE(model(x), y)
        clear("middle")
        loss.backward()
        optimizer.step()
        clear("last")

    return audited(on_batch, epochs=2, report=lambda _: None)


for name, way in WAYS.items():
    for place in ("first", "middle", "last"):
        CLEAN[f"cleared_{name}_{place}"] = lambda way=way, place=place: clearing_loop(way, place)


@clean
def not_cleared_once():
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for i, (x, y) in enumerate(batches()):
            if i != 3:
                optimizer.zero_grad()
            CE(model(x), y).backward()
            optimizer.step()
    return audit


@clean
def gradients_of_four_batches():
    model, optimizer = parts(DropNorm(6, 3))
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(2):
            for i, (x, y) in enumerate(batches()):
                (CE(model(x), y) / 4).backward()
                if (i + 1) % 4 == 0:
                    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                    optimizer.step()
                    optimizer.zero_grad()
    return audit


@clean
def losses_of_many_batches_in_one_backward():
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(4):
            optimizer.zero_grad()
            losses = [CE(model(x), y) for x, y in batches(16)]
            torch.stack(losses).mean().backward()
            optimizer.step()
    return audit


@clean
@each_batch(lr=0.1, optimizer=torch.optim.LBFGS, epochs=3, size=240, report=count)
def lbfgs(model, optimizer, x, y):
    def closure():
        optimizer.zero_grad()
        loss = CE(model(x), y)
        loss.backward()
        return loss

    optimizer.step(closure)


@clean
def two_optimizers_that_take_turns():
    """The generator's step leaves gradients in the discriminator, which are cleared before its own."""
    torch.manual_seed(0)
    generator, judge = nn.Linear(4, 6), nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1))
    of_generator = torch.optim.Adam(generator.parameters())
    of_judge = torch.optim.Adam(judge.parameters())
    one, zero = torch.ones(32, 1), torch.zeros(32, 1)
    with (
        audit_loop(judge, of_judge, criterion=BCEL) as audit,
        audit_loop(generator, of_generator, criterion=BCEL) as other,
    ):
        for x, _ in batches()[:-1]:
            made = generator(torch.randn(32, 4))
            of_judge.zero_grad()
            (BCEL(judge(x), one) + BCEL(judge(made.detach()), zero)).backward()
            of_judge.step()
            of_generator.zero_grad()
            BCEL(judge(made), one).backward()
            of_generator.step()
    assert other.diagnosis.codes == []
    return audit


@clean
def two_forwards_and_two_steps_for_each_batch():
    """As in sharpness-aware minimisation: the second pass, on the same batch, is trained on too."""

    def twice(*args):
        step(*args)
        return step(*args)[0]

    return counted(twice)


@clean
@each_batch(criterion=None, optimizer=SGD)
def gradients_that_decay(model, optimizer, x, y):
    CE(model(x), y).backward()
    optimizer.step()
    for p in model.parameters():
        p.grad.mul_(0.9)


@clean
@each_batch()
def twice_through_one_graph(model, optimizer, x, y):
    optimizer.zero_grad()
    loss = CE(model(x), y)
    loss.backward(retain_graph=True)
    loss.backward()
    optimizer.step()


@clean
@each_batch()
def a_penalty_on_the_gradient(model, optimizer, x, y):
    optimizer.zero_grad()
    x = x.clone().requires_grad_()
    loss = CE(model(x), y)
    (slope,) = torch.autograd.grad(loss, x, create_graph=True)
    (loss + slope.square().sum()).backward()
    optimizer.step()


# ------------------------------------------------------------------ gradients that a loop writes itself


def by_autograd_grad(put, penalty=False):
    """Compute gradients without adding them to ``.grad``, and put them there by hand."""

    def on_batch(model, optimizer, x, y):
        parameters = list(model.parameters())
        gradients = torch.autograd.grad(CE(model(x), y), parameters, create_graph=penalty)
        for p, g in zip(parameters, gradients, strict=True):
            put(p, g.detach())
        if penalty:  # added to what was put there
            sum(g.square().sum() for g in gradients).backward()
        optimizer.step()

    return audited(on_batch, epochs=2, report=count)


def assign(p, g):
    p.grad = g


def copy_into(p, g, data=False):
    if p.grad is None:
        p.grad = torch.zeros_like(p)
    (p.grad.data if data else p.grad).copy_(g)


CLEAN["gradients_assigned"] = lambda: by_autograd_grad(assign)
CLEAN["gradients_copied"] = lambda: by_autograd_grad(copy_into)
CLEAN["gradients_copied_into_data"] = lambda: by_autograd_grad(lambda p, g: copy_into(p, g, data=True))
CLEAN["gradients_assigned_and_a_penalty_added"] = lambda: by_autograd_grad(assign, penalty=True)


@clean
@each_batch()
def a_sum_that_is_replaced_before_the_step(model, optimizer, x, y):
    """The sum includes the gradient of the step before, but the step uses another."""
    CE(model(x), y).backward()
    for p, g in zip(model.parameters(), torch.autograd.grad(CE(model(x), y), model.parameters()), strict=True):
        p.grad = g
    optimizer.step()
