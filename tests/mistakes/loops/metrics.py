"""A6 and A12: counts and metrics that are never reset, and metrics that guess a threshold."""

import torch

from sktorch_acc import AccuracyCounter, audit_loop
from tests.mistakes.common import BCEL, CE, TWO, X, Y
from tests.mistakes.loops.common import CLEAN, MISTAKES, batches, clean, count, mistake, n_correct, parts, step
from tests.modules import DropNorm, OneLogit

# ------------------------------------------------------------------ A6: a metric that is never reset


class Metric:
    """A metric as in torchmetrics, for one label per sample."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.correct = self.samples = 0

    def update(self, outputs, targets):
        self.correct += (outputs.argmax(dim=1) == targets).sum()
        self.samples += len(targets)

    def compute(self):
        return self.correct / self.samples


class Forwards(Metric, torch.nn.Module):
    """A metric that is called: it returns the accuracy of the batch, and resets itself in between."""

    def __init__(self):
        torch.nn.Module.__init__(self)
        self.reset()

    def forward(self, outputs, targets):
        before = self.correct, self.samples
        self.reset()
        self.update(outputs, targets)
        of_batch = self.compute()
        self.correct, self.samples = self.correct + before[0], self.samples + before[1]
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
    """A metric as in ignite."""

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
    "a_metric_that_is_not_reported": lambda **how: metered(Metric(), report=False, **how),
    "a_metric_of_pairs": lambda reset: metered_in_pairs(reset),
}
for name, run in METERS.items():
    MISTAKES[f"{name}_never_reset"] = ("ACC-A6", lambda run=run: run(reset=False))
    CLEAN[f"{name}_reset"] = lambda run=run: run(reset=True)


@clean
def a_metric_computed_after_the_end_of_the_epoch():
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


# ------------------------------------------------------------------ A6: counts of the loop itself


def counted_by_hand(reset_correct=True, reset_total=True, percent=1, digits=None, with_loss=True):
    """Count over an evaluation, which may compute the loss too."""
    model, optimizer = parts(DropNorm(6, 3))
    with audit_loop(model, optimizer, criterion=CE) as audit:
        correct = total = 0
        for _ in range(4):
            model.train()
            for x, y in batches():
                step(model, optimizer, x, y)
            correct, total = 0 if reset_correct else correct, 0 if reset_total else total
            model.eval()
            with torch.no_grad():
                for x, y in batches(50):
                    z = model(x)
                    if with_loss:
                        CE(z, y).item()
                    correct += n_correct(z, y)
                    total += len(y)
            accuracy = percent * correct / total
            audit.epoch(accuracy if digits is None else round(accuracy, digits))
    return audit


MISTAKES["counts_never_reset"] = ("ACC-A6", lambda: counted_by_hand(False, False))
MISTAKES["counts_never_reset_in_percent"] = ("ACC-A6", lambda: counted_by_hand(False, False, 100))
MISTAKES["counts_never_reset_rounded"] = ("ACC-A6", lambda: counted_by_hand(False, False, 1, 4))
MISTAKES["correct_predictions_never_reset"] = ("ACC-A6", lambda: counted_by_hand(False, True))
MISTAKES["counts_never_reset_rounded_in_percent"] = ("ACC-A6", lambda: counted_by_hand(False, False, 100, 2))
CLEAN["counts_reset"] = counted_by_hand
CLEAN["counts_without_a_loss_reset"] = lambda: counted_by_hand(with_loss=False)
CLEAN["counts_reset_in_percent"] = lambda: counted_by_hand(percent=100)
# Without calls of the criterion correct predictions are unknown, and what seems cumulative may be something else.
CLEAN["counts_without_a_loss_never_reset_are_not_seen"] = lambda: counted_by_hand(False, False, with_loss=False)
CLEAN["counts_reset_rounded"] = lambda: counted_by_hand(percent=100, digits=2)


@clean
def two_labels_for_each_sample():
    """After the first epoch an even number of 360, then an odd one, as if it counted the samples of two epochs."""
    model, optimizer = parts()
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for correct in (230, 281):
            for x, y in batches():
                step(model, optimizer, x, y)
            count(model, X[:180], Y[:180], 180)
            audit.epoch(correct / 360)
    return audit


@mistake("ACC-A6")
def running_counts_never_reset():
    model, optimizer = parts()
    correct = total = 0
    with audit_loop(model, optimizer, criterion=CE) as audit:
        for _ in range(3):
            for x, y in batches():
                z, _ = step(model, optimizer, x, y)
                correct += (z.argmax(dim=1) == y).sum()
                total += len(y)
            audit.epoch(correct / total)
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
    """Takes outputs in [0, 1] for probabilities."""

    def update(self, outputs, targets):
        if ((outputs < 0) | (outputs > 1)).any():
            outputs = outputs.sigmoid()
        self.correct += ((outputs > 0.5) == targets).sum()
        self.samples += targets.numel()


class Knows(Metric):
    def __init__(self, threshold):
        super().__init__()
        self.threshold = threshold

    def update(self, outputs, targets):
        self.correct += ((outputs > self.threshold) == targets).sum()
        self.samples += targets.numel()


def two_classes(metric, given=lambda z: z, size=4, flat=True):
    """Train on small batches, of which some give only small positive logits."""
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
# The wrong threshold in every batch is another error (C5), found in the accuracy.
CLEAN["a_wrong_threshold_throughout"] = lambda: two_classes(Knows(0.5))
