"""Mistakes that only show while a loop runs, each in loops written by hand, and their clean counterparts.

A loop is given an open audit and the parts it needs; what it does with them is its own.
"""

import collections
import copy
import warnings

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, dropout

from sktorch_acc import AccuracyCounter, audit_loop
from tests.mistakes import TWO, X, Y, mlp
from tests.modules import DropNorm, OneLogit

CE, BCEL = nn.CrossEntropyLoss(), nn.BCEWithLogitsLoss()
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
    """One step as it should be."""
    optimizer.zero_grad()
    z = model(x)
    loss = criterion(z, y)
    loss.backward()
    optimizer.step()
    return z, loss


def count(model, X=X, y=Y, size=60):
    """The right evaluation."""
    model.eval()
    right = 0
    with torch.no_grad():
        for x, t in zip(X.split(size), y.split(size), strict=True):
            right += (model(x).argmax(dim=1) == t).sum().item()
    return right / len(X)


# ------------------------------------------------------------------ F6: gradients that are not cleared


@mistake("ACC-F6")
def zero_grad_forgotten():
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(2):
            for x, y in batches():
                CE(model(x), y).backward()
                optimizer.step()
    return audit


@mistake("ACC-F6")
def zero_grad_once_in_an_epoch():
    model, optimizer = parts(optimizer=torch.optim.SGD)
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
def only_the_head_is_cleared():
    model, optimizer = parts()
    with audit_loop(model, optimizer) as audit:
        for x, y in batches():
            model[2].zero_grad()
            CE(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return audit


@mistake("ACC-F6")
def cleared_in_another_optimizer():
    model, optimizer = parts()
    other = torch.optim.SGD(mlp().parameters(), lr=0.1)
    with audit_loop(model, optimizer) as audit:
        for x, y in batches():
            other.zero_grad()
            CE(model(x), y).backward()
            optimizer.step()
    return audit


@mistake("ACC-F6")
def a_closure_that_does_not_clear():
    model, optimizer = parts(optimizer=torch.optim.SGD)
    with audit_loop(model, optimizer) as audit:
        for x, y in batches():

            def closure(x=x, y=y):
                loss = CE(model(x), y)
                loss.backward()
                return loss

            optimizer.step(closure)
    return audit


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


def clearing_loop(clear_first=None, clear_middle=None, clear_last=None):
    model, optimizer = parts()
    nothing = lambda *_: None  # noqa: E731
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(2):
            for x, y in batches():
                (clear_first or nothing)(model, optimizer)
                loss = CE(model(x), y)
                (clear_middle or nothing)(model, optimizer)
                loss.backward()
                optimizer.step()
                (clear_last or nothing)(model, optimizer)
            audit.epoch()
    return audit


def by_hand(model, optimizer):
    for p in model.parameters():
        p.grad = None


def behind_the_back(model, optimizer):
    for p in model.parameters():
        if p.grad is not None:
            p.grad.data.zero_()


ways = {
    "to_none": lambda model, optimizer: optimizer.zero_grad(),
    "to_zero": lambda model, optimizer: optimizer.zero_grad(set_to_none=False),
    "of_the_module": lambda model, optimizer: model.zero_grad(set_to_none=False),
    "by_hand": by_hand,
    "behind_the_back": behind_the_back,
}
for name, way in ways.items():
    for place in ("first", "middle", "last"):
        CLEAN[f"cleared_{name}_{place}"] = lambda way=way, place=place: clearing_loop(**{f"clear_{place}": way})


@clean
def not_cleared_but_once():
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
def lbfgs():
    model, optimizer = parts(lr=0.1, optimizer=torch.optim.LBFGS)
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(3):

            def closure():
                optimizer.zero_grad()
                loss = CE(model(X), Y)
                loss.backward()
                return loss

            optimizer.step(closure)
            audit.epoch(count(model))
    return audit


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
    """As sharpness-aware minimisation does: the second pass is trained on too, on the rows just fitted."""
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(3):
            right = 0
            for x, y in batches():
                step(model, optimizer, x, y)
                z, _ = step(model, optimizer, x, y)
                right += (z.argmax(dim=1) == y).sum().item()
            audit.epoch(right / 240)
    return audit


@clean
def gradients_that_decay_on_purpose():
    model, optimizer = parts(optimizer=torch.optim.SGD)
    with audit_loop(model, optimizer) as audit:
        for x, y in batches():
            CE(model(x), y).backward()
            optimizer.step()
            for p in model.parameters():
                p.grad.mul_(0.9)
    return audit


@clean
def twice_through_one_graph():
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for x, y in batches():
            optimizer.zero_grad()
            loss = CE(model(x), y)
            loss.backward(retain_graph=True)
            loss.backward()
            optimizer.step()
    return audit


@clean
def a_penalty_on_the_gradient():
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for x, y in batches():
            optimizer.zero_grad()
            x = x.clone().requires_grad_()
            loss = CE(model(x), y)
            (slope,) = torch.autograd.grad(loss, x, create_graph=True)
            (loss + slope.square().sum()).backward()
            optimizer.step()
    return audit


def by_autograd_grad(put, penalty=False):
    """Gradients are computed without being added to what is there, and put there by hand."""
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(2):
            for x, y in batches():
                parameters = list(model.parameters())
                gradients = torch.autograd.grad(CE(model(x), y), parameters, create_graph=penalty)
                for p, g in zip(parameters, gradients, strict=True):
                    put(p, g.detach())
                if penalty:  # added to what was put there
                    sum(g.square().sum() for g in gradients).backward()
                optimizer.step()
            audit.epoch(count(model))
    return audit


def assign(p, g):
    p.grad = g


def copy_into(p, g):
    if p.grad is None:
        p.grad = torch.zeros_like(p)
    p.grad.copy_(g)


def copy_behind_the_back(p, g):
    if p.grad is None:
        p.grad = torch.zeros_like(p)
    p.grad.data.copy_(g)


CLEAN["gradients_assigned"] = lambda: by_autograd_grad(assign)
CLEAN["gradients_copied"] = lambda: by_autograd_grad(copy_into)
CLEAN["gradients_copied_behind_the_back"] = lambda: by_autograd_grad(copy_behind_the_back)
CLEAN["gradients_assigned_and_a_penalty_added"] = lambda: by_autograd_grad(assign, penalty=True)


@clean
def a_sum_that_is_replaced_before_the_step():
    """A sum holds the gradient of the step before, but the step uses another."""
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for x, y in batches():
            CE(model(x), y).backward()
            for p, g in zip(model.parameters(), torch.autograd.grad(CE(model(x), y), model.parameters()), strict=True):
                p.grad = g
            optimizer.step()
    return audit


@mistake("ACC-F6")
def not_cleared_beside_a_penalty_by_autograd_grad():
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for x, y in batches():
            loss = CE(model(x), y)
            slopes = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
            (loss + 0.1 * sum(g.square().sum() for g in slopes)).backward()
            optimizer.step()
    return audit


# ------------------------------------------------------------------ E4: train() not restored


def evaluated_between(model, restore, epochs=3, criterion=CE, report=False):
    model, optimizer = parts(model)
    with audit_loop(model, optimizer, criterion=criterion) as audit:
        model.train()
        for _ in range(epochs):
            restore(model)
            for x, y in batches():
                step(model, optimizer, x, y)
            accuracy = count(model)
            if report:
                audit.epoch(accuracy)
    return audit


class Functional(nn.Module):
    """Dropout that is no layer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        return self.layer(dropout(x, 0.3, training=self.training))


class Wrapped(nn.Module):
    """As DataParallel: one module inside, which is what the loop puts into its modes."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x)


def forget(model):
    """What a loop does that calls train() once."""


LEFT = {
    "dropout": lambda: mlp(3, nn.Dropout(0.1)),
    "batch_norm": lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)),
    "a_function": Functional,
    "both_inside_a_wrapper": lambda: nn.DataParallel(DropNorm(6, 3)),
}
for name, build in LEFT.items():
    MISTAKES[f"eval_mode_kept_with_{name}"] = ("ACC-E4", lambda build=build: evaluated_between(build(), forget))


@mistake("ACC-E4")
def eval_mode_kept_and_reported():
    return evaluated_between(DropNorm(6, 3), forget, report=True)


@mistake("ACC-E4")
def evaluated_in_the_middle_of_an_epoch():
    model, optimizer = parts(DropNorm(6, 3))
    with audit_loop(model, optimizer) as audit:
        for _ in range(2):
            model.train()
            for i, (x, y) in enumerate(batches()):
                step(model, optimizer, x, y)
                if i == 4:
                    count(model)
            audit.epoch()
    return audit


@mistake("ACC-E4")
def only_what_is_inside_the_wrapper_is_evaluated():
    inside = DropNorm(6, 3)
    model, optimizer = parts(Wrapped(inside))
    with audit_loop(model, optimizer) as audit:
        for _ in range(2):
            for x, y in batches():
                step(model, optimizer, x, y)
            count(inside)
    return audit


CLEAN["mode_restored"] = lambda: evaluated_between(DropNorm(6, 3), nn.Module.train, report=True)
CLEAN["mode_restored_in_a_wrapper"] = lambda: evaluated_between(nn.DataParallel(DropNorm(6, 3)), nn.Module.train)
CLEAN["eval_mode_without_dropout"] = lambda: evaluated_between(mlp(), forget)
CLEAN["eval_mode_with_dropout_of_0"] = lambda: evaluated_between(mlp(3, nn.Dropout(0.0)), forget)
CLEAN["eval_mode_with_batch_statistics_alone"] = lambda: evaluated_between(
    nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.Linear(8, 3)), forget
)


@clean
def all_layers_restored_but_not_the_module():
    def restore(model):
        for layer in model.layers:
            layer.train()

    return evaluated_between(DropNorm(6, 3), restore)


@clean
def norm_layers_frozen_from_the_second_epoch():
    def restore(model):
        model.train()
        model.layers[1].eval()

    return evaluated_between(DropNorm(6, 3), restore)


@clean
def fine_tuned_in_eval_mode_from_the_first_step():
    model, optimizer = parts(DropNorm(6, 3))
    with audit_loop(model, optimizer, criterion=CE) as audit:
        model.eval()
        for _ in range(3):
            for x, y in batches():
                step(model, optimizer, x, y)
            audit.epoch(count(model))
    return audit


@clean
def gradients_in_eval_mode_but_steps_in_training_mode():
    """Adversarial rows are made in evaluation mode."""
    model, optimizer = parts(DropNorm(6, 3))
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for x, y in batches():
            model.eval()
            x = x.clone().requires_grad_()
            CE(model(x), y).backward()
            x = (x + 0.01 * x.grad.sign()).detach()
            model.train()
            step(model, optimizer, x, y)
    return audit


# ------------------------------------------------------------------ E9: graphs that are kept


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
def a_reported_figure_with_a_graph():
    model, optimizer = parts()
    with audit_loop(model, optimizer) as audit:
        for x, y in batches():
            z, _ = step(model, optimizer, x, y)
        audit.epoch(z.softmax(dim=1)[:, 0].mean())
    return audit


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
def evaluated_with_graphs_that_are_dropped():
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(3):
            for x, y in batches():
                step(model, optimizer, x, y)
            audit.epoch(sum((model(x).argmax(dim=1) == y).sum().item() for x, y in batches(16)) / 240)
    return audit


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
    samples = {}
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for epoch in range(4):
            for x, y in batches(16):
                step(model, optimizer, x, y)
            samples[epoch] = model(X[:4])
    return audit


@clean
def the_hardest_of_many_batches_is_trained_on():
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(6):
            optimizer.zero_grad()
            losses = [CE(model(x), y) for x, y in batches(16)]
            max(losses).backward()
            optimizer.step()
    return audit


@mistake("ACC-E9")
def the_losses_of_all_candidates_are_kept():
    model, optimizer = parts()
    kept = []
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(6):
            optimizer.zero_grad()
            losses = [CE(model(x), y) for x, y in batches(16)]
            max(losses).backward()
            optimizer.step()
            kept += losses
    return audit


# ------------------------------------------------------------------ A6: never reset


class Metric:
    """As those of torchmetrics, for one label per row."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.right = self.rows = 0

    def update(self, outputs, targets):
        self.right += (outputs.argmax(dim=1) == targets).sum()
        self.rows += len(targets)

    def compute(self):
        return self.right / self.rows


class Forwards(Metric, nn.Module):
    """A metric that is called, and resets itself while it is: it gives the figure of the batch."""

    def __init__(self):
        nn.Module.__init__(self)
        self.reset()

    def forward(self, outputs, targets):
        before = self.right, self.rows
        self.reset()
        self.update(outputs, targets)
        of_batch = self.compute()
        self.right, self.rows = self.right + before[0], self.rows + before[1]
        return of_batch


def metered(metric, call="update", reset=True, report=True):
    model, optimizer = parts()
    with audit_loop(model, optimizer, metric=metric) as audit:
        for _ in range(3):
            for x, y in batches():
                step(model, optimizer, x, y)
            model.eval()
            with torch.no_grad():
                for x, y in batches(60):
                    (metric if call == "call" else getattr(metric, call))(model(x), y)
            accuracy = metric.compute()
            model.train()
            if reset:
                metric.reset()
            audit.epoch(accuracy if report else None)
    return audit


class OfPairs(Metric):
    """As those of ignite."""

    def update(self, pair):
        super().update(*pair)


def metered_in_pairs(reset):
    model, optimizer = parts()
    metric = OfPairs()
    with audit_loop(model, optimizer, metric=metric) as audit:
        for _ in range(2):
            if reset:
                metric.reset()
            for x, y in batches():
                z, _ = step(model, optimizer, x, y)
                metric.update((z, y))
            print(f"{metric.compute():.2f}")
            audit.epoch()
    return audit


METERS = {
    "a_counter": lambda **how: metered(AccuracyCounter(3), **how),
    "a_metric": lambda **how: metered(Metric(), **how),
    "a_metric_that_is_called": lambda **how: metered(Forwards(), "call", **how),
    "a_metric_without_figures": lambda **how: metered(Metric(), report=False, **how),
    "a_metric_of_pairs": lambda reset: metered_in_pairs(reset),
}
for name, run in METERS.items():
    MISTAKES[f"{name}_never_reset"] = ("ACC-A6", lambda run=run: run(reset=False))
    CLEAN[f"{name}_reset"] = lambda run=run: run(reset=True)


@clean
def a_metric_computed_after_the_epoch_was_said_to_be_over():
    model, optimizer = parts()
    metric = AccuracyCounter(3)
    with audit_loop(model, optimizer, metric=metric) as audit:
        for _ in range(3):
            metric.reset()
            for x, y in batches():
                z, _ = step(model, optimizer, x, y)
                metric.update(z, y)
            audit.epoch()
            metric.compute()
    return audit


def counted_by_hand(reset_right=True, reset_total=True, percent=1, digits=None, with_loss=True):
    """Counts over an evaluation, which may compute the loss too."""
    model, optimizer = parts(DropNorm(6, 3))
    with audit_loop(model, optimizer, criterion=CE) as audit:
        right = total = 0
        for _ in range(4):
            model.train()
            for x, y in batches():
                step(model, optimizer, x, y)
            right, total = 0 if reset_right else right, 0 if reset_total else total
            model.eval()
            with torch.no_grad():
                for x, y in batches(50):
                    z = model(x)
                    if with_loss:
                        CE(z, y).item()
                    right += (z.argmax(dim=1) == y).sum().item()
                    total += len(y)
            figure = percent * right / total
            audit.epoch(figure if digits is None else round(figure, digits))
    return audit


MISTAKES["counts_never_reset"] = ("ACC-A6", lambda: counted_by_hand(False, False))
MISTAKES["counts_never_reset_in_percent"] = ("ACC-A6", lambda: counted_by_hand(False, False, 100))
MISTAKES["counts_never_reset_rounded"] = ("ACC-A6", lambda: counted_by_hand(False, False, 1, 4))
MISTAKES["right_rows_never_reset"] = ("ACC-A6", lambda: counted_by_hand(False, True))
MISTAKES["counts_never_reset_rounded_in_percent"] = ("ACC-A6", lambda: counted_by_hand(False, False, 100, 2))
CLEAN["counts_reset"] = counted_by_hand
CLEAN["counts_without_a_loss_reset"] = lambda: counted_by_hand(with_loss=False)
CLEAN["counts_reset_in_percent"] = lambda: counted_by_hand(percent=100)
# Where the criterion is not called, right rows are not known, and what seems cumulative may be something else.
CLEAN["counts_without_a_loss_never_reset_are_not_seen"] = lambda: counted_by_hand(False, False, with_loss=False)
CLEAN["counts_reset_rounded"] = lambda: counted_by_hand(percent=100, digits=2)


@clean
def right_labels_of_which_each_row_has_two():
    """After the first epoch an even number of 360, then an odd one, as if it were the rows of two epochs."""
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for right in (230, 281):
            for x, y in batches():
                step(model, optimizer, x, y)
            count(model, X[:180], Y[:180], 180)
            audit.epoch(right / 360)
    return audit


@mistake("ACC-A6")
def running_counts_never_reset():
    model, optimizer = parts()
    right = total = 0
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(3):
            for x, y in batches():
                z, _ = step(model, optimizer, x, y)
                right += (z.argmax(dim=1) == y).sum()
                total += len(y)
            audit.epoch(right / total)
    return audit


@mistake("ACC-A6")
def batch_accuracies_of_all_epochs():
    model, optimizer = parts()
    accuracies = []
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(3):
            for x, y in batches():
                z, _ = step(model, optimizer, x, y)
                accuracies.append((z.argmax(dim=1) == y).float().mean().item())
            audit.epoch(sum(accuracies) / len(accuracies))
    return audit


# ------------------------------------------------------------------ A12: a metric that guesses


class Guesses(Metric):
    """Takes what lies in [0, 1] for probabilities."""

    def update(self, outputs, targets):
        if ((outputs < 0) | (outputs > 1)).any():
            outputs = outputs.sigmoid()
        self.right += ((outputs > 0.5) == targets).sum()
        self.rows += targets.numel()


class Knows(Metric):
    def __init__(self, threshold):
        super().__init__()
        self.threshold = threshold

    def update(self, outputs, targets):
        self.right += ((outputs > self.threshold) == targets).sum()
        self.rows += targets.numel()


def two_classes(metric, given=lambda z: z, size=4, flat=True):
    """Small batches, of which some hold only small positive logits."""
    model, optimizer = parts(OneLogit(6, flat=flat), lr=0.003)
    with audit_loop(model, optimizer, criterion=BCEL, metric=metric) as audit:
        for _ in range(2):
            metric.reset()
            for x, y in batches(size, y=TWO if flat else TWO[:, None]):
                z, _ = step(model, optimizer, x, y.float(), BCEL)
                metric.update(given(z.detach()), y)
            metric.compute()
            audit.epoch()
    return audit


MISTAKES["a_metric_that_guesses"] = ("ACC-A12", lambda: two_classes(Guesses()))
MISTAKES["a_metric_that_guesses_in_pairs"] = ("ACC-A12", lambda: two_classes(Guesses(), size=2))
MISTAKES["a_metric_that_guesses_in_columns"] = ("ACC-A12", lambda: two_classes(Guesses(), flat=False))
CLEAN["a_guess_on_probabilities"] = lambda: two_classes(Guesses(), torch.sigmoid)
CLEAN["a_metric_for_logits"] = lambda: two_classes(Knows(0.0))
CLEAN["a_metric_for_probabilities"] = lambda: two_classes(Knows(0.5), torch.sigmoid)
CLEAN["a_metric_of_classes"] = lambda: two_classes(Knows(0.5), lambda z: (z > 0).long())
# The wrong threshold throughout is another mistake (C5), which its figure shows.
CLEAN["a_wrong_threshold_throughout"] = lambda: two_classes(Knows(0.5))


# ------------------------------------------------------------------ E2, E3, A1: figures of other weights


class Reports:
    """What a loop adds up."""

    def __init__(self, audit, mean=False):
        self.audit, self.mean = audit, mean

    def of(self, counts):
        shares = [right / rows for right, rows in counts]
        right, rows = map(sum, zip(*counts, strict=True))
        self.audit.epoch(sum(shares) / len(shares) if self.mean else right / rows)


def moving(again, mean=False, size=32, epochs=3, rows=240, mode=None, validate=0, grad=False):
    """Count each batch before its step, or once more after it."""
    model, optimizer = parts(mlp() if mode is None else DropNorm(6, 3))
    draws = torch.Generator().manual_seed(1)
    X = torch.randn(rows, 6, generator=draws)
    y = (X[:, :3] + 0.1 * torch.randn(rows, 3, generator=draws)).argmax(dim=1)
    with audit_loop(model, optimizer, criterion=CE) as audit:
        report = Reports(audit, mean)
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
                counts.append(((z.argmax(dim=1) == t).sum().item(), len(t)))
            if validate:
                count(model, X[:validate], y[:validate])
            report.of(counts)
    return audit


MISTAKES["counted_after_the_step"] = ("ACC-E3", lambda: moving(True))
MISTAKES["counted_after_the_step_on_a_copy"] = ("ACC-E3", lambda: moving("a copy"))
MISTAKES["counted_after_the_step_in_eval_mode"] = ("ACC-E3", lambda: moving(True, mode="eval"))
MISTAKES["counted_after_the_step_with_a_graph"] = ("ACC-E3", lambda: moving(True, grad=True))
MISTAKES["averaged_after_the_step"] = ("ACC-E3", lambda: moving(True, mean=True))
MISTAKES["counted_after_the_step_beside_a_validation"] = ("ACC-E3", lambda: moving(True, validate=90))
MISTAKES["counted_while_the_weights_move"] = ("ACC-E2", lambda: moving(False, rows=960))
MISTAKES["averaged_while_the_weights_move"] = ("ACC-E2", lambda: moving(False, mean=True, rows=960))
MISTAKES["counted_while_the_weights_move_beside_a_validation"] = (
    "ACC-E2",
    lambda: moving(False, rows=960, validate=77),
)
MISTAKES["the_mean_of_batches"] = ("ACC-A1", lambda: moving(False, mean=True, rows=250))


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
def one_batch_of_all_rows():
    """What is counted after the step on all rows is the accuracy of the model held."""
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
                right = sum((model(x).argmax(dim=1) == y).sum() for x, y in reversed(batches(120, shuffle=False)))
            audit.epoch(right / 240)
    return audit


@clean
def the_training_and_other_rows_are_evaluated():
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
def a_figure_of_rows_that_the_audit_does_not_see():
    """A copy of the model is evaluated, as with averaged weights."""
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(3):
            for x, y in batches():
                step(model, optimizer, x, y)
            audit.epoch(count(copy.deepcopy(model)))
    return audit


@clean
def one_figure_of_few_rows():
    return moving(True, rows=60, epochs=1)


@clean
def a_copy_of_a_model_that_stands_still_on_sorted_rows():
    model, optimizer = parts(lr=1e-9)
    order = Y.argsort()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(3):
            for x, y in batches(16, X[order], Y[order], shuffle=False):
                step(model, optimizer, x, y)
            audit.epoch(count(copy.deepcopy(model)))
    return audit


@clean
def right_from_the_first_epoch():
    """Figures of 1 are those of every way to count."""
    model, optimizer = parts()
    X = 20 * torch.eye(6).repeat(40, 1)
    y = torch.arange(240) % 6 // 2
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(20):
            for x, t in batches(24, X, y):
                step(model, optimizer, x, t)
        for _ in range(4):
            audit.epoch()
            right = 0
            for x, t in batches(24, X, y):
                z, _ = step(model, optimizer, x, t)
                right += (z.argmax(dim=1) == t).sum().item()
            audit.epoch(right / 240)
    return audit


@clean
def the_same_answer_throughout():
    """One class for all rows: running, fitted and held figures are one."""
    model, optimizer = parts(lr=1e-9)
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(3):
            right = 0
            for x, y in batches():
                z, _ = step(model, optimizer, x, y)
                right += (z.argmax(dim=1) == y).sum().item()
            audit.epoch(right / 240)
    return audit


@clean
def another_criterion_says_nothing_of_figures():
    model, optimizer = parts()
    criterion = nn.MultiMarginLoss()
    with audit_loop(model, optimizer, criterion=criterion) as audit:
        for _ in range(2):
            right = 0
            for x, y in batches():
                z, _ = step(model, optimizer, x, y, criterion)
                right += (z.argmax(dim=1) == y).sum().item()
            audit.epoch(right / 240)
    return audit


# ------------------------------------------------------------------ F2: nothing moves


@mistake("ACC-F2")
def step_forgotten():
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for x, y in batches():
            optimizer.zero_grad()
            CE(model(x), y).backward()
    return audit


@mistake("ACC-F2")
def cleared_between_backward_and_step():
    return clearing_loop_in_the_wrong_place(set_to_none=True)


@mistake("ACC-F2")
def zeroed_between_backward_and_step():
    return clearing_loop_in_the_wrong_place(set_to_none=False)


def clearing_loop_in_the_wrong_place(set_to_none):
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for x, y in batches():
            CE(model(x), y).backward()
            optimizer.zero_grad(set_to_none=set_to_none)
            optimizer.step()
    return audit


@mistake("ACC-F2")
def backward_forgotten():
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for x, y in batches():
            optimizer.zero_grad()
            CE(model(x), y)
            optimizer.step()
    return audit


@mistake("ACC-F2")
def an_optimizer_of_another_module():
    model, optimizer = parts()
    model = mlp()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for x, y in batches():
            step(model, optimizer, x, y)
    return audit


@clean
def nothing_but_an_evaluation():
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        audit.epoch(count(model))
    return audit


@clean
def steps_by_hand():
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for x, y in batches():
            model.zero_grad()
            CE(model(x), y).backward()
            with torch.no_grad():
                for p in model.parameters():
                    p.data -= 0.1 * p.grad
    return audit


@clean
def the_head_first_then_the_body():
    """What stood still at the start moves, and what moved stands still, before the first step."""
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


@clean
def tied_weights_and_one_that_is_not_used():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.unused = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
            self.second.weight = self.first.weight
            self.head = nn.Linear(6, 3)

        def forward(self, x):
            return self.head(self.second(self.first(x).relu()).relu())

    model, optimizer = parts(Tied())
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for x, y in batches():
            step(model, optimizer, x, y)
    return audit


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
def gradients_of_each_row():
    model, optimizer = parts()

    def loss(parameters, x, y):
        return CE(torch.func.functional_call(model, parameters, (x[None],)), y[None])

    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(2):
            for x, y in batches():
                parameters = {name: p.detach() for name, p in model.named_parameters()}
                rows = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(parameters, x, y)
                for name, p in model.named_parameters():
                    p.grad = rows[name].mean(dim=0)
                optimizer.step()
            audit.epoch(count(model))
    return audit


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


@clean
def a_probe_with_a_temperature_outside_of_the_module():
    model, _ = parts()
    temperature = nn.Parameter(torch.ones(()))
    optimizer = torch.optim.Adam([*model[2].parameters(), temperature])
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
def the_second_of_two_optimizers_moves_weights_of_the_losses():
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
def a_projector_outside_of_a_module_with_an_unused_head():
    """More parameters than are watched: whether the module's own are trained cannot be told from a few of them."""
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


@clean
def an_evaluation_with_an_optimizer_that_takes_no_step():
    model, _ = parts()
    temperature = nn.Parameter(torch.ones(()))
    with audit_loop(model, torch.optim.Adam([*model[2].parameters(), temperature])) as audit:
        audit.epoch(count(model))
    return audit


class Sparse(nn.Module):
    """A linear layer for rows that are sparse."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(0.1 * torch.ones(6, 3))

    def forward(self, x):
        return torch.sparse.mm(x, self.weight)


class Nested(nn.Module):
    """A linear layer for rows that are nested."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        return torch.stack([self.layer(row) for row in x.unbind()])


def unusual(make):
    """Make rows of a kind that torch calls a prototype, with a warning."""

    def rows(x):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make(x)

    return rows


def odd_rows(model, make, clear=True):
    model, optimizer = parts(model)
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(2):
            right = 0
            for x, y in batches():
                if clear:
                    optimizer.zero_grad()
                CE(model(make(x)), y).backward()
                optimizer.step()
                with torch.no_grad():
                    right += (model(make(x)).argmax(dim=1) == y).sum().item()
            audit.epoch(right / 240)
    return audit


KINDS = {
    "sparse": lambda **how: odd_rows(Sparse(), torch.Tensor.to_sparse, **how),
    "sparse_csr": lambda **how: odd_rows(Sparse(), unusual(torch.Tensor.to_sparse_csr), **how),
    "nested": lambda **how: odd_rows(Nested(), unusual(lambda x: torch.nested.nested_tensor(list(x))), **how),
}
for name, run in KINDS.items():
    CLEAN[f"{name}_rows"] = run
    MISTAKES[f"{name}_rows_and_gradients_that_are_not_cleared"] = ("ACC-F6", lambda run=run: run(clear=False))
