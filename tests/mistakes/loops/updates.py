"""F2: loops in which no parameter changes, and unusual ways to change some."""

import torch
from torch import nn

from sktorch_acc import audit_loop
from tests.mistakes.common import CE, mlp
from tests.mistakes.loops.common import audited, batches, clean, count, each_batch, mistake, parts, step


@mistake("ACC-F2")
@each_batch()
def step_forgotten(model, optimizer, x, y):
    optimizer.zero_grad()
    CE(model(x), y).backward()


def cleared_before_the_step(set_to_none):
    def on_batch(model, optimizer, x, y):
        CE(model(x), y).backward()
        optimizer.zero_grad(set_to_none=set_to_none)
        optimizer.step()

    return audited(on_batch)


@mistake("ACC-F2")
def cleared_between_backward_and_step():
    return cleared_before_the_step(set_to_none=True)


@mistake("ACC-F2")
def zeroed_between_backward_and_step():
    return cleared_before_the_step(set_to_none=False)


@mistake("ACC-F2")
@each_batch()
def backward_forgotten(model, optimizer, x, y):
    optimizer.zero_grad()
    CE(model(x), y)
    optimizer.step()


@mistake("ACC-F2")
def an_optimizer_of_another_module():
    model, optimizer = parts()
    model = mlp()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for x, y in batches():
            step(model, optimizer, x, y)
    return audit


@clean
def only_an_evaluation():
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        audit.epoch(count(model))
    return audit


@clean
@each_batch()
def steps_by_hand(model, optimizer, x, y):
    model.zero_grad()
    CE(model(x), y).backward()
    with torch.no_grad():
        for p in model.parameters():
            p.data -= 0.1 * p.grad


# ------------------------------------------------------------------ parts of a module


@clean
def the_head_first_then_the_body():
    """What is frozen at the start is trained later, and the reverse, before the first step."""
    model, optimizer = parts()
    model[2].requires_grad_(False)
    with audit_loop(model, optimizer, criterion=CE) as audit:
        model[0].requires_grad_(False)
        model[2].requires_grad_(True)
        for x, y in batches():
            step(model, optimizer, x, y)
    return audit


@clean
def a_head_on_a_frozen_body():
    model, optimizer = parts()
    model[0].requires_grad_(False)
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(2):
            for x, y in batches():
                step(model, optimizer, x, y)
            audit.epoch(count(model))
    return audit


class Tied(nn.Module):
    """Tied weights, and a layer that is not used."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.unused = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.second.weight = self.first.weight
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.second(self.first(x).relu()).relu())


@clean
@each_batch(build=Tied)
def tied_weights_and_one_that_is_not_used(model, optimizer, x, y):
    step(model, optimizer, x, y)


# ------------------------------------------------------------------ optimizers over more than the module


def with_temperature(model):
    temperature = nn.Parameter(torch.ones(()))
    return temperature, torch.optim.Adam([*model[2].parameters(), temperature])


@clean
def a_probe_with_a_temperature_outside_the_module():
    model, _ = parts()
    temperature, optimizer = with_temperature(model)
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(2):
            for x, y in batches():
                model.zero_grad()
                optimizer.zero_grad()
                CE(model(x) * temperature, y).backward()
                optimizer.step()
            audit.epoch(count(model))
    return audit


@clean
def an_evaluation_with_an_optimizer_that_takes_no_step():
    model, _ = parts()
    with audit_loop(model, with_temperature(model)[1]) as audit:
        audit.epoch(count(model))
    return audit


@clean
def the_second_of_two_optimizers_changes_weights_of_the_losses():
    model, _ = parts()
    weight = nn.Parameter(torch.zeros(()))
    of_body = torch.optim.SGD(model[0].parameters(), lr=0.1)
    of_head = torch.optim.Adam([*model[2].parameters(), weight])
    with audit_loop(model, of_head, criterion=CE) as audit:
        for x, y in batches():
            of_body.zero_grad()
            of_head.zero_grad()
            (CE(model(x), y) * torch.exp(-weight) + weight).backward()
            of_body.step()
            of_head.step()
    return audit


@clean
def a_projector_outside_a_module_with_an_unused_head():
    """More parameters than are monitored, of which only few are the module's."""
    body = nn.Sequential(nn.Linear(6, 8), nn.ReLU())
    model = nn.ModuleDict({"body": body, "unused": nn.Linear(8, 3)})
    model.forward = lambda x: body(x)
    projector = nn.Sequential(*[nn.Linear(8, 8) for _ in range(40)], nn.Linear(8, 3))
    torch.manual_seed(0)
    optimizer = torch.optim.Adam([*projector.parameters(), *body.parameters()])
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for x, y in batches():
            optimizer.zero_grad()
            CE(projector(model(x)), y).backward()
            optimizer.step()
    return audit
