"""The epochs of a fit: what is recorded of each, from what its randomness follows, and what ends it."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from sktorch_acc import NonFiniteLossError
from sktorch_acc.engine.loop import count_correct, run_epochs
from sktorch_acc.engine.observer import BatchObserver, Observer
from tests.fits import Heard, classes, examples, prepared, table

STILL = {"optimizer": torch.optim.SGD, "lr": 1e-300}  # weights that do not move
GIVEN = examples(table(20, dtype="float64"), classes(20, 3), n_classes=3)
HELD_OUT = examples(table(7, dtype="float64") + 1, classes(7, 3), n_classes=3)


class Doubles(nn.Linear):
    def __init__(self, n_features, n_classes):
        super().__init__(n_features, n_classes, dtype=torch.float64)


def rows_of(module=Doubles, given=GIVEN, validation=None, **settings):
    fit = prepared(module, given, validation, **{"max_epochs": 1, "batch_size": 6, **settings})
    run_epochs(fit)
    return fit, fit.rows


def outputs(fit, samples):
    with torch.no_grad():
        return fit.model.module(samples.rows.source)


# ------------------------------------------------------------ the record


def test_counts_are_those_of_the_weights_after_the_epoch():
    fit, [row] = rows_of(lr=0.5)
    correct, support = row.counts["train_acc"]
    right = (outputs(fit, GIVEN).argmax(1) == GIVEN.targets).numpy()
    assert correct.tolist() == [int(right[GIVEN.targets == k].sum()) for k in range(3)]
    assert support.tolist() == [7, 7, 6]
    assert correct.dtype == support.dtype == np.int64


def test_a_validation_set_is_counted_and_its_loss_is_the_mean_of_its_samples():
    fit, [row] = rows_of(validation=HELD_OUT, lr=0.5)
    z = outputs(fit, HELD_OUT)
    assert row.counts["valid_acc"][0].sum() == int((z.argmax(1) == HELD_OUT.targets).sum())
    assert row.values["valid_loss"] == pytest.approx(nn.functional.cross_entropy(z, HELD_OUT.targets).item(), rel=1e-12)


def test_the_validation_loss_is_weighted_as_the_training_loss_is():
    weights = np.arange(7.0)
    validation = examples(table(7, dtype="float64") + 1, classes(7, 3), n_classes=3, weights=weights)
    given = examples(table(20, dtype="float64"), classes(20, 3), n_classes=3, weights=np.ones(20))
    fit, [row] = rows_of(given=given, validation=validation)
    losses = nn.functional.cross_entropy(outputs(fit, validation), validation.targets, reduction="none").numpy()
    assert row.values["valid_loss"] == pytest.approx((losses * weights).sum() / weights.sum(), rel=1e-12)


def test_a_chunk_of_the_validation_set_whose_samples_weigh_nothing_counts_as_nothing(monkeypatch):
    monkeypatch.setattr("sktorch_acc.engine.evaluate.CHUNK_ROWS", 2)
    weights = np.array([0.0, 0.0, 1.0, 3.0, 0.0, 0.0, 0.0])
    validation = examples(table(7, dtype="float64") + 1, classes(7, 3), n_classes=3, weights=weights)
    given = examples(table(20, dtype="float64"), classes(20, 3), n_classes=3, weights=np.ones(20))
    fit, [row] = rows_of(given=given, validation=validation)
    losses = nn.functional.cross_entropy(outputs(fit, validation), validation.targets, reduction="none").numpy()
    assert row.values["valid_loss"] == pytest.approx((losses * weights).sum() / weights.sum(), rel=1e-12)


def test_the_validation_loss_does_not_depend_on_chunks(monkeypatch):
    losses = []
    for size in (2, 2048):
        monkeypatch.setattr("sktorch_acc.engine.evaluate.CHUNK_ROWS", size)
        losses.append(rows_of(validation=HELD_OUT)[1][0].values["valid_loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)


MEASURES = {
    None: set(),
    "running": {"train_acc_running"},
    "exact": {"train_acc", "train_acc_running"},
}


@pytest.mark.parametrize("mode", MEASURES)
def test_what_is_counted_is_what_was_asked_for(mode):
    assert set(rows_of(train_accuracy=mode)[1][0].counts) == MEASURES[mode]
    with_validation = set(rows_of(train_accuracy=mode, validation=HELD_OUT)[1][0].counts)
    assert with_validation == MEASURES[mode] | ({"valid_acc"} if mode else set())


def test_sizes_are_samples_and_batches_of_each_phase():
    assert rows_of()[1][0].sizes == {"train": (20, 4)}
    assert rows_of(validation=HELD_OUT)[1][0].sizes == {"train": (20, 4), "valid": (7, 1)}
    weighted = examples(table(20, dtype="float64"), classes(20, 3), n_classes=3, weights=np.arange(20) % 2)
    assert rows_of(given=weighted)[1][0].sizes == {"train": (20, 2)}  # ten samples weigh nothing and are fitted


def test_the_learning_rate_is_that_at_the_beginning_of_the_epoch():
    _, rows = rows_of(
        lr=0.5, lr_scheduler=torch.optim.lr_scheduler.ExponentialLR, lr_scheduler__gamma=0.5, max_epochs=3
    )
    assert [row.values["lr"] for row in rows] == [0.5, 0.25, 0.125]


def test_seconds_are_those_of_the_epoch():
    assert rows_of()[1][0].values["seconds"] > 0


def test_with_weights_that_do_not_move_running_counts_are_the_exact_ones():
    _, [row] = rows_of(**STILL)
    assert row.counts["train_acc"][0].tolist() == row.counts["train_acc_running"][0].tolist()


# ------------------------------------------------------------ randomness


class Draws(nn.Module):
    """Writes down what each training step draws."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layer = nn.Linear(n_features, n_classes, dtype=torch.float64)
        self.drawn = []

    def forward(self, X):
        if self.training:
            self.drawn.append((torch.rand(()).item(), np.random.rand(), X[0, 0].item()))  # noqa: NPY002
        return self.layer(X)


def drawn(seed=0, **settings):
    fit = prepared(Draws, GIVEN, seed=seed, **{"max_epochs": 2, "batch_size": 64, **settings})
    run_epochs(fit)
    return fit.model.module.drawn


def test_every_epoch_follows_from_the_seed_and_its_number():
    first = drawn()
    torch.manual_seed(77)
    assert drawn() == first
    assert drawn(max_epochs=3)[:2] == first
    assert drawn(seed=1) != first
    assert first[0] != first[1]


def test_epochs_of_a_fit_that_continues_are_those_of_a_longer_one():
    fit = prepared(Draws, GIVEN, max_epochs=1, batch_size=64, warm_start=True)
    run_epochs(fit)
    run_epochs(prepared(Draws, GIVEN, state=fit.state, max_epochs=2, batch_size=64, warm_start=True))
    assert fit.model.module.drawn == drawn(max_epochs=3)


# ------------------------------------------------------------ the order of things


class Sees(Observer):
    """What the state says when an epoch is recorded and when it ends."""

    foreign = True

    def __init__(self):
        self.seen = []

    def epoch_recorded(self, fit, row):
        self.seen.append(("recorded", len(fit.state.rows), fit.state.epoch, fit.state.best_epoch))

    def epoch_end(self, fit, row):
        self.seen.append(("end", len(fit.state.rows), fit.state.epoch, fit.state.last.differs(fit.model.module)))


def test_an_epoch_counts_before_it_is_told_of():
    observer = Sees()
    rows_of(observers=[observer], max_epochs=2)
    assert observer.seen == [
        ("recorded", 1, 1, 1),
        ("end", 1, 1, False),
        ("recorded", 2, 2, 2),
        ("end", 2, 2, False),
    ]


def test_every_observer_hears_of_an_epoch_at_which_one_stops():
    log = []
    rows_of(observers=[Heard("a", log, stop_after=1), Heard("b", log)], max_epochs=5)
    assert log[-2:] == [("a", "epoch_end 1"), ("b", "epoch_end 1")]


class Asks(Observer):
    def epoch_begin(self, fit, epoch):
        fit.interrupts.stop_requested = epoch == 2


def test_a_stop_that_was_asked_for_during_an_epoch_takes_effect_at_its_end():
    assert len(rows_of(observers=[Asks()], max_epochs=5)[1]) == 2


def test_the_schedule_steps_after_the_observers():
    class Rates(Observer):
        foreign = False
        seen = []  # noqa: RUF012

        def epoch_end(self, fit, row):
            self.seen.append(fit.state.optimizer.param_groups[0]["lr"])

    scheduler = {"lr_scheduler": torch.optim.lr_scheduler.ExponentialLR, "lr_scheduler__gamma": 0.5}
    rows_of(observers=[Rates()], lr=0.5, max_epochs=2, **scheduler)
    assert Rates.seen == [0.5, 0.25]


class Validation(BatchObserver):
    def __init__(self):
        self.heard = []

    def batch_begin(self, fit, batch, training):
        if not training:
            self.heard.append(("begin", len(batch[0])))

    def batch_end(self, fit, batch, outcome, training):
        if not training:
            loss, output = outcome
            expected = nn.functional.cross_entropy(output, batch[1])
            self.heard.append(("end", bool(torch.isclose(loss, expected))))


def test_observers_of_batches_hear_of_the_validation_set_too():
    observer = Validation()
    rows_of(observers=[observer], validation=HELD_OUT)
    assert observer.heard == [("begin", 7), ("end", True)]


class SameMemory(Doubles):
    """Returns its outputs in one buffer, which every batch of that size overwrites."""

    def forward(self, X):
        output = super().forward(X)
        return self.__dict__.setdefault(f"buffer of {len(X)}", output.detach().clone()).detach_().copy_(output)


class InOneNumber(nn.CrossEntropyLoss):
    """Returns every loss in the same memory, and empties the outputs."""

    def forward(self, z, targets):
        loss = super().forward(z, targets)
        if not z.requires_grad:
            z.zero_()
        return self.__dict__.setdefault("loss", loss.detach().clone()).detach_().copy_(loss)


class Outputs(BatchObserver):
    """Keeps what it hears of the validation set."""

    def __init__(self):
        self.kept = []

    def batch_end(self, fit, batch, outcome, training):
        if not training:
            self.kept.append(outcome)


def test_chunks_of_the_validation_set_whose_results_share_memory_are_told_apart(monkeypatch):
    monkeypatch.setattr("sktorch_acc.engine.evaluate.CHUNK_ROWS", 2)
    heard, losses = [], []
    for module, criterion in ((SameMemory, InOneNumber), (Doubles, nn.CrossEntropyLoss)):
        observer = Outputs()
        _, [row] = rows_of(module, validation=HELD_OUT, criterion=criterion, output="logits", observers=[observer])
        heard.append(observer.kept)
        losses.append(row.values["valid_loss"])
    assert losses[0] == losses[1]
    for shared, own in zip(*heard, strict=True):
        assert torch.equal(shared[0], own[0])
        assert torch.equal(shared[1], own[1])


# ------------------------------------------------------------ what is not finite


class Breaks(nn.Module):
    """Returns NaN in evaluation mode, for one row, from its second epoch on."""

    def __init__(self, n_features, n_classes, value=math.nan):
        super().__init__()
        self.layer, self.value, self.steps = nn.Linear(n_features, n_classes, dtype=torch.float64), value, 0

    def forward(self, X):
        self.steps += self.training
        z = self.layer(X)
        if not self.training and self.steps > 4:
            z = z.index_fill(0, torch.tensor([3]), self.value)
        return z


def test_nan_in_one_row_ends_the_fit_and_names_the_epoch():
    fit = prepared(Breaks, GIVEN, max_epochs=3, batch_size=6)
    with pytest.raises(NonFiniteLossError, match="The module returns NaN in epoch 2") as caught:
        run_epochs(fit)
    assert caught.value.code == "ACC-F3"
    assert [row.epoch for row in fit.rows] == [1]


def test_nan_in_one_row_of_the_validation_set_ends_the_fit_too():
    fit = prepared(Breaks, GIVEN, HELD_OUT, max_epochs=3, batch_size=6, train_accuracy=None)
    with pytest.raises(NonFiniteLossError, match="The module returns NaN in epoch 2"):
        run_epochs(fit)


def test_an_infinite_output_has_a_class_and_ends_no_epoch():
    fit, rows = rows_of(Breaks, max_epochs=2, module__value=math.inf)
    assert len(rows) == 2
    assert rows[1].counts["train_acc"][1].sum() == 20
    assert fit.state.epoch == 2


def test_weights_that_end_not_finite_end_the_fit_and_large_finite_ones_do_not():
    class Sets(Observer):
        def __init__(self, value):
            self.value = value

        def epoch_end(self, fit, row):
            with torch.no_grad():
                fit.model.module.weight.fill_(self.value)

    rows_of(observers=[Sets(1e308)])  # their sum is infinite
    for value in (math.nan, math.inf):
        with pytest.raises(NonFiniteLossError, match="Weights became NaN or infinite in epoch 1"):
            rows_of(observers=[Sets(value)])


@pytest.mark.parametrize(("scale", "cause"), [(1.0, r"lr=0\.5 is likely too high: try 0\.01"), (1e3, "StandardScaler")])
def test_the_likely_cause_is_named(scale, cause):
    given = examples(table(20, dtype="float64") * scale, classes(20, 3), n_classes=3)
    fit = prepared(Breaks, given, max_epochs=3, batch_size=6, lr=0.5)
    with pytest.raises(NonFiniteLossError, match=cause):
        run_epochs(fit)


# ------------------------------------------------------------ counting


def test_correct_predictions_are_counted_in_evaluation_mode():
    fit = prepared(lambda: nn.Sequential(Doubles(3, 3), nn.Dropout(0.9)), GIVEN)
    fit.model.module.train()
    counter = count_correct(fit, GIVEN)
    right = outputs(SimpleNamespace(model=fit.model), GIVEN).argmax(1) == GIVEN.targets
    assert counter.correct.sum() == int(right.sum())
    assert not fit.model.module.training
