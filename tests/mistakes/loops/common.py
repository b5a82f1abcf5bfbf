"""The parts of a correct loop, and the tables of the cases."""

import functools

import torch

from sktorch_acc import audit_loop
from tests.mistakes.common import CE, X, Y, mlp

MISTAKES, CLEAN = {}, {}


def mistake(code):
    """Put a loop into MISTAKES."""

    def register(loop):
        MISTAKES[loop.__name__] = (code, loop)
        return loop

    return register


def clean(loop):
    """Put a loop into CLEAN."""
    CLEAN[loop.__name__] = loop
    return loop


def parts(model=None, lr=0.02, optimizer=torch.optim.Adam):
    torch.manual_seed(0)
    model = model or mlp()
    return model, optimizer(model.parameters(), lr=lr)


def batches(size=32, X=X, y=Y, shuffle=True):
    order = torch.randperm(len(X)) if shuffle else torch.arange(len(X))
    return [(X[rows], y[rows]) for rows in order.split(size)]


def step(model, optimizer, x, y, criterion=CE):
    """One correct step."""
    optimizer.zero_grad()
    z = model(x)
    loss = criterion(z, y)
    loss.backward()
    optimizer.step()
    return z, loss


def n_correct(z, y):
    return (z.argmax(dim=1) == y).sum().item()


def count(model, X=X, y=Y, size=60):
    """A correct evaluation."""
    model.eval()
    with torch.no_grad():
        return sum(n_correct(model(x), t) for x, t in zip(X.split(size), y.split(size), strict=True)) / len(X)


def audited(on_batch, *, build=mlp, epochs=1, size=32, criterion=CE, report=None, **of_parts):
    """Run `on_batch(model, optimizer, x, y)` on each batch under audit, and report `report(model)` after an epoch."""
    torch.manual_seed(0)
    model, optimizer = parts(build(), **of_parts)
    with audit_loop(model, optimizer, criterion=criterion) as audit:
        for _ in range(epochs):
            for x, y in batches(size):
                on_batch(model, optimizer, x, y)
            if report is not None:
                audit.epoch(report(model))
    return audit


def each_batch(**how):
    """Make a loop under audit of what it does with one batch."""

    def decorate(on_batch):
        return functools.wraps(on_batch)(lambda: audited(on_batch, **how))

    return decorate


def counted(on_batch, epochs=3, criterion=CE, **of_parts):
    """Run a loop that counts the correct predictions of `on_batch(model, optimizer, x, y)`, and reports them."""
    model, optimizer = parts(**of_parts)
    with audit_loop(model, optimizer, criterion=criterion) as audit:
        for _ in range(epochs):
            audit.epoch(sum(n_correct(on_batch(model, optimizer, x, y), y) for x, y in batches()) / len(X))
    return audit
