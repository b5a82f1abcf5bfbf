"""Where the checks inside `fit` begin to warn."""

import warnings

import numpy as np
import pytest
import torch
from torch import nn

from sktorch_acc import AccuracyWarning, SktorchAccError, TorchClassifier, diagnose
from sktorch_acc.observers import fit_checks


def answers_first(n_features, n_classes):
    """Predict the first class, whatever comes."""
    layer = nn.Linear(n_features, n_classes)
    nn.init.zeros_(layer.weight)
    layer.bias.data = torch.arange(n_classes, 0.0, -1)
    return layer


@pytest.mark.parametrize(
    ("class_sizes", "code"),
    [
        ([225, 75], "ACC-D7"),  # half way from 1/2 to 1
        ([224, 76], "ACC-F1"),
        ([200, 50, 50], "ACC-D7"),  # half way from 1/3 to 1
        ([199, 51, 50], "ACC-F1"),
        ([199, 100, 1], "ACC-F1"),
    ],
)
def test_a_share_from_half_way_between_chance_and_one_is_a_majority(class_sizes, code):
    X = np.random.default_rng(0).standard_normal((300, 4), dtype=np.float32)
    y = np.repeat(np.arange(len(class_sizes)), class_sizes)
    clf = TorchClassifier(answers_first, max_epochs=5, batch_size=30, lr=1e-9, random_state=0)
    with pytest.warns(AccuracyWarning) as caught:
        clf.fit(X, y)
    assert [warning.message.code for warning in caught] == [code]
    assert clf.history_["train_acc"].tolist() == [class_sizes[0] / 300] * 5


# ------------------------------------------------------------ modules that show only later what is wrong with them


class ZeroHead(nn.Module):
    """Something before a head that is zero before the training."""

    def __init__(self, n_features, n_classes, before):
        super().__init__()
        self.head, self.before, self.sizes = nn.Linear(n_features, n_classes), before, []
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, X):
        self.sizes.append(len(X))
        return self.head(self.before(X))


class Gated(nn.Module):
    """The mean of the batch, behind a gate that is zero before the training."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.head, self.gate = nn.Linear(n_features, n_classes), nn.Parameter(torch.zeros(()))

    def forward(self, X):
        return self.head(X + self.gate * X.mean(0))


X = np.random.default_rng(1).standard_normal((60, 4), dtype=np.float32) + 1
Y = X[:, :3].argmax(axis=1)


def codes_of_fit(module, copies=1, **settings):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clf = TorchClassifier(module, lr=0.05, **{"random_state": 0, **settings})
        clf.fit(np.tile(X, (copies, 1)), np.tile(Y, copies))
    return [warning.message.code for warning in caught], clf


@pytest.mark.parametrize(
    ("before", "code"),
    [(lambda X: nn.functional.dropout(X, 0.5), "ACC-E11"), (lambda X: X - X.mean(0), "ACC-B4")],
)
@pytest.mark.parametrize(("epochs", "batch_size", "reported"), [(5, 60, True), (4, 60, False), (1, 1, False)])
def test_a_zero_head_is_looked_at_again_after_the_training(before, code, epochs, batch_size, reported):
    codes, clf = codes_of_fit(ZeroHead, module__before=before, max_epochs=epochs, batch_size=batch_size)
    expected = [code] if reported or (batch_size == 1 and code == "ACC-E11") else []
    assert [found for found in codes if found != "ACC-F1"] == expected
    assert clf.module_.sizes[-1] == 60  # the pass that recorded the accuracy, not that of the check


@pytest.mark.parametrize(
    ("copies", "epochs", "batch_size", "reported"),
    [
        (1, 30, 15, True),  # 30 epochs and 120 steps
        (1, 29, 15, False),  # 29 and 116
        (10, 75, 600, True),  # 75 and 75
        (10, 74, 600, False),
        (1, 17, 2, False),  # 1,020 samples trained on
        (1, 18, 2, True),  # 1,080
    ],
)
def test_a_gate_that_opens_is_seen_where_the_fit_is_long_enough(copies, epochs, batch_size, reported):
    codes, clf = codes_of_fit(Gated, max_epochs=epochs, batch_size=batch_size, copies=copies)
    assert codes == (["ACC-B4"] if reported else [])
    assert clf.module_.gate != 0


class Attends(nn.Module):
    """Attention over the batch, behind a gate that is zero before the training."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layer, self.gate = nn.Linear(n_features, n_classes), nn.Parameter(torch.zeros(()))

    def forward(self, X):
        return self.layer(X) + self.gate * self.layer((X @ X.T / 4).softmax(1) @ X)


def test_a_gate_before_attention_over_the_batch_is_seen_after_160_steps():
    assert codes_of_fit(Attends, max_epochs=40, batch_size=15)[0] == ["ACC-B4"]


@pytest.mark.parametrize(("copies", "reported"), [(5, True), (4, False)])
def test_a_zero_head_is_looked_at_in_a_short_fit_of_many_samples(copies, reported):
    settings = {"module__before": lambda X: X - X.mean(0), "max_epochs": 4, "batch_size": 75, "copies": copies}
    assert codes_of_fit(ZeroHead, **settings)[0] == (["ACC-B4"] if reported else [])


@pytest.mark.parametrize("seed", range(10))
def test_what_is_random_now_and_then_behind_a_zero_head_is_seen_after_the_training(seed):
    def before(X):
        return X.flip(1) if torch.rand(()) < 0.25 else X

    codes = codes_of_fit(ZeroHead, module__before=before, max_epochs=10, batch_size=15, random_state=seed)[0]
    assert codes == ["ACC-E11"]


class Capacity(nn.Module):
    """Experts that leave out what is beyond their capacity, a share of the batch."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.gate = nn.Linear(n_features, 4)
        self.experts = nn.ModuleList(nn.Linear(n_features, n_classes) for _ in range(4))
        nn.init.constant_(self.gate.bias[:1], 2.0)  # one of them is chosen too often

    def forward(self, X):
        chosen, out = self.gate(X).argmax(1), torch.zeros(len(X), 3)
        for k, expert in enumerate(self.experts):
            mine = (chosen == k).nonzero()[: int(1.25 * len(X) / 4) + 1, 0]
            out = out.index_add(0, mine, expert(X[mine]))
        return out


@pytest.mark.parametrize("seed", range(10))
def test_samples_beyond_the_capacity_of_an_expert_are_an_influence(seed):
    settings = {"max_epochs": 40, "batch_size": 15, "random_state": seed}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            TorchClassifier(Capacity, lr=0.01, **settings).fit(X, Y)
            codes = [warning.message.code for warning in caught]
        except SktorchAccError as err:
            codes = [err.code]
    assert codes == ["ACC-B4"]
    torch.manual_seed(seed)
    assert "ACC-B4" in diagnose(Capacity(4, 3), torch.tensor(X), torch.tensor(Y)).codes


def test_a_right_module_with_a_zero_head_is_not_reported_and_weights_stay():
    codes, clf = codes_of_fit(ZeroHead, module__before=lambda X: X, max_epochs=60, batch_size=15)
    _, off = codes_of_fit(ZeroHead, module__before=lambda X: X, max_epochs=60, batch_size=15, diagnose="off")
    assert codes == []
    assert all(map(torch.equal, clf.module_.parameters(), off.module_.parameters()))
    assert clf.history_.drop(columns="seconds").equals(off.history_.drop(columns="seconds"))


def test_no_more_samples_are_run_together_than_in_predict(monkeypatch):
    sizes = []
    monkeypatch.setattr(fit_checks, "chunk_rows", lambda elements: 40 if elements == 4 else 0)
    module = nn.Linear(4, 3)
    module.register_forward_hook(lambda layer, args, output: sizes.append(len(args[0])))
    assert codes_of_fit(module, max_epochs=50, batch_size=15)[0] == []
    assert sizes[-4:] == [60, 40, 16, 16]


@pytest.mark.parametrize(
    ("copies", "settings", "sizes"),
    [
        (1, {"max_epochs": 50, "batch_size": 15}, [60, 16, 16]),  # all samples: 9,000 passes, of which 2 % are 180
        (1, {"max_epochs": 19, "batch_size": 2}, [36, 16, 16]),  # 3,420 passes, of which 2 % are 68
        (20, {"max_epochs": 50, "batch_size": 300}, [512, 16, 16]),
        (1, {"max_epochs": 18, "batch_size": 2, "train_accuracy": None}, [32, 16, 16]),
        (1, {"max_epochs": 17, "batch_size": 2}, []),
    ],
)
def test_what_is_run_after_the_training_is_two_percent_at_most(copies, settings, sizes):
    ran = []

    def body(X):
        ran.append((len(X), torch.is_grad_enabled()))
        return X

    class Net(nn.Module):
        def __init__(self, n_features, n_classes):
            super().__init__()
            self.head, self.drop = nn.Linear(n_features, n_classes), nn.Dropout(0.5)

        def forward(self, X):
            return self.drop(self.head(body(X)))

    codes, clf = codes_of_fit(Net, copies=copies, **settings)
    assert codes == []  # dropout is off, also where no accuracy was recorded
    if clf.train_accuracy is not None:
        ran = ran[-len(sizes) - 1 :]
        assert ran.pop(0)[0] == 60 * copies  # the pass that recorded the accuracy
    assert [size for size, _ in ran[len(ran) - len(sizes) :]] == sizes
    assert not any(gradients for _, gradients in ran[len(ran) - len(sizes) :])


class FixedPoint(nn.Module):
    """Iterates until the whole batch has converged, so that a sample alone ends earlier or later."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.enter, self.inner, self.leave = nn.Linear(n_features, 8), nn.Linear(8, 8), nn.Linear(8, n_classes)

    def forward(self, x):
        u, z = self.enter(x), x.new_zeros(len(x), 8)
        for _ in range(50):
            new = torch.tanh(0.5 * self.inner(z) + u)
            done, z = bool((new - z).norm() < 1e-3 * new.norm()), new
            if done:
                break
        return self.leave(z)


def test_an_iteration_that_converges_over_the_batch_is_warned_of_at_most():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(64, 5)).astype(np.float32), np.arange(64) % 3
    codes = set()
    for seed in range(12):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            TorchClassifier(FixedPoint, max_epochs=1, random_state=seed).fit(X, y)
        codes |= {str(warning.message)[:9] for warning in caught}
    assert codes == {"[ACC-B4] "}


def test_a_training_that_continues_is_not_asked_again_whether_samples_influence_each_other(monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(64, 5)).astype(np.float32), np.arange(64) % 3
    clf = TorchClassifier(max_epochs=1, random_state=0).partial_fit(X, y, classes=[0, 1, 2])
    asked = []
    monkeypatch.setattr("sktorch_acc.engine.probe.check_samples", lambda *given, **options: asked.append(given))
    clf.partial_fit(X, y)
    assert not asked
    TorchClassifier(max_epochs=1).fit(X, y)
    assert len(asked) == 1
