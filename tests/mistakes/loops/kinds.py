"""Unusual batches, criteria, precisions and evaluations."""

import warnings

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from sktorch_acc import audit_loop
from tests.mistakes.common import CE, TWO, X, Y
from tests.mistakes.loops.common import (
    CLEAN,
    MISTAKES,
    batches,
    clean,
    count,
    each_batch,
    n_correct,
    parts,
    step,
)
from tests.modules import DropNorm, OneLogit


@clean
def a_function_as_criterion():
    model, optimizer = parts(OneLogit(6, flat=True))
    with audit_loop(model, optimizer, criterion=binary_cross_entropy_with_logits) as audit:
        for _ in range(2):
            for x, y in batches(y=TWO.float()):
                step(model, optimizer, x, y, binary_cross_entropy_with_logits)
            audit.epoch(0.25)
    return audit


@clean
def empty_batches():
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=nn.CrossEntropyLoss(reduction="sum")) as audit:
        for _ in range(2):
            for x, y in [*batches(), (X[:0], Y[:0])]:
                step(model, optimizer, x, y, cross_entropy)
            audit.epoch(count(model))
    return audit


@clean
@each_batch(epochs=2, report=count)
def gradients_of_each_sample(model, optimizer, x, y):
    def loss(parameters, x, y):
        return CE(torch.func.functional_call(model, parameters, (x[None],)), y[None])

    parameters = {name: p.detach() for name, p in model.named_parameters()}
    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(parameters, x, y)
    for name, p in model.named_parameters():
        p.grad = gradients[name].mean(dim=0)
    optimizer.step()


@clean
def in_half_precision_with_a_scaler():
    model, optimizer = parts()
    scaler = torch.amp.GradScaler("cpu")
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for x, y in batches():
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = CE(model(x), y)
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            scaler.step(optimizer)
            scaler.update()
    return audit


@clean
def averaged_weights_are_evaluated():
    model, optimizer = parts(DropNorm(6, 3))
    averaged = torch.optim.swa_utils.AveragedModel(model)
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(3):
            for x, y in batches():
                step(model, optimizer, x, y)
                averaged.update_parameters(model)
            audit.epoch(count(averaged))
    return audit


# ------------------------------------------------------------------ sparse and nested batches


class Sparse(nn.Module):
    """A linear layer for sparse tensors."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(0.1 * torch.ones(6, 3))

    def forward(self, x):
        return torch.sparse.mm(x, self.weight)


class Nested(nn.Module):
    """A linear layer for nested tensors."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        return torch.stack([self.layer(row) for row in x.unbind()])


def prototype(convert):
    """Convert without torch's warning that the layout is a prototype."""

    def batch(x):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return convert(x)

    return batch


def unusual_batches(model, convert, clear=True):
    model, optimizer = parts(model)
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(2):
            correct = 0
            for x, y in batches():
                if clear:
                    optimizer.zero_grad()
                CE(model(convert(x)), y).backward()
                optimizer.step()
                with torch.no_grad():
                    correct += n_correct(model(convert(x)), y)
            audit.epoch(correct / 240)
    return audit


KINDS = {
    "sparse": lambda **how: unusual_batches(Sparse(), torch.Tensor.to_sparse, **how),
    "sparse_csr": lambda **how: unusual_batches(Sparse(), prototype(torch.Tensor.to_sparse_csr), **how),
    "nested": lambda **how: unusual_batches(Nested(), prototype(lambda x: torch.nested.nested_tensor(list(x))), **how),
}
for name, run in KINDS.items():
    CLEAN[f"{name}_batches"] = run
    MISTAKES[f"{name}_batches_and_gradients_that_are_not_cleared"] = ("ACC-F6", lambda run=run: run(clear=False))
