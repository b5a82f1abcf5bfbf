"""Promise 2: what `history_` says of the held epoch is what `score` says of the fitted rows, with ``==``."""

import copy

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_classification
from sklearn.metrics import accuracy_score, recall_score
from skorch.callbacks import Callback, Checkpoint, EarlyStopping
from torch import nn

from sktorch_acc import TorchClassifier
from sktorch_acc._global_state import split_seed
from sktorch_acc.data import stratified_holdout
from tests.modules import DropNorm, Ensemble, Floats, Images, LogProbabilities, OneLogit, OneProbability

N = 60
X, INDICES = make_classification(N, 6, n_informative=4, n_classes=3, random_state=0)
X = X.astype("float32")
Y = np.array(["fox", "cat", "dog"])[INDICES]
TWO = np.where(INDICES == 0, "no", "yes")


def assert_exact(clf, X, y):
    """Overall and per class, against the estimator and against scikit-learn."""
    row = clf.history_.loc[clf.best_epoch_]
    predicted = clf.predict(X)
    assert row["train_acc"] == clf.score(X, y) == accuracy_score(y, predicted)
    per_class = recall_score(y, predicted, labels=clf.classes_, average=None, zero_division=np.nan)
    recorded = row[[f"train_acc[{label}]" for label in clf.classes_]].to_numpy()
    assert np.array_equal(recorded, per_class, equal_nan=True)
    assert clf.class_count_.tolist() == [int((y == label).sum()) for label in clf.classes_]


def fitted_rows(clf, y):
    """The rows that a fit with `validation_fraction` kept, recomputed from the estimator's seed."""
    indices = np.searchsorted(clf.classes_, y)
    return stratified_holdout(indices, clf.validation_fraction, split_seed(clf._state.seed))[0]


WEIGHTS = np.random.default_rng(0).integers(0, 3, N).astype(float)
CASES = {
    "dropout and batch norm": (DropNorm, {}, Y),
    "weights, also 0": (DropNorm, {"sample_weight": WEIGHTS}, Y),
    "class weights": (DropNorm, {"class_weight": "balanced"}, Y),
    "one logit": (OneLogit, {"criterion": nn.BCEWithLogitsLoss}, TWO),
    "one flat logit": (OneLogit, {"criterion": nn.BCEWithLogitsLoss, "module__flat": True}, TWO),
    "one probability": (OneProbability, {"criterion": nn.BCELoss}, TWO),
    "log-probabilities": (LogProbabilities, {"criterion": nn.NLLLoss}, Y),
    "ensemble": (Ensemble, {}, Y),
    "ensemble of one logit": (Ensemble, {"criterion": nn.BCEWithLogitsLoss}, TWO),
    "a schedule": (DropNorm, {"lr_scheduler": "onecycle"}, Y),
    "sgd": (DropNorm, {"optimizer": torch.optim.SGD}, Y),
    "lbfgs": (DropNorm, {"optimizer": torch.optim.LBFGS, "max_epochs": 3}, Y),
}


@pytest.mark.parametrize("case", CASES)
def test_the_held_epoch_scores_what_was_recorded(case):
    module, settings, y = CASES[case]
    settings = dict(settings)
    fit = {"sample_weight": settings.pop("sample_weight")} if "sample_weight" in settings else {}
    clf = TorchClassifier(module, lr=0.05, random_state=0, **{"max_epochs": 6, "batch_size": 16, **settings})
    assert_exact(clf.fit(X, y, **fit), X, y)


@pytest.mark.parametrize("batch_size", [1, 7, N - 1, N, N + 1])
@pytest.mark.filterwarnings("ignore:.*Every batch is one row:sktorch_acc.AccuracyWarning")
def test_no_batch_size_changes_that(batch_size):
    clf = TorchClassifier(DropNorm, lr=0.02, max_epochs=3, batch_size=batch_size, random_state=1)
    assert_exact(clf.fit(X, Y), X, Y)


@pytest.mark.parametrize("monitor", ["valid_loss", "valid_acc", "valid_acc[cat]", "train_acc"])
def test_early_stopping_by_fraction_holds_the_best_epoch(monitor):
    clf = TorchClassifier(
        DropNorm,
        lr=0.1,
        max_epochs=40,
        batch_size=16,
        validation_fraction=0.25,
        early_stopping=True,
        n_iter_no_change=4,
        monitor=monitor,
        random_state=0,
    ).fit(X, Y)
    kept = fitted_rows(clf, Y)
    assert clf.class_count_.sum() == 45
    assert_exact(clf, X[kept], Y[kept])
    values = clf.history_[monitor]
    best = values.idxmin() if "loss" in monitor else values.idxmax()
    assert clf.best_epoch_ == best < clf.n_iter_
    held = np.setdiff1d(np.arange(N), kept)
    assert clf.history_.loc[best, "valid_acc"] == clf.score(X[held], Y[held])


def test_early_stopping_by_given_rows_trains_on_every_row():
    clf = TorchClassifier(DropNorm, lr=0.1, max_epochs=40, early_stopping=True, n_iter_no_change=4, random_state=0)
    clf.fit(X, Y, X_val=X[:20], y_val=Y[:20])
    assert_exact(clf, X, Y)
    row = clf.history_.loc[clf.best_epoch_]
    assert row["valid_acc"] == clf.score(X[:20], Y[:20])
    assert row["valid_acc[dog]"] == np.mean(clf.predict(X[:20])[Y[:20] == "dog"] == "dog")


def test_a_callback_that_restores_weights_is_noticed_by_its_best_epoch():
    stop = EarlyStopping(monitor="train_loss", patience=3, load_best=True)
    clf = TorchClassifier(DropNorm, lr=0.5, max_epochs=60, batch_size=16, callbacks=[stop], random_state=0).fit(X, Y)
    assert clf.best_epoch_ == clf.callbacks_[0][1].best_epoch_ < clf.n_iter_ < 60
    assert_exact(clf, X, Y)


def test_a_callback_that_restores_weights_is_noticed_by_the_weights(tmp_path):
    keep = Checkpoint(monitor="train_loss_best", dirname=tmp_path, load_best=True)
    clf = TorchClassifier(DropNorm, lr=0.5, max_epochs=12, batch_size=16, callbacks=[keep], random_state=0).fit(X, Y)
    assert clf.best_epoch_ == clf.history_["train_loss"].idxmin() < clf.n_iter_
    assert_exact(clf, X, Y)


def test_weights_of_an_epoch_of_an_earlier_fit_are_recognised_too(tmp_path):
    keep = Checkpoint(monitor="train_loss_best", dirname=tmp_path, load_best=True)
    clf = TorchClassifier(
        DropNorm, max_epochs=4, callbacks=[keep], warm_start=True, lr=0.05, batch_size=16, random_state=0
    ).fit(X, Y)
    clf.set_params(lr=50.0).fit(X, Y)
    assert clf.n_iter_ == 8
    assert clf.best_epoch_ <= 4
    assert_exact(clf, X, Y)


class Reloads(Callback):
    """Bring back the weights of epoch 2 when epoch 4 is recorded."""

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 2:
            self.kept_ = copy.deepcopy(net.module_.state_dict())
        if len(net.history) == 4:
            net.module_.load_state_dict(self.kept_)


def test_weights_that_come_back_at_an_epochs_end_are_recognised():
    clf = TorchClassifier(DropNorm, max_epochs=4, callbacks=[Reloads], lr=0.05, random_state=0).fit(X, Y)
    assert clf.best_epoch_ == 2
    assert_exact(clf, X, Y)


class BringsBack(Callback):
    """Bring back the weights of epoch 2, which are those of epoch 1, and name an epoch as the best."""

    def __init__(self, named):
        self.named = named

    def on_epoch_end(self, net, **kwargs):
        if len(net.history) == 1:
            self.first_ = copy.deepcopy(net.module_.state_dict())
        if len(net.history) == 2:
            self.second_ = copy.deepcopy(net.module_.state_dict())

    def on_train_end(self, net, **kwargs):
        net.module_.load_state_dict(self.second_)
        if self.named is not None:
            self.best_epoch_ = self.named


@pytest.mark.parametrize(("named", "expected"), [(1, 1), (2, 2), (None, 2), (3, 2)])
def test_of_epochs_with_equal_weights_the_one_that_a_callback_names_is_the_best(named, expected):
    clf = TorchClassifier(
        Floats,
        max_epochs=4,
        lr=0.05,
        lr_scheduler=torch.optim.lr_scheduler.LambdaLR,
        lr_scheduler__lr_lambda=lambda epoch: 0.0 if epoch == 1 else 1.0,  # nothing moves in epoch 2
        callbacks=[BringsBack(named)],
        random_state=0,
    ).fit(X, Y)
    callback = clf.callbacks_[0][1]
    assert all(torch.equal(value, callback.second_[name]) for name, value in callback.first_.items())
    assert clf.n_iter_ == 4
    assert clf.best_epoch_ == expected
    assert_exact(clf, X, Y)


class Averages(Callback):
    """Put another module in the place of the trained one, as weight averaging does."""

    def __init__(self, at_end=True):
        self.at_end = at_end

    def _replace(self, net):
        module = copy.deepcopy(net.module_)
        for parameter in module.parameters():
            parameter.data.mul_(-1)
        net.module_ = module

    def on_epoch_end(self, net, **kwargs):
        if not self.at_end:
            self._replace(net)

    def on_train_end(self, net, **kwargs):
        if self.at_end:
            self._replace(net)


def test_a_module_that_is_replaced_is_noticed():
    with pytest.warns(UserWarning, match=r"ACC-E6.*to none of the recorded epochs"):
        TorchClassifier(max_epochs=2, callbacks=[Averages()], random_state=0).fit(X, Y)
    with pytest.raises(RuntimeError, match=r"replaced net\.module_ during training"):
        TorchClassifier(max_epochs=2, callbacks=[Averages(at_end=False)], random_state=0).fit(X, Y)


class KeepsState(nn.Module):
    """A running mean in a plain attribute, which no snapshot holds, or in a buffer, which one does."""

    def __init__(self, n_features, n_classes, buffer=False):
        super().__init__()
        self.layer = nn.Linear(n_features, n_classes)
        if buffer:
            self.register_buffer("shift", torch.zeros(n_classes))
        else:
            self.shift = torch.zeros(n_classes)

    def forward(self, X):
        z = self.layer(X)
        if self.training:
            self.shift = 0.5 * self.shift - 1.5 * z.detach().mean(0)
        return z + self.shift


def stopped(module, **settings):
    clf = TorchClassifier(
        module,
        max_epochs=40,
        lr=0.5,
        early_stopping=True,
        n_iter_no_change=4,
        random_state=0,
        batch_size=16,
        **settings,
    )
    return clf.fit(X, Y, X_val=X[:20], y_val=Y[:20])


def test_state_that_cannot_be_brought_back_is_named():
    with pytest.warns(UserWarning, match=r"ACC-E6.*register_buffer"):
        stopped(KeepsState)
    assert_exact(stopped(KeepsState, module__buffer=True), X, Y)


def test_a_buffer_that_grows_is_brought_back():
    class Grows(nn.Module):
        def __init__(self, n_features, n_classes):
            super().__init__()
            self.layer = nn.Linear(n_features, n_classes)
            self.register_buffer("seen", torch.zeros(0))

        def forward(self, X):
            if self.training:
                self.seen = torch.cat([self.seen, X.new_zeros(1)])
            return self.layer(X)

    clf = stopped(Grows)
    assert len(clf.module_.seen) == 4 * clf.best_epoch_ < 4 * clf.n_iter_
    assert_exact(clf, X, Y)


def test_a_buffer_of_nan_is_no_change():
    class Holds(DropNorm):
        def __init__(self, n_features, n_classes):
            super().__init__(n_features, n_classes)
            self.register_buffer("unknown", torch.full((2,), torch.nan))

    assert_exact(TorchClassifier(Holds, max_epochs=2).fit(X, Y), X, Y)


def test_autocast_around_fit_or_predict_changes_nothing():
    plain = TorchClassifier(DropNorm, max_epochs=3, random_state=0).fit(X, Y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        clf = TorchClassifier(DropNorm, max_epochs=3, random_state=0).fit(X, Y)
        inside = clf.predict_proba(X)
    assert np.array_equal(inside, plain.predict_proba(X))
    assert_exact(clf, X, Y)


@pytest.mark.parametrize("n_rows", [4096, 4097, 4098])
def test_a_chunk_never_holds_one_row_alone(n_rows):
    class NeedsTwo(nn.Module):
        def __init__(self, n_features, n_classes):
            super().__init__()
            self.layer = nn.Linear(n_features, n_classes)

        def forward(self, X):
            if len(X) < 2:
                raise ValueError("needs two rows")
            return self.layer(X)

    many, y = np.resize(X, (n_rows, 6)), np.resize(Y, n_rows)
    assert_exact(TorchClassifier(NeedsTwo, max_epochs=1, batch_size=1000).fit(many, y), many, y)


def test_weights_of_no_epoch_get_a_warning():
    class Halve(Callback):
        def on_train_end(self, net, **kwargs):
            with torch.no_grad():
                for parameter in net.module_.parameters():
                    parameter.mul_(0.5)

    with pytest.warns(UserWarning, match="ACC-E6.*to none of the recorded epochs"):
        TorchClassifier(max_epochs=2, callbacks=[Halve], random_state=0).fit(X, Y)


def test_images():
    digits = load_digits()
    images, y = digits.images[:200, None].astype("float32") / 16, digits.target[:200].astype(str)
    clf = TorchClassifier(Images, lr=0.02, max_epochs=3, batch_size=32, random_state=0).fit(images, y)
    assert_exact(clf, images, y)


def test_a_class_with_one_row():
    y = Y.copy()
    y[0] = "elk"
    clf = TorchClassifier(DropNorm, max_epochs=3, validation_fraction=0.2, random_state=0).fit(X, y)
    kept = fitted_rows(clf, y)
    assert_exact(clf, X[kept], y[kept])
    assert np.isnan(clf.history_["valid_acc[elk]"]).all()


def test_a_thousand_classes():
    rng = np.random.default_rng(0)
    many = rng.standard_normal((3000, 5)).astype("float32")
    y = np.arange(3000) % 1000
    clf = TorchClassifier(max_epochs=2, random_state=0).fit(many, y)
    assert_exact(clf, many, y)
    assert clf.history_.shape == (2, 5 + 2 * 1000)


@pytest.mark.parametrize(
    "settings", [{}, {"validation_fraction": 0.2}, {"module": LogProbabilities, "criterion": nn.NLLLoss}]
)
def test_with_weights_that_do_not_change_the_running_accuracy_is_the_exact_one(settings):
    clf = TorchClassifier(**settings, lr=1e-30, max_epochs=3, batch_size=7, random_state=0)
    clf.fit(X, Y)
    history = clf.history_
    for column in [c for c in history if c.startswith("train_acc_running")]:
        exact = history[column.replace("_running", "")]
        assert (history[column] == exact).all()


def test_history_is_never_rewritten():
    clf = TorchClassifier(DropNorm, max_epochs=3, warm_start=True, random_state=0).fit(X, Y)
    before = clf.history_.copy()
    clf.fit(X, Y)
    assert clf.history_.index.tolist() == [1, 2, 3, 4, 5, 6]
    assert clf.history_.iloc[:3].equals(before)
    assert_exact(clf, X, Y)
    clf.partial_fit(X[:30], Y[:30])
    assert_exact(clf, X[:30], Y[:30])


COLUMNS = {
    None: ["train_loss", "lr", "seconds"],
    "running": ["train_loss", "train_acc_running", "lr", "seconds", "train_acc_running[a]", "train_acc_running[b]"],
    "exact": [
        "train_loss",
        "train_acc",
        "train_acc_running",
        "lr",
        "seconds",
        "train_acc[a]",
        "train_acc[b]",
        "train_acc_running[a]",
        "train_acc_running[b]",
    ],
}


@pytest.mark.parametrize("mode", COLUMNS)
def test_the_columns_are_those_of_the_mode(mode):
    y = np.where(INDICES == 0, "a", "b")
    clf = TorchClassifier(max_epochs=2, train_accuracy=mode, random_state=0).fit(X, y)
    assert list(clf.history_) == COLUMNS[mode]
    assert clf.history_.index.name == "epoch"
    assert clf.loss_curve_ == clf.history_["train_loss"].tolist()


def test_a_validation_set_adds_its_columns():
    y = np.where(INDICES == 0, "a", "b")
    clf = TorchClassifier(max_epochs=2, train_accuracy="running", random_state=0)
    clf.fit(X, y, X_val=X, y_val=y)
    assert list(clf.history_)[:5] == ["train_loss", "train_acc_running", "valid_loss", "valid_acc", "lr"]
    assert list(clf.history_)[-2:] == ["valid_acc[a]", "valid_acc[b]"]
    silent = TorchClassifier(max_epochs=2, train_accuracy=None, random_state=0).fit(X, y, X_val=X, y_val=y)
    assert list(silent.history_) == ["train_loss", "valid_loss", "lr", "seconds"]


def test_the_training_loss_is_the_weighted_mean_of_the_batch_losses():
    clf = TorchClassifier(LogProbabilities, criterion=nn.NLLLoss, lr=1e-30, max_epochs=1, batch_size=16, random_state=0)
    clf.fit(X, Y)
    expected = -np.take_along_axis(clf.predict_log_proba(X), np.searchsorted(clf.classes_, Y)[:, None], 1).mean()
    assert clf.loss_curve_[0] == pytest.approx(expected, rel=1e-6)


def test_columns_keep_their_order_when_a_continued_fit_records_more():
    clf = TorchClassifier(max_epochs=1, train_accuracy=None, warm_start=True, random_state=0).fit(X, Y)
    clf.set_params(train_accuracy="exact").fit(X, Y)
    assert list(clf.history_)[:5] == ["train_loss", "train_acc", "train_acc_running", "lr", "seconds"]
    assert np.isnan(clf.history_.loc[1, "train_acc"])
