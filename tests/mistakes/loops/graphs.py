"""E9: graphs that are kept."""

import collections

import torch
from torch import nn

from sktorch_acc import audit_loop
from tests.mistakes.common import CE, X, Y
from tests.mistakes.loops.common import batches, clean, count, each_batch, mistake, n_correct, parts, step
from tests.modules import DropNorm


@mistake("ACC-E9")
def losses_summed_with_their_graphs():
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(2):
            total = 0.0
            for x, y in batches(16):
                _, loss = step(model, optimizer, x, y)
                total += loss
            audit.epoch(count(model))
    return audit


@mistake("ACC-E9")
def outputs_collected():
    model, optimizer = parts()
    kept = []
    with audit_loop(model, optimizer) as audit:
        for _ in range(3):
            for x, y in batches():
                z, _ = step(model, optimizer, x, y)
                kept.append(z)
            audit.epoch()
    return audit


@mistake("ACC-E9")
def outputs_of_one_epoch_collected():
    model, optimizer = parts(DropNorm(6, 3))
    with audit_loop(model, optimizer) as audit:
        for _ in range(3):
            kept = []
            for x, y in batches(16):
                kept.append(step(model, optimizer, x, y)[0])
            audit.epoch((torch.cat(kept).argmax(dim=1) == 0).double().mean())
    return audit


@mistake("ACC-E9")
def evaluated_with_graphs_that_are_kept():
    model, optimizer = parts(DropNorm(6, 3))

    def evaluate():
        model.eval()
        outputs = torch.cat([model(x) for x in X.split(16)])
        return (outputs.argmax(dim=1) == Y).double().mean().item()

    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(2):
            model.train()
            for x, y in batches():
                step(model, optimizer, x, y)
            audit.epoch(evaluate())
    return audit


@mistake("ACC-E9")
def hidden_states_of_a_dict_collected():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, x):
            hidden = self.body(x).relu()
            return collections.OrderedDict(logits=self.head(hidden), hidden=(hidden,))

    model, optimizer = parts(Both())
    kept = []
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for x, y in batches():
            optimizer.zero_grad()
            out = model(x)
            CE(out["logits"], y).backward()
            optimizer.step()
            kept.append(out["hidden"])
    return audit


@mistake("ACC-E9")
def a_reported_accuracy_with_a_graph():
    model, optimizer = parts()
    with audit_loop(model, optimizer) as audit:
        for x, y in batches():
            z, _ = step(model, optimizer, x, y)
        audit.epoch(z.softmax(dim=1)[:, 0].mean())
    return audit


def hardest_of_many(kept):
    """Train on the batch with the largest loss; `kept` outlives the step."""
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(6):
            optimizer.zero_grad()
            losses = [CE(model(x), y) for x, y in batches(16)]
            max(losses).backward()
            optimizer.step()
            kept(losses)
    return audit


@mistake("ACC-E9")
def the_losses_of_all_candidates_are_kept():
    kept = []
    return hardest_of_many(kept.extend)


@clean
def the_hardest_of_many_batches_is_trained_on():
    return hardest_of_many(lambda losses: None)


@clean
def losses_and_outputs_detached():
    model, optimizer = parts()
    total, kept = 0.0, []
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(2):
            for x, y in batches(16):
                z, loss = step(model, optimizer, x, y)
                total += loss.item()
                kept.append(z.detach())
    assert len(kept) == 30
    return audit


@clean
@each_batch(epochs=3, report=lambda model: sum(n_correct(model(x), y) for x, y in batches(16)) / 240)
def evaluated_with_graphs_that_are_dropped(model, optimizer, x, y):
    step(model, optimizer, x, y)


@clean
def a_few_losses_are_kept():
    model, optimizer = parts()
    last = collections.deque(maxlen=4)
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for x, y in batches(16):
            last.append(step(model, optimizer, x, y)[1])
    return audit


@clean
def the_first_output_of_each_epoch_is_kept():
    model, optimizer = parts()
    outputs = {}
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for epoch in range(4):
            for x, y in batches(16):
                step(model, optimizer, x, y)
            outputs[epoch] = model(X[:4])
    return audit
