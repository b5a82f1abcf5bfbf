"""What is named as the cause of a loss that is not finite, and what batches without a loss do."""

import copy

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from sktorch_acc import ModuleOutputError, NonFiniteLossError, TorchClassifier
from tests.fits import table

X = table(60, 4)
SORTED = np.repeat([0, 1, 2], 20)
WITHOUT_CLASS_1 = {
    "weight 0": {"criterion__weight": torch.tensor([1.0, 0.0, 2.0])},
    "weight 0 and smoothing": {
        "criterion__weight": torch.tensor([1.0, 0.0, 2.0]),
        "criterion__label_smoothing": 0.1,
    },
    "ignored": {"criterion__ignore_index": 1},
}


class Net(nn.Module):
    """Normalises and drops: both are moved by forward passes in training mode."""

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, n_outputs)
        )

    def forward(self, X):
        return self.layers(X)


def classifier(module=Net, **settings):
    return TorchClassifier(module, **{"max_epochs": 3, "batch_size": 2, "random_state": 0, **settings})


# ------------------------------------------------------------ batches without a loss


@pytest.mark.parametrize("case", WITHOUT_CLASS_1)
def test_batches_without_counted_samples_do_not_end_a_fit(case):
    clf = classifier(**WITHOUT_CLASS_1[case]).fit(X, SORTED)
    assert np.isfinite(clf.history_["train_loss"]).all()
    assert clf.history_.loc[3, "train_acc"] == clf.score(X, SORTED)
    assert all(torch.isfinite(p).all() for p in clf.module_.parameters())


def test_samples_sorted_by_class_may_begin_with_an_ignored_one():
    clf = classifier(criterion__ignore_index=0, batch_size=16).fit(X, SORTED)
    assert np.isfinite(clf.history_["train_loss"]).all()


STEPS = {
    "lean": {},
    "observed": {"callbacks": [type("Quiet", (Callback,), {"on_batch_end": lambda self, net, **_: None})]},
    "closure": {"optimizer": torch.optim.LBFGS, "lr": 0.1},
}


@pytest.mark.parametrize("steps", STEPS)
def test_such_a_batch_takes_no_step(steps):
    """Batches of one class each: the weights are those of a fit whose optimizer never saw the ignored class."""
    taken = []

    class Counts(STEPS[steps].get("optimizer", torch.optim.SGD)):
        def step(self, closure=None):
            taken.append(1)
            return super().step(closure) if closure is not None else super().step()

    if steps == "closure":
        Counts.step = lambda self, closure: (taken.append(1), torch.optim.LBFGS.step(self, closure))[1]
    settings = {**STEPS[steps], "optimizer": Counts, "max_epochs": 2, "batch_size": 1}
    clf = classifier(nn.Linear, criterion__ignore_index=1, **settings).fit(X, SORTED)
    assert len(taken) == 2 * 40
    assert clf.history_["train_acc_running[1]"].notna().all()


def test_what_a_schedule_steps_after_each_step_it_does_not_step_for_such_a_batch():
    stepped = []

    class Counts(torch.optim.lr_scheduler.OneCycleLR):
        def step(self, epoch=None):
            stepped.append(1)
            super().step()

    settings = {"lr_scheduler": Counts, "lr_scheduler__max_lr": 0.1, "lr_scheduler__total_steps": 200}
    classifier(nn.Linear, criterion__ignore_index=1, batch_size=1, max_epochs=1, **settings).fit(X, SORTED)
    assert len(stepped) == 1 + 40  # and once when it is made


def test_recording_changes_no_bit_where_batches_have_no_loss():
    fits = [classifier(train_accuracy=mode, **WITHOUT_CLASS_1["weight 0"]).fit(X, SORTED) for mode in (None, "exact")]
    for one, other in zip(*(clf.module_.state_dict().values() for clf in fits), strict=True):
        assert torch.equal(one, other)
    assert fits[0].loss_curve_ == fits[1].loss_curve_


@pytest.mark.parametrize("case", WITHOUT_CLASS_1)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_recorded_loss_is_that_of_all_samples_as_the_criterion_defines_it(case, weighted):
    """Weights that do not move: the batches of an epoch give the loss of one call on all samples."""

    class Still(nn.Linear):
        def __init__(self, n_features, n_outputs):
            super().__init__(n_features, n_outputs, dtype=torch.float64)

    options = {name.removeprefix("criterion__"): value for name, value in WITHOUT_CLASS_1[case].items()}
    weights = np.arange(60) + 1.0 if weighted else None
    clf = classifier(Still, optimizer=torch.optim.SGD, lr=1e-300, max_epochs=1, batch_size=7, **WITHOUT_CLASS_1[case])
    clf.fit(X, SORTED, sample_weight=weights)
    with torch.no_grad():
        z = clf.module_(torch.from_numpy(X).double())
        losses = nn.CrossEntropyLoss(**options, reduction="none").double()(z, torch.from_numpy(SORTED)).numpy()
    counted = options.get("weight", torch.ones(3)).double().numpy()[SORTED] * (options.get("ignore_index") != SORTED)
    w = np.ones(60) if weights is None else weights
    expected = (w * losses).sum() / (w * counted).sum()
    assert clf.loss_curve_[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("batch_size", [7, 60])
def test_the_recorded_loss_of_a_criterion_that_sums_is_the_sum(batch_size):
    settings = {"optimizer": torch.optim.SGD, "lr": 1e-30, "max_epochs": 1, "criterion__reduction": "sum"}
    clf = classifier(nn.Linear, batch_size=batch_size, **settings).fit(X, SORTED)
    with torch.no_grad():
        whole = nn.CrossEntropyLoss(reduction="sum")(clf.module_(torch.from_numpy(X)), torch.from_numpy(SORTED))
    assert clf.loss_curve_[0] == pytest.approx(float(whole), rel=1e-6)


class HearsBatches(Callback):
    def __init__(self):
        self.begun, self.gradients, self.losses = 0, 0, []

    def on_batch_begin(self, net, training=False, **_):
        self.begun += training

    def on_grad_computed(self, net, **_):
        self.gradients += 1

    def on_batch_end(self, net, loss=None, y_pred=None, training=False, **_):
        if training:
            self.losses.append((len(y_pred), float(loss)))


def test_a_callback_hears_of_such_a_batch_but_not_of_gradients():
    clf = classifier(nn.Linear, criterion__ignore_index=1, batch_size=1, max_epochs=1, callbacks=[HearsBatches])
    [(_, heard)] = clf.fit(X, SORTED).callbacks_
    assert heard.begun == 60
    assert heard.gradients == 40
    assert sum(n for n, _ in heard.losses) == 60
    assert [loss for _, loss in heard.losses].count(0.0) == 20


@pytest.mark.parametrize("settings", [{"criterion__ignore_index": 0}, WITHOUT_CLASS_1["weight 0"]])
def test_a_fit_without_a_sample_that_counts_is_refused(settings):
    chosen = settings.get("criterion__ignore_index", 1) == SORTED
    clf = classifier(warm_start=True, **settings).fit(X, SORTED)
    before = copy.deepcopy(clf.module_.state_dict())
    with pytest.raises(ValueError, match="counts none of the 20 samples to train on"):
        clf.fit(X[chosen], SORTED[chosen])
    assert clf.n_iter_ == 3
    assert all(torch.equal(before[name], value) for name, value in clf.module_.state_dict().items())


@pytest.mark.parametrize("steps", ["lean", "observed"])
@pytest.mark.parametrize("settings", [{"criterion__ignore_index": 0}, WITHOUT_CLASS_1["weight 0"]])
def test_a_part_of_a_stream_without_a_sample_that_counts_moves_nothing(settings, steps):
    chosen = settings.get("criterion__ignore_index", 1) == SORTED
    settings = {**settings, **STEPS[steps], "lr_scheduler": "plateau"}
    clf = classifier(nn.Linear, **settings).partial_fit(X, SORTED, classes=[0, 1, 2])
    without = copy.deepcopy(clf).partial_fit(X, SORTED)
    before = copy.deepcopy(clf.module_.state_dict())
    clf.partial_fit(X[chosen], SORTED[chosen])
    assert all(torch.equal(before[name], value) for name, value in clf.module_.state_dict().items())
    assert clf.n_iter_ == 2
    assert np.isnan(clf.history_.loc[2, "train_loss"])
    assert clf.history_.loc[2, "train_acc"] == clf.score(X[chosen], SORTED[chosen])
    clf.partial_fit(X, SORTED)
    assert np.isfinite(clf.history_.loc[3, "train_loss"])
    assert clf.history_.loc[3, "lr"] == without.history_.loc[2, "lr"]


@pytest.mark.parametrize("settings", [{"criterion__ignore_index": 0}, WITHOUT_CLASS_1["weight 0"]])
def test_a_stream_may_begin_without_a_sample_that_counts(settings):
    chosen = settings.get("criterion__ignore_index", 1) == SORTED
    clf = classifier(**settings).partial_fit(X[chosen], SORTED[chosen], classes=[0, 1, 2])
    assert clf.n_iter_ == 1
    assert np.isfinite(clf.partial_fit(X, SORTED).history_.loc[2, "train_loss"])


def test_samples_of_weight_0_and_of_an_ignored_class_together_leave_none():
    clf = classifier(criterion__ignore_index=1)
    with pytest.raises(ValueError, match="counts none of the 20 samples to train on"):
        clf.fit(X, SORTED, sample_weight=(SORTED == 1) * np.linspace(1, 2, 60))


# ------------------------------------------------------------ the cause


class DividesByCounted(nn.Module):
    """A loss of one's own that ignores class 1."""

    def forward(self, output, target):
        counted = (target != 1).float()
        losses = nn.functional.cross_entropy(output, target, reduction="none")
        return (losses * counted).sum() / counted.sum()


def test_a_criterion_that_divides_0_by_0_is_named_and_not_the_learning_rate():
    clf = classifier(criterion=DividesByCounted, output="logits")
    with pytest.raises(NonFiniteLossError, match=r"only samples of \[1\], of which DividesByCounted is not") as caught:
        clf.fit(X, SORTED)
    assert caught.value.code == "ACC-F3"
    assert "lr=" not in str(caught.value)


def test_such_a_criterion_passes_on_samples_sorted_by_class_if_no_batch_is_of_that_class():
    order = np.argsort(SORTED != 1, kind="stable")
    clf = classifier(criterion=DividesByCounted, output="logits", batch_size=19, max_epochs=1)
    assert np.isfinite(clf.fit(X[order], SORTED[order]).loss_curve_).all()


class Explodes(nn.Module):
    def forward(self, output, target):
        return nn.functional.cross_entropy(output, target) * 1e30


def test_a_learning_rate_that_is_too_high_is_named_where_every_batch_has_a_loss():
    clf = classifier(nn.Linear, optimizer=torch.optim.SGD, lr=1e20, criterion=Explodes, output="logits")
    with pytest.raises(NonFiniteLossError, match=r"lr=1e\+20 is likely too high"):
        clf.fit(X, SORTED)


def test_a_learning_rate_that_is_too_high_is_named_with_a_criterion_that_ignores_too():
    class Both(DividesByCounted):
        def forward(self, output, target):
            return super().forward(output, target) * 1e30

    clf = classifier(nn.Linear, optimizer=torch.optim.SGD, lr=1e20, criterion=Both, output="logits", batch_size=30)
    with pytest.raises(NonFiniteLossError, match=r"lr=1e\+20 is likely too high"):
        clf.fit(X, SORTED)


class Overflows(nn.Linear):
    """Some outputs are not finite, whatever the weights: those of samples with a large first feature."""

    value, columns = torch.inf, [0]

    def forward(self, X):
        columns = torch.isin(torch.arange(3), torch.tensor(self.columns))
        return super().forward(X).masked_fill((X[:, :1] > 9) & columns, self.value)


class MasksAll(Overflows):
    value, columns = -torch.inf, [0, 1, 2]


class MasksOne(Overflows):
    value, columns = -torch.inf, [2]


class ReturnsNan(Overflows):
    value = torch.nan


def late(n=2):
    """A table whose last samples have outputs that are not finite; the probe does not see them."""
    large = X.copy()
    large[60 - n :, 0] = 10
    return large


@pytest.mark.parametrize("module", [Overflows, MasksAll, ReturnsNan])
@pytest.mark.parametrize("blocks", ["one block", "many blocks"])
@pytest.mark.parametrize("steps", ["lean", "observed"])
def test_outputs_that_are_not_finite_are_counted_and_the_learning_rate_is_not_blamed(
    module, blocks, steps, monkeypatch
):
    if blocks == "many blocks":
        monkeypatch.setattr("sktorch_acc.data.batches.BLOCK_ELEMENTS", 1)
    clf = classifier(module, batch_size=20, diagnose="off", **STEPS[steps])
    with pytest.raises(NonFiniteLossError, match=r"for [12] of the 20 samples of a batch\.") as caught:
        clf.fit(late(), SORTED)
    assert caught.value.code == "ACC-D5"
    assert "lr=" not in str(caught.value)


def test_samples_of_a_masked_class_are_counted():
    clf = classifier(MasksOne, batch_size=30, max_epochs=1, diagnose="off")
    with pytest.raises(NonFiniteLossError, match=r"[12] of the 30 samples of a batch have an infinite loss") as caught:
        clf.fit(late(), SORTED)
    assert "lr=" not in str(caught.value)


def test_nan_in_evaluation_mode_is_counted():
    class OnlyInEvaluation(ReturnsNan):
        def forward(self, X):
            return nn.Linear.forward(self, X) if self.training else super().forward(X)

    clf = classifier(OnlyInEvaluation, batch_size=20, diagnose="off")
    with pytest.raises(NonFiniteLossError, match=r"returns NaN for 2 of the 60 samples") as caught:
        clf.fit(late(), SORTED)
    assert caught.value.code == "ACC-D5"


@pytest.mark.parametrize("lr", [1e5, 1e15, 1e25, 1e38])
@pytest.mark.parametrize("module", [nn.Linear, Net])
def test_weights_that_grow_are_still_blamed_on_the_learning_rate(module, lr):
    clf = classifier(module, optimizer=torch.optim.SGD, lr=lr, criterion=Explodes, output="logits", diagnose="off")
    with pytest.raises(NonFiniteLossError, match="is likely too high") as caught:
        clf.fit(X, SORTED)
    assert caught.value.code == "ACC-F3"


class Sigmoid(nn.Linear):
    def forward(self, X):
        return super().forward(X).sigmoid()


class Clipped(nn.Linear):
    """Probabilities at first, of weights near 0."""

    def __init__(self, n_features, n_outputs):
        super().__init__(n_features, n_outputs)
        nn.init.zeros_(self.weight)
        nn.init.constant_(self.bias, 0.5)


TWO = SORTED % 2


def test_nan_under_a_loss_of_probabilities_is_a_loss_that_is_not_finite():
    """BCELoss raises a RuntimeError for NaN, "all elements of input should be between 0 and 1"."""
    clf = classifier(Sigmoid, criterion=nn.BCELoss, optimizer=torch.optim.SGD, lr=1e38, diagnose="off")
    with pytest.raises(NonFiniteLossError, match="The module returns NaN in epoch") as caught:
        clf.fit(X * 1e3, TWO)
    assert caught.value.code == "ACC-F3"
    assert not hasattr(clf, "classes_")


@pytest.mark.parametrize("steps", ["lean", "observed"])
def test_probabilities_that_drift_out_of_range_in_training_are_named_with_their_number(steps):
    clf = classifier(Clipped, criterion=nn.BCELoss, lr=1.0, batch_size=20, **STEPS[steps])
    with pytest.raises(
        ModuleOutputError, match=r"instead of probabilities in \[0, 1\] for \d+ of 20 samples"
    ) as caught:
        clf.fit(X, TWO)
    assert caught.value.code == "ACC-C4"
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_another_error_of_that_loss_is_raised_as_it_is():
    class Raises(nn.BCELoss):
        calls = 0

        def forward(self, output, target):
            type(self).calls += 1
            if self.calls > 2:
                raise RuntimeError("another")
            return super().forward(output, target)

    with pytest.raises(RuntimeError, match=r"^another$"):
        classifier(Sigmoid, criterion=Raises).fit(X, TWO)
