"""E2, E3 and A1: accuracies that are not those of the model at the epoch's end."""

import copy

import torch
from torch import nn

from sktorch_acc import audit_loop
from tests.mistakes.common import CE, X, Y, mlp
from tests.mistakes.loops.common import (
    MISTAKES,
    batches,
    clean,
    count,
    counted,
    each_batch,
    mistake,
    n_correct,
    parts,
    step,
)
from tests.mistakes.loops.modes import evaluated_between
from tests.modules import DropNorm


def pooled(counts):
    correct, samples = map(sum, zip(*counts, strict=True))
    return correct / samples


def mean(counts):
    return sum(correct / samples for correct, samples in counts) / len(counts)


def moving(again, average=pooled, size=32, epochs=3, n=240, mode=None, validate=0, grad=False):
    """Count each batch before its step, or once more after it."""
    model, optimizer = parts(mlp() if mode is None else DropNorm(6, 3))
    draws = torch.Generator().manual_seed(1)
    X = torch.randn(n, 6, generator=draws)
    y = (X[:, :3] + 0.1 * torch.randn(n, 3, generator=draws)).argmax(dim=1)
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(epochs):
            model.train()
            counts = []
            for x, t in batches(size, X, y):
                z, _ = step(model, optimizer, x, t)
                if again:
                    if mode == "eval":
                        model.eval()
                    with torch.set_grad_enabled(grad):
                        z = model(x.clone() if again == "a copy" else x)
                    model.train()
                counts.append((n_correct(z, t), len(t)))
            if validate:
                count(model, X[:validate], y[:validate])
            audit.epoch(average(counts))
    return audit


MISTAKES["counted_after_the_step"] = ("ACC-E3", lambda: moving(True))
MISTAKES["counted_after_the_step_on_a_copy"] = ("ACC-E3", lambda: moving("a copy"))
MISTAKES["counted_after_the_step_in_eval_mode"] = ("ACC-E3", lambda: moving(True, mode="eval"))
MISTAKES["counted_after_the_step_with_a_graph"] = ("ACC-E3", lambda: moving(True, grad=True))
MISTAKES["averaged_after_the_step"] = ("ACC-E3", lambda: moving(True, mean))
MISTAKES["counted_after_the_step_beside_a_validation"] = ("ACC-E3", lambda: moving(True, validate=90))
MISTAKES["counted_while_the_weights_change"] = ("ACC-E2", lambda: moving(False, n=960))
MISTAKES["averaged_while_the_weights_change"] = ("ACC-E2", lambda: moving(False, mean, n=960))
MISTAKES["counted_while_the_weights_change_beside_a_validation"] = (
    "ACC-E2",
    lambda: moving(False, n=960, validate=77),
)
MISTAKES["the_mean_of_batches"] = ("ACC-A1", lambda: moving(False, mean, n=250))


@mistake("ACC-A1")
def the_mean_of_batches_of_an_evaluation():
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(3):
            for x, y in batches():
                step(model, optimizer, x, y)
            shares = []
            with torch.inference_mode():
                for x, y in batches(50):
                    z = model(x)
                    CE(z, y)
                    shares.append((z.argmax(dim=1) == y).double().mean().item())
            audit.epoch(sum(shares) / len(shares))
    return audit


@clean
def one_batch_of_all_samples():
    """What is counted after the step on all samples is the accuracy of the model."""
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(9):
            step(model, optimizer, X, Y)
            with torch.no_grad():
                audit.epoch((model(X).argmax(dim=1) == Y).double().mean())
    return audit


@clean
def evaluated_after_each_epoch():
    return evaluated_between(mlp(), nn.Module.train, report=True)


@clean
def evaluated_in_order_from_the_batch_just_fitted():
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(4):
            for x, y in batches(120, shuffle=False):
                step(model, optimizer, x, y)
            with torch.no_grad():
                audit.epoch(sum(n_correct(model(x), y) for x, y in reversed(batches(120, shuffle=False))) / 240)
    return audit


@clean
def the_training_and_other_samples_are_evaluated():
    model, optimizer = parts(DropNorm(6, 3))
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(4):
            model.train()
            for x, y in batches(32, X[:180], Y[:180]):
                step(model, optimizer, x, y)
            accuracy = count(model, X[:180], Y[:180], 32)
            count(model, X[180:], Y[180:], 32)
            audit.epoch(accuracy)
    return audit


@clean
@each_batch(epochs=3, report=lambda model: count(copy.deepcopy(model)))
def an_accuracy_of_samples_that_the_audit_does_not_see(model, optimizer, x, y):
    """A copy of the model is evaluated, as with averaged weights."""
    step(model, optimizer, x, y)


@clean
def one_accuracy_of_few_samples():
    return moving(True, n=60, epochs=1)


@clean
def a_copy_of_a_model_that_hardly_changes_on_sorted_samples():
    model, optimizer = parts(lr=1e-9)
    order = Y.argsort()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(3):
            for x, y in batches(16, X[order], Y[order], shuffle=False):
                step(model, optimizer, x, y)
            audit.epoch(count(copy.deepcopy(model)))
    return audit


@clean
def correct_from_the_first_epoch():
    """Accuracies of 1 are those of every way to count."""
    model, optimizer = parts()
    X = 20 * torch.eye(6).repeat(40, 1)
    y = torch.arange(240) % 6 // 2
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(20):
            for x, t in batches(24, X, y):
                step(model, optimizer, x, t)
        for _ in range(4):
            audit.epoch()
            audit.epoch(sum(n_correct(step(model, optimizer, x, t)[0], t) for x, t in batches(24, X, y)) / 240)
    return audit


@clean
def the_same_prediction_throughout():
    """With one class for all samples, running, fitted and evaluated accuracies are equal."""
    return counted(lambda *args: step(*args)[0], lr=1e-9)


@clean
def another_criterion_gives_no_counts():
    criterion = nn.MultiMarginLoss()
    return counted(lambda *args: step(*args, criterion)[0], epochs=2, criterion=criterion)


class Margin(nn.CrossEntropyLoss):
    """Subtracts a margin from the logits of the true classes, in place."""

    def forward(self, output, target):
        output[torch.arange(len(target)), target] -= 20
        return super().forward(output, target)


@clean
def a_criterion_that_writes_to_the_logits():
    """The audit counts what the criterion gets, not what it leaves behind."""
    model, optimizer = parts()
    criterion, given = Margin(), []
    with audit_loop(model, optimizer, criterion=criterion) as audit:
        for x, t in batches():
            optimizer.zero_grad()
            z = model(x)
            given.append(n_correct(z, t))
            criterion(z, t).backward()
            optimizer.step()
        audit.epoch(sum(given) / len(X))
        assert list(audit._monitor.epochs[0].running.correct) == given
        assert sum(given) > 0
    return audit
