"""The steps of an epoch: what a batch holds, where it begins in memory, and what is made of its loss."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from sktorch_acc import TorchClassifier
from sktorch_acc.counts import AccuracyCounter
from sktorch_acc.data import batches
from sktorch_acc.engine.loss import Loss
from sktorch_acc.engine.observer import BatchObserver
from sktorch_acc.engine.steps import needs_closure, norm_layers, train_epoch
from tests.fits import classes, examples, prepared, table

STILL = {"optimizer": torch.optim.SGD, "lr": 1e-300}  # weights that do not move


class Keeps(nn.Module):
    """A linear layer in float64 that keeps what it was given in training mode."""

    def __init__(self, n_features, n_classes, dtype=torch.float64):
        super().__init__()
        self.layer = nn.Linear(n_features, n_classes, dtype=dtype)
        self.seen = []

    def forward(self, X):
        if self.training:
            self.seen.append(X)
        return self.layer(X)


def numbered(n, n_features=1, **options):
    """Samples whose first feature is their number."""
    X = table(n, n_features, "float64")
    X[:, 0] = np.arange(n)
    return examples(X, **options)


def epoch(fit, *, seed=0, running=None):
    """Carry out one epoch; return its loss."""
    fit.model.module.seen = []  # the probe ran a copy
    return train_epoch(fit, torch.Generator().manual_seed(seed), running)


def seen(fit):
    """The numbers of the samples of each batch."""
    return [batch[:, 0].to(torch.int64).tolist() for batch in fit.model.module.seen]


def order(n, seed=0):
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()


def test_batches_are_taken_in_the_order_that_is_drawn():
    fit = prepared(Keeps, numbered(10), batch_size=4)
    epoch(fit, seed=5)
    drawn = order(10, seed=5)
    assert seen(fit) == [drawn[:4], drawn[4:8], drawn[8:]]


def test_a_tail_of_one_sample_joins_the_batch_before_it():
    fit = prepared(Keeps, numbered(9), batch_size=4)
    epoch(fit)
    assert [len(batch) for batch in seen(fit)] == [4, 5]
    assert fit.n_steps == 2


def test_blocks_of_several_batches_make_no_difference(monkeypatch):
    fit = prepared(Keeps, numbered(23), batch_size=3)
    epoch(fit)
    at_once = seen(fit)
    monkeypatch.setattr(batches, "BLOCK_ELEMENTS", 12)
    epoch(fit)
    assert seen(fit) == at_once


class KeepsTargets(nn.CrossEntropyLoss):
    kept = None

    def forward(self, output, target):
        if self.kept is not None:
            self.kept.append(target.tolist())
        return super().forward(output, target)


@pytest.fixture
def weights_of_batches(monkeypatch):
    """The weights that the loss is given, of the probe's batch first."""
    seen, norm = [], Loss._norm

    def looked_at(self, weight, *rest):
        seen.append(weight)
        return norm(self, weight, *rest)

    monkeypatch.setattr(Loss, "_norm", looked_at)
    return seen


def test_targets_and_weights_are_those_of_the_samples(weights_of_batches):
    y, weights = classes(10, 3), np.arange(10) + 1.0
    fit = prepared(Keeps, numbered(10, y=y, n_classes=3, weights=weights), batch_size=4, criterion=KeepsTargets)
    kept = fit.loss.per_sample.kept = []
    epoch(fit)
    drawn = np.split(np.array(order(10)), [4, 8])
    assert kept == [y[part].tolist() for part in drawn]
    assert [w.tolist() for w in weights_of_batches[1:]] == [weights[part].tolist() for part in drawn]


def test_the_loss_is_that_of_all_samples():
    """Batches of 4, 4 and 2: the mean of their losses would be another number."""
    given = numbered(10, y=classes(10, 3), n_classes=3)
    fit = prepared(Keeps, given, batch_size=4, **STILL)
    loss = epoch(fit)
    with torch.no_grad():
        expected = nn.functional.cross_entropy(fit.model.module.layer(given.rows.source), given.targets)
    assert loss == pytest.approx(expected.item(), rel=1e-12)


def test_the_loss_of_weighted_samples_is_their_weighted_mean():
    weights = np.arange(10) + 1.0
    given = numbered(10, y=classes(10, 3), n_classes=3, weights=weights)
    fit = prepared(Keeps, given, batch_size=4, **STILL)
    loss = epoch(fit)
    with torch.no_grad():
        z = fit.model.module.layer(given.rows.source)
        by_sample = nn.functional.cross_entropy(z, given.targets, reduction="none").numpy()
    assert loss == pytest.approx((by_sample * weights).sum() / weights.sum(), rel=1e-12)


def plain_loop(fit, given, step, seed=0):
    """The epoch as it would be written by hand, with weights taken before it began; return its weights."""
    module = nn.Linear(2, 2, dtype=torch.float64)
    module.load_state_dict(fit.model.module.layer.state_dict())
    optimizer = step(module.parameters())
    correct = 0
    for part in torch.tensor(order(len(given), seed)).split(fit.settings.batch_size):
        optimizer.zero_grad()
        z = module(given.rows.source[part])
        correct += int((z.argmax(1) == given.targets[part]).sum())
        nn.functional.cross_entropy(z, given.targets[part]).backward()
        optimizer.step()
    return module, correct


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [(torch.optim.SGD, {"momentum": 0.9}), (torch.optim.AdamW, {}), (torch.optim.Adagrad, {})],
)
def test_an_epoch_is_the_loop_that_one_would_write(optimizer, options):
    given = numbered(20, 2)
    nested = {f"optimizer__{name}": value for name, value in options.items()}
    fit = prepared(Keeps, given, batch_size=6, optimizer=optimizer, lr=0.05, **nested)
    expected, correct = plain_loop(fit, given, lambda parameters: optimizer(parameters, lr=0.05, **options))
    running = AccuracyCounter(2)
    epoch(fit, running=running)
    for ours, theirs in zip(fit.model.module.layer.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    assert running.support.tolist() == [10, 10]
    assert running.correct.sum() == correct


def test_running_counts_do_not_depend_on_how_wide_the_output_is(monkeypatch):
    counts = []
    for width in (0, 2**14):
        monkeypatch.setattr("sktorch_acc.engine.steps.WIDE_OUTPUT", width)
        running = AccuracyCounter(3)
        epoch(prepared(Keeps, numbered(20, y=classes(20, 3), n_classes=3), batch_size=6), running=running)
        counts.append(running.correct.tolist())
    assert counts[0] == counts[1]


class SameMemory(nn.Linear):
    """Returns its outputs in one buffer, which every batch of that size overwrites."""

    def forward(self, X):
        output = super().forward(X)
        return self.__dict__.setdefault(f"buffer of {len(X)}", output.detach().clone()).detach_().copy_(output)


class PartOfMemory(SameMemory):
    """Returns a part of that buffer."""

    def forward(self, X):
        return super().forward(X)[:]


class FirstOutputAgain(nn.Linear):
    """Takes its first output as the buffer."""

    def forward(self, X):
        output = super().forward(X)
        first = self.__dict__.setdefault(f"first of {len(X)}", output)
        return output if first is output else first.detach_().copy_(output)


class InNumpy(torch.autograd.Function):
    """Writes into memory that torch knows nothing of."""

    @staticmethod
    def forward(ctx, values, memory):
        memory[:] = values.numpy()
        return torch.from_numpy(memory)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class MemoryOfNumpy(nn.Linear):
    def forward(self, X):
        output = super().forward(X)
        return InNumpy.apply(output, self.__dict__.setdefault(f"memory of {len(X)}", output.detach().clone().numpy()))


class OwnMemory(nn.Linear):
    """Returns the same values as those above."""


class RunsTheModuleOnce(BatchObserver):
    """Runs the module on another batch when the gradients are computed."""

    def gradients(self, fit, batch):
        fit.model.module(batch[0] * 3 - 1)


@pytest.mark.parametrize("module", [SameMemory, PartOfMemory, FirstOutputAgain, MemoryOfNumpy])
@pytest.mark.parametrize(
    "observers", [[], [BatchObserver()], [RunsTheModuleOnce()]], ids=["lean", "told", "run once more"]
)
@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.LBFGS])
def test_a_module_that_returns_the_same_memory_for_every_batch_is_counted_rightly(module, observers, optimizer):
    counts, losses = [], []
    for kind in (module, OwnMemory):
        running = AccuracyCounter(2)
        given = examples(table(40, 2), classes(40))
        fit = prepared(kind, given, batch_size=10, optimizer=optimizer, observers=observers)
        losses.append(train_epoch(fit, torch.Generator().manual_seed(0), running))
        counts.append(running.correct.tolist())
    assert counts[0] == counts[1]
    assert losses[0] == losses[1]


class Margin(nn.Module):
    """Edits the logits in place, as losses with a margin do."""

    def __init__(self, in_place=True):
        super().__init__()
        self.in_place = in_place

    def forward(self, z, targets):
        z = z if self.in_place else z.clone()
        z[torch.arange(len(z)), targets] -= 5
        return nn.functional.cross_entropy(z, targets)


class Outputs(BatchObserver):
    """Keeps the outputs that it hears of."""

    def __init__(self):
        self.kept = []

    def batch_end(self, fit, batch, outcome, training):
        self.kept.append(outcome[1])


class InOneNumber(nn.CrossEntropyLoss):
    """Returns every loss in the same memory."""

    def forward(self, z, targets):
        loss = super().forward(z, targets)
        return self.__dict__.setdefault("loss", loss.detach().clone()).detach_().copy_(loss)


@pytest.mark.parametrize("width", [0, 2**14], ids=["only the classes kept", "outputs kept"])
@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.LBFGS])
def test_a_criterion_that_edits_the_outputs_is_counted_on_what_the_module_returned(optimizer, told, width, monkeypatch):
    monkeypatch.setattr("sktorch_acc.engine.steps.WIDE_OUTPUT", width)
    counts, weights, heard = [], [], []
    for in_place in (True, False):
        running, observer = AccuracyCounter(2), Outputs()
        settings = {"criterion": Margin(in_place), "output": "logits", "optimizer": optimizer, "batch_size": 6}
        fit = prepared(nn.Linear, examples(y=classes(20)), observers=[observer] if told else [], **settings)
        train_epoch(fit, torch.Generator().manual_seed(0), running)
        counts.append(running.correct.tolist())
        weights.append(fit.model.module.weight)
        heard.append(observer.kept)
    assert counts[0] == counts[1]
    assert torch.equal(*weights)
    assert [output.tolist() for output in heard[0]] == [output.tolist() for output in heard[1]]
    assert len(heard[0]) == 4 * told


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.LBFGS])
def test_a_criterion_that_returns_the_same_memory_for_every_batch_gives_the_same_loss(optimizer):
    losses = []
    for criterion in (InOneNumber, nn.CrossEntropyLoss):
        fit = prepared(nn.Linear, examples(y=classes(20)), batch_size=6, optimizer=optimizer, criterion=criterion)
        losses.append(train_epoch(fit, torch.Generator().manual_seed(0), None))
    assert losses[0] == losses[1]


class OnlyIntercept(nn.Module):
    """Returns a view of its weights, which every step changes."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.intercept = nn.Parameter(torch.tensor([0.0, 1e-9], dtype=torch.float64))

    def forward(self, X):
        return self.intercept.expand(len(X), -1)


def test_an_output_that_is_part_of_the_weights_is_counted_as_it_was_before_the_step():
    fit = prepared(OnlyIntercept, examples(table(4, 1, "float64"), [0, 0, 0, 0]), batch_size=2, lr=0.1)
    running = AccuracyCounter(2)
    epoch(fit, running=running)
    # The first batch is predicted as class 1; the step makes it class 0 for the second.
    assert running.correct.tolist() == [2, 0]


def test_a_schedule_of_steps_steps_with_every_batch():
    fit = prepared(Keeps, numbered(10), batch_size=4, lr_scheduler="onecycle", max_epochs=2)
    assert fit.state.schedule.scheduler.last_epoch == 0
    epoch(fit)
    assert fit.state.schedule.scheduler.last_epoch == 3


# ------------------------------------------------------------ modes


def test_module_and_criterion_are_in_training_mode():
    fit = prepared(Keeps, numbered(10))
    fit.model.module.eval()
    fit.model.criterion.eval()
    epoch(fit)
    assert fit.model.module.training
    assert fit.model.criterion.training


def test_layers_that_are_to_stay_in_evaluation_mode_do():
    fit = prepared(lambda: nn.Sequential(nn.Linear(1, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double(), numbered(9))
    norm = fit.model.module[1]
    epoch(replace(fit, eval_layers=(norm,)))
    assert [layer.training for layer in fit.model.module] == [True, False, True]
    assert norm.num_batches_tracked == 0


def test_norm_layers_are_found_wherever_they_are():
    inner = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    module = nn.ModuleDict({"a": nn.BatchNorm1d(3), "b": inner, "c": nn.LayerNorm(3)})
    assert norm_layers(module) == [module["a"], inner[1]]


# ------------------------------------------------------------ observers of batches


class Batches(BatchObserver):
    """Writes down what it hears of the batches, and leaves the module in evaluation mode."""

    def __init__(self):
        self.log, self.batches = [], []

    def batch_begin(self, fit, batch, training):
        self.log.append("begin")
        self.batches.append(batch)
        fit.model.module.eval()

    def gradients(self, fit, batch):
        self.log.append(f"gradients {fit.model.module.layer.weight.grad is not None}")

    def batch_end(self, fit, batch, outcome, training):
        loss, output = outcome
        self.log.append(f"end {training} {loss.requires_grad} {tuple(output.shape)}")


@pytest.mark.parametrize("optimizer", [{}, {"optimizer": torch.optim.LBFGS, "optimizer__max_iter": 1}])
@pytest.mark.parametrize("weights", [None, np.ones(10)])
def test_observers_of_batches_hear_of_each_in_order(optimizer, weights):
    observer = Batches()
    given = numbered(10, weights=weights)
    fit = prepared(Keeps, given, observers=[observer], batch_size=6, **optimizer)
    epoch(fit)
    one = ["begin", "gradients True"]
    assert observer.log == [*one, "end True False (6, 2)", *one, "end True False (4, 2)"]
    assert [x[:, 0].tolist() for x, _ in observer.batches] == seen(fit)
    targets = [given.targets[batch].tolist() for batch in seen(fit)]
    assert [target.tolist() for _, target in observer.batches] == targets


def test_evaluation_mode_that_an_observer_leaves_is_undone_before_the_step():
    fit = prepared(Keeps, numbered(10), observers=[Batches()], batch_size=4)
    epoch(fit)
    assert len(seen(fit)) == 3  # what the module keeps in training mode


def test_observers_of_batches_change_no_bit():
    with_observer = prepared(Keeps, numbered(10), observers=[Batches()], batch_size=4)
    without = prepared(Keeps, numbered(10), batch_size=4)
    assert epoch(with_observer) == epoch(without)
    assert torch.equal(with_observer.model.module.layer.weight, without.model.module.layer.weight)


# ------------------------------------------------------------ closures


class NeedsClosure(torch.optim.SGD):
    def step(self, closure):
        return super().step(closure)


def test_which_optimizers_need_a_closure():
    parameters = list(nn.Linear(1, 1).parameters())
    assert needs_closure(torch.optim.LBFGS(parameters))
    assert needs_closure(NeedsClosure(parameters))
    assert not needs_closure(torch.optim.SGD(parameters))
    assert not needs_closure(torch.optim.AdamW(parameters))


def test_of_a_closure_that_is_called_several_times_the_first_loss_counts():
    given = numbered(10)
    fit = prepared(Keeps, given, batch_size=10, optimizer=torch.optim.LBFGS, optimizer__max_iter=5)
    with torch.no_grad():
        before = nn.functional.cross_entropy(fit.model.module.layer(given.rows.source), given.targets).item()
    assert epoch(fit) == pytest.approx(before, rel=1e-12)
    assert len(fit.model.module.seen) > 1


def test_an_optimizer_with_a_closure_of_one_evaluation_takes_the_same_steps():
    by_closure = prepared(Keeps, numbered(10), batch_size=4, optimizer=NeedsClosure, lr=0.1)
    plain = prepared(Keeps, numbered(10), batch_size=4, optimizer=torch.optim.SGD, lr=0.1)
    assert epoch(by_closure) == epoch(plain)
    assert torch.equal(by_closure.model.module.layer.weight, plain.model.module.layer.weight)


# ------------------------------------------------------------ alignment


class Begins(nn.Linear):
    """Writes down where in memory each training batch begins."""

    begins: list

    def forward(self, X):
        if self.training:
            self.begins.append((X.data_ptr() % 64, X.is_contiguous()))
        return super().forward(X)


class CriterionBegins(nn.CrossEntropyLoss):
    begins: list

    def forward(self, output, target):
        self.begins.append((target.data_ptr() % 64, target.is_contiguous()))
        return super().forward(output, target)


def begins_in_a_fit(dtype, width, *, weighted, **settings):
    """Where batches and their targets begin, and whether they are contiguous, in a fit of two epochs of 9 batches."""
    Begins.begins, CriterionBegins.begins = [], []
    module = Begins(width, 3, dtype=getattr(torch, dtype))
    clf = TorchClassifier(module, criterion=CriterionBegins, batch_size=7, max_epochs=2, random_state=0, **settings)
    weights = np.linspace(0.5, 1.5, 60) if weighted else None
    clf.fit(table(60, width, dtype), classes(60, 3), sample_weight=weights)
    of_batches, of_targets = Begins.begins, CriterionBegins.begins[1:]  # the first call is the probe's
    assert len(of_batches) >= 18
    assert len(of_targets) >= 18
    return {*of_batches, *of_targets}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("width", [1, 3, 5, 13])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_in_a_fit_every_batch_and_its_targets_begin_at_a_multiple_of_64_bytes(dtype, width, weighted):
    assert begins_in_a_fit(dtype, width, weighted=weighted) == {(0, True)}


class HearsBatches(Callback):
    def on_batch_begin(self, net, batch=None, **kwargs):
        CriterionBegins.begins += [(part.data_ptr() % 64, part.is_contiguous()) for part in batch]


@pytest.mark.parametrize(
    "settings", [{"optimizer": torch.optim.LBFGS, "optimizer__max_iter": 2}, {"callbacks": [HearsBatches]}]
)
def test_batches_begin_there_for_optimizers_with_a_closure_and_for_callbacks_too(settings):
    assert begins_in_a_fit("float64", 3, weighted=True, **settings) == {(0, True)}


def test_weights_begin_at_a_multiple_of_64_bytes_too(weights_of_batches):
    epoch(prepared(Keeps, numbered(60, weights=np.linspace(0.5, 1.5, 60)), batch_size=7))
    assert [weights.data_ptr() % 64 for weights in weights_of_batches[1:]] == [0] * 9


def test_one_class_under_several_columns_trains_in_batches_of_any_size():
    for batch_size in (10, 16):
        clf = TorchClassifier(lambda: nn.Linear(4, 3), criterion=nn.BCEWithLogitsLoss, batch_size=batch_size)
        clf.set_params(max_epochs=1).fit(table(40, 4), np.zeros(40))
        assert clf.n_iter_ == 1
