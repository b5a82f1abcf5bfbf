"""The loss of all validation samples, against one call of the criterion on all of them."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from sktorch_acc import AccuracyWarning, TorchClassifier
from sktorch_acc.engine.loop import run_epochs
from sktorch_acc.engine.observer import BatchObserver
from tests.fits import classes, examples, prepared, table

STILL = {"optimizer": torch.optim.SGD, "lr": 1e-300, "max_epochs": 1}
WEIGHT = torch.tensor([1.0, 7.0, 0.25])


class Doubles(nn.Linear):
    def __init__(self, n_features, n_outputs):
        super().__init__(n_features, n_outputs, dtype=torch.float64)


class Members(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.first, self.second = Doubles(n_features, n_classes), Doubles(n_features, n_classes)

    def forward(self, X):
        return torch.stack([self.first(X), self.second(X)], dim=1)


class LogSoftmax(Doubles):
    def forward(self, X):
        return super().forward(X).log_softmax(dim=1)


class Sigmoid(Doubles):
    def forward(self, X):
        return super().forward(X).sigmoid()


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr("sktorch_acc.engine.evaluate.CHUNK_ROWS", 4)


def given(n=20, n_classes=3, weights=None, order=None):
    y = np.sort(classes(n, n_classes)) if order is None else np.sort(classes(n, n_classes))[order]
    X = table(n, dtype="float64") if order is None else table(n, dtype="float64")[order]
    return examples(X, y, n_classes=n_classes, weights=weights if weights is None or order is None else weights[order])


def valid_loss(module, criterion, *, n_classes=3, weights=None, order=None, observers=(), n=20, **settings):
    """Return the recorded loss, and the outputs and targets of all validation samples."""
    validation = given(n, n_classes, weights, order)
    training = given(20, n_classes, None if weights is None else np.ones(20))
    parameters = {**STILL, "batch_size": 20, "criterion": criterion, **settings}
    fit = prepared(module, training, validation, observers=observers, **parameters)
    run_epochs(fit)
    with torch.no_grad():
        return fit.rows[0].values["valid_loss"], fit.model.module(validation.rows.source), validation.targets


ADDITIVE = {
    "class weights": (Doubles, nn.CrossEntropyLoss, {"weight": WEIGHT}),
    "smoothing": (Doubles, nn.CrossEntropyLoss, {"weight": WEIGHT, "label_smoothing": 0.2}),
    "a class of weight 0": (Doubles, nn.CrossEntropyLoss, {"weight": torch.tensor([0.0, 1.0, 2.0])}),
    "smoothing and a class of weight 0": (
        Doubles,
        nn.CrossEntropyLoss,
        {"weight": torch.tensor([0.0, 1.0, 2.0]), "label_smoothing": 0.2},
    ),
    "an ignored class": (Doubles, nn.CrossEntropyLoss, {"ignore_index": 0}),
    "an ignored class and smoothing": (Doubles, nn.CrossEntropyLoss, {"ignore_index": 0, "label_smoothing": 0.2}),
    "a sum": (Doubles, nn.CrossEntropyLoss, {"reduction": "sum", "weight": WEIGHT}),
    "a sum with an ignored class": (Doubles, nn.CrossEntropyLoss, {"reduction": "sum", "ignore_index": 0}),
    "log-probabilities": (LogSoftmax, nn.NLLLoss, {"weight": WEIGHT}),
    "ignored log-probabilities": (LogSoftmax, nn.NLLLoss, {"ignore_index": 2}),
    "margins": (Doubles, nn.MultiMarginLoss, {"weight": WEIGHT}),
    "one column": (Doubles, nn.BCEWithLogitsLoss, {"pos_weight": torch.tensor([5.0])}),
    "a sum of one column": (Doubles, nn.BCEWithLogitsLoss, {"pos_weight": torch.tensor([5.0]), "reduction": "sum"}),
    "probabilities": (Sigmoid, nn.BCELoss, {}),
}


def settings_of(case):
    module, criterion, options = ADDITIVE[case]
    nested = {f"criterion__{name}": value for name, value in options.items()}
    if criterion is nn.MultiMarginLoss:
        nested["output"] = "logits"
    return module, criterion, options, nested, 2 if criterion in (nn.BCEWithLogitsLoss, nn.BCELoss) else 3


def as_targets(criterion, targets):
    one_column = isinstance(criterion, (nn.BCEWithLogitsLoss, nn.BCELoss))
    return targets.to(torch.float64)[:, None] if one_column else targets


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("case", ADDITIVE)
def test_it_is_that_of_one_call_whatever_the_chunks_and_their_order(case, shuffled):
    module, criterion, options, nested, n_classes = settings_of(case)
    order = np.random.default_rng(1).permutation(20) if shuffled else None
    loss, z, targets = valid_loss(module, criterion, n_classes=n_classes, order=order, **nested)
    whole = criterion(**options).double()
    assert loss == pytest.approx(float(whole(z, as_targets(whole, targets))), rel=1e-12)


@pytest.mark.parametrize("case", [case for case in ADDITIVE if ADDITIVE[case][0] is not Sigmoid])
def test_it_is_the_weighted_loss_of_all_samples_with_weights(case):
    module, criterion, options, nested, n_classes = settings_of(case)
    weights = np.where(np.arange(20) < 9, 0.0, np.arange(20) + 1.0)  # chunks without a sample that weighs
    loss, z, targets = valid_loss(module, criterion, n_classes=n_classes, weights=weights, **nested)
    unreduced = criterion(**{**options, "reduction": "none"}).double()
    w = torch.tensor(weights)
    losses = unreduced(z, as_targets(unreduced, targets)).reshape(20)
    by_class = torch.ones(n_classes).double()
    if criterion in (nn.CrossEntropyLoss, nn.NLLLoss):
        by_class = options.get("weight", by_class).double()
    counted = w * by_class[targets] * (targets != options.get("ignore_index", -100))
    expected = (w * losses).sum() / (1 if options.get("reduction") == "sum" else counted.sum())
    assert loss == pytest.approx(float(expected), rel=1e-12)


def test_a_float32_module_has_it_to_six_digits():
    class Floats(nn.Linear):
        pass

    X, y = table(900, 3), np.sort(classes(900, 3))
    clf = TorchClassifier(Floats, criterion__weight=WEIGHT, max_epochs=1, random_state=0)
    clf.fit(table(30), classes(30, 3), X_val=X, y_val=y)
    with torch.no_grad():
        expected = nn.CrossEntropyLoss(WEIGHT)(clf.module_(torch.from_numpy(X)), torch.from_numpy(y))
    assert clf.history_["valid_loss"].iloc[0] == pytest.approx(float(expected), rel=1e-6)


def test_the_members_of_an_ensemble_count_alike():
    loss, z, targets = valid_loss(Members, nn.CrossEntropyLoss, criterion__weight=WEIGHT)
    whole = nn.CrossEntropyLoss(WEIGHT.double())
    assert loss == pytest.approx(float(whole(z.flatten(0, 1), targets.repeat_interleave(2))), rel=1e-12)


class Distances(nn.Module):
    """Compares samples: no sum over parts gives its value."""

    reduction = "mean"

    def forward(self, output, target):
        return torch.cdist(output, output).mean() + nn.functional.cross_entropy(output, target)


class Overridden(nn.CrossEntropyLoss):
    def forward(self, output, target):
        return super().forward(output, target) * output.std()


@pytest.mark.parametrize("criterion", [Distances, Overridden])
def test_a_criterion_that_is_not_known_is_called_once_on_all_outputs(criterion):
    loss, z, targets = valid_loss(Doubles, criterion, output="logits")
    assert loss == float(criterion()(z, targets))


class Losses(nn.Module):
    """One number per sample; with weights they are put together by the library."""

    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction = reduction

    def forward(self, output, target):
        losses = nn.functional.cross_entropy(output, target, reduction="none")
        return losses if self.reduction == "none" else losses.mean()


def test_a_weighted_criterion_that_is_not_known_is_called_once_too():
    weights = np.where(np.arange(20) < 9, 0.0, np.arange(20) + 1.0)
    loss, z, targets = valid_loss(Doubles, Losses, weights=weights, output="logits")
    losses = nn.functional.cross_entropy(z, targets, reduction="none")
    assert loss == pytest.approx(float((losses * torch.tensor(weights)).sum() / weights.sum()), rel=1e-12)


def test_outputs_too_large_to_collect_are_weighted_by_samples_with_a_remark(monkeypatch):
    monkeypatch.setattr("sktorch_acc.engine.validation.MOST_COLLECTED", 18 * 3 * 8 - 1)
    with pytest.warns(AccuracyWarning, match="valid_loss is the mean over chunks") as caught:
        loss, z, targets = valid_loss(Doubles, Distances, output="logits", max_epochs=3, n=18)
    assert len(caught) == 1
    parts = [(4, Distances()(z[i : i + 4], targets[i : i + 4])) for i in range(0, 16, 4)]
    parts.append((2, Distances()(z[16:], targets[16:])))
    assert loss == pytest.approx(sum(n * float(part) for n, part in parts) / 18, rel=1e-12)


def test_one_chunk_is_never_too_large(monkeypatch):
    monkeypatch.setattr("sktorch_acc.engine.evaluate.CHUNK_ROWS", 2048)
    monkeypatch.setattr("sktorch_acc.engine.validation.MOST_COLLECTED", 1)
    loss, z, targets = valid_loss(Doubles, Distances, output="logits")
    assert loss == float(Distances()(z, targets))


class Hears(BatchObserver):
    hears_batches = True

    def __init__(self):
        self.losses = []

    def batch_end(self, fit, batch, outcome, training):
        if not training:
            self.losses.append(float(outcome[0]))


@pytest.mark.parametrize(("criterion", "ignored"), [(nn.CrossEntropyLoss, 0), (Distances, None)])
def test_an_observer_hears_the_loss_of_each_chunk(criterion, ignored):
    heard = Hears()
    nested = {"output": "logits"} if ignored is None else {"criterion__ignore_index": ignored}
    loss, z, targets = valid_loss(Doubles, criterion, observers=[heard], **nested)
    alone, _, _ = valid_loss(Doubles, criterion, **nested)
    assert loss == alone
    whole = criterion() if ignored is None else criterion(ignore_index=ignored)
    expected = [float(whole(z[i : i + 4], targets[i : i + 4])) for i in range(0, 20, 4)]
    assert heard.losses == [0.0 if math.isnan(value) else value for value in expected]
    assert ignored is None or heard.losses[0] == 0


class Counts(nn.Module):
    """A criterion whose later values depend on how often it was called."""

    def __init__(self, reduction="mean"):
        super().__init__()
        self.reduction = reduction
        self.register_buffer("calls", torch.zeros((), dtype=torch.float64))
        self.seen = []

    def forward(self, output, target):
        self.calls += 1
        self.seen.append(len(output))
        scale = 1 + 0.1 * self.calls + torch.rand(())
        return scale * nn.functional.cross_entropy(output, target, reduction=self.reduction)


@pytest.mark.parametrize("weights", [None, np.arange(20) + 1.0])
def test_an_observer_changes_nothing_of_a_criterion_that_has_a_state(weights):
    ends = []
    for observers in ([], [Hears()]):
        training = given(20, 3, None if weights is None else weights[::-1].copy())
        validation = given(20, 3, weights)
        parameters = {"batch_size": 7, "criterion": Counts, "output": "logits", "max_epochs": 3, "random_state": 0}
        fit = prepared(Doubles, training, validation, observers=observers, **parameters)
        torch.manual_seed(0)
        run_epochs(fit)
        values = [(row.values["train_loss"], row.values["valid_loss"]) for row in fit.rows]
        ends.append((values, int(fit.loss.per_sample.calls), fit.loss.per_sample.seen))
    assert ends[0] == ends[1]


HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("nested", [{}, {"weight": WEIGHT}, {"ignore_index": 0}], ids=["plain", "weights", "ignores"])
def test_the_order_of_the_samples_is_nothing_to_outputs_of_half_precision(dtype, weighted, reduction, nested):
    class Half(nn.Linear):
        def forward(self, X):
            return super().forward(X).to(HALVES[dtype])

    X, y = table(3000, 3), np.sort(classes(3000, 3))
    order = np.random.default_rng(0).permutation(3000)
    nested = {f"criterion__{name}": value for name, value in nested.items()} | {"criterion__reduction": reduction}
    losses = []
    for chosen in (np.arange(3000), order):
        clf = TorchClassifier(Half, lr=1e-30, max_epochs=1, random_state=0, diagnose="off", **nested)
        clf.set_params(class_weight={0: 1, 1: 2, 2: 4} if weighted else None)
        clf.fit(X[:30], y[::100], X_val=X[chosen], y_val=y[chosen])
        losses.append(clf.history_["valid_loss"].iloc[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-12)
    unreduced = nn.CrossEntropyLoss(
        nested.get("criterion__weight"), ignore_index=nested.get("criterion__ignore_index", -100), reduction="none"
    ).to(HALVES[dtype])
    with torch.no_grad():
        each = unreduced(clf.module_(torch.from_numpy(X)), torch.from_numpy(y)).double()
    w = torch.tensor([1.0, 2.0, 4.0] if weighted else [1.0] * 3).double()[torch.from_numpy(y)]
    by_class = nested.get("criterion__weight", torch.ones(3)).double()[torch.from_numpy(y)]
    shares = {"mean": w * by_class * torch.from_numpy(y != nested.get("criterion__ignore_index", -100)), "none": w}
    divisor = 1 if reduction == "sum" else shares[reduction].sum()
    assert losses[0] == pytest.approx(float((w * each).sum() / divisor), rel=1e-9)


def test_a_criterion_that_says_nothing_of_its_values_per_sample_is_averaged():
    class SaysNothing(nn.Module):
        def forward(self, output, target):
            return nn.functional.cross_entropy(output, target, reduction="none")

    ends = [
        TorchClassifier(Doubles, criterion=criterion, output="logits", max_epochs=2, batch_size=7, random_state=0).fit(
            table(30, dtype="float64"), classes(30, 3), X_val=table(20, dtype="float64"), y_val=classes(20, 3)
        )
        for criterion in (SaysNothing, nn.CrossEntropyLoss)
    ]
    for column in ("train_loss", "valid_loss"):
        assert ends[0].history_[column].to_numpy() == pytest.approx(ends[1].history_[column].to_numpy(), rel=1e-12)


def test_samples_of_weight_0_are_not_shown_to_a_criterion_that_compares_samples():
    class Pairs(nn.Module):
        def __init__(self, reduction="mean"):
            super().__init__()
            self.reduction = reduction

        def forward(self, output, target):
            losses = torch.cdist(output, output).mean(dim=1)
            return losses if self.reduction == "none" else losses.mean()

    weights = np.where(np.arange(20) < 9, 0.0, np.arange(20) + 1.0)
    loss, z, _ = valid_loss(Doubles, Pairs, weights=weights, output="logits")
    losses, w = torch.cdist(z[9:], z[9:]).mean(dim=1), torch.tensor(weights[9:])
    assert loss == pytest.approx(float((w * losses).sum() / w.sum()), rel=1e-12)


def test_the_best_epoch_is_that_of_the_loss_as_the_criterion_defines_it():
    """With the same samples in one chunk and in many, early stopping takes the same epochs and weights."""
    X, y = table(60, 4), np.sort(classes(60, 3))
    weight = torch.tensor([1.0, 30.0, 0.1])
    ends = []
    for size in (4, 2048):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sktorch_acc.engine.evaluate.CHUNK_ROWS", size)
            clf = TorchClassifier(
                criterion__weight=weight,
                lr=0.05,
                max_epochs=40,
                early_stopping=True,
                n_iter_no_change=3,
                random_state=0,
            )
            ends.append(clf.fit(X, y, X_val=table(60, 4)[::-1].copy(), y_val=y))
    assert ends[0].best_epoch_ == ends[1].best_epoch_
    assert ends[0].history_["valid_loss"].to_numpy() == pytest.approx(ends[1].history_["valid_loss"], rel=1e-6)


# ------------------------------------------------------------ no sample that counts

X, Y = table(40), np.repeat([0, 1, 2], [20, 10, 10])
UNCOUNTED = {"criterion__ignore_index": 2}


def test_a_loss_of_no_sample_has_no_value_and_says_so():
    clf = TorchClassifier(max_epochs=2, random_state=0, **UNCOUNTED)
    with pytest.warns(AccuracyWarning, match="valid_loss has no value: each of the 10 samples") as caught:
        clf.fit(X, Y, X_val=X[30:], y_val=Y[30:])
    assert len(caught) == 1
    assert clf.history_["valid_loss"].isna().all()
    assert clf.history_["valid_acc"].notna().all()


@pytest.mark.parametrize("settings", [{"early_stopping": True}, {"lr_scheduler": "plateau"}])
def test_a_loss_of_no_sample_decides_nothing(settings):
    clf = TorchClassifier(max_epochs=2, **UNCOUNTED, **settings)
    with pytest.raises(ValueError, match="Nothing says which epoch is best"):
        clf.fit(X, Y, X_val=X[30:], y_val=Y[30:])


def test_an_accuracy_of_these_samples_may_decide():
    clf = TorchClassifier(max_epochs=2, early_stopping=True, monitor="valid_acc", **UNCOUNTED)
    with pytest.warns(AccuracyWarning, match="It is NaN in history_"):
        clf.fit(X, Y, X_val=X[30:], y_val=Y[30:])


@pytest.mark.parametrize("weigh_out", ["all weighted samples are held out", "no weighted sample is held out"])
def test_weights_on_one_side_of_the_hold_out_are_named(weigh_out):
    clf = TorchClassifier(max_epochs=1, validation_fraction=0.5, random_state=0)
    plain = TorchClassifier(max_epochs=1, validation_fraction=0.5, random_state=0).fit(X, Y)
    weights = np.zeros(40)
    fitted = _fitted_samples(plain)
    if weigh_out.startswith("all"):
        weights[~fitted] = 1 + np.arange(40)[~fitted]
        with pytest.raises(ValueError, match="were held out by validation_fraction"):
            clf.fit(X, Y, sample_weight=weights)
    else:
        weights[fitted] = 1 + np.arange(40)[fitted]
        with pytest.warns(AccuracyWarning, match="valid_loss has no value"):
            clf.fit(X, Y, sample_weight=weights)


def _fitted_samples(clf):
    """Which samples are fitted follows from the seed alone: those whose weight makes a fit possible."""
    fitted = np.zeros(40, dtype=bool)
    for i in range(40):
        weights = np.zeros(40)
        weights[i] = 1.0
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                TorchClassifier(max_epochs=1, validation_fraction=0.5, random_state=0).fit(X, Y, sample_weight=weights)
        except ValueError:
            continue
        fitted[i] = True
    assert fitted.sum() == clf.class_count_.sum()
    return fitted
