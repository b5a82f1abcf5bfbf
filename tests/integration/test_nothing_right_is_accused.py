"""Right fits and modules, as people write them: no warning, no finding, and the accuracy of a plain evaluation.

Each case returns a fitted estimator and its data. Warnings of any kind are errors here.
"""

import copy
import math

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from joblib import parallel_backend
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback, GradientNormClipping
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset, WeightedRandomSampler

from sktorch_acc import TorchClassifier, diagnose, overfit_check
from tests.mistakes.common import trained
from tests.modules import DropNorm, Ensemble, Lazy, LogProbabilities, OneLogit, OneProbability, Sequences

_draws = np.random.default_rng(0)
X = _draws.standard_normal((120, 6)).astype("float32")
Y = (X[:, :3] + 0.3 * _draws.standard_normal((120, 3))).argmax(axis=1)
TWO = (Y == 0).astype(int)
WORDS = np.array(["fox", "cat", "dog"])[Y]

# ------------------------------------------------------------------ modules


class Net(nn.Module):
    """A layer, a change to what it returns, and a last layer."""

    def __init__(self, hidden=nn.Identity, width=16, n_features=6, n_classes=3):
        super().__init__()
        self.body = nn.Linear(n_features, width)
        self.hidden = hidden()
        self.head = nn.Linear(width, n_classes)

    def forward(self, x):
        return self.head(self.hidden(self.body(x).relu()))


class FrozenNorm(Net):
    """Batch norm that stays in evaluation mode, with the statistics that it came with."""

    def __init__(self):
        super().__init__(lambda: nn.BatchNorm1d(16))

    def train(self, mode=True):
        super().train(mode)
        self.hidden.eval()
        return self


class FrozenBody(Net):
    def __init__(self):
        super().__init__(width=64)
        self.body.requires_grad_(False)


class ZeroHead(Net):
    def __init__(self):
        super().__init__()
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)


class LargeOutputs(Net):
    """A wide module with outputs of some thousands."""

    def forward(self, x):
        return super().forward(x) * 3000


class Autocast(Net):
    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().forward(x).float()


class ReZero(Net):
    """A residual branch that begins at 0."""

    def __init__(self):
        super().__init__()
        self.branch, self.alpha = nn.Linear(16, 16), nn.Parameter(torch.zeros(1))

    def forward(self, x):
        x = self.body(x).relu()
        return self.head(x + self.alpha * self.branch(x).relu())


class StochasticDepth(ReZero):
    """The branch is left out for some samples of a training batch."""

    def __init__(self):
        super().__init__()
        nn.init.constant_(self.alpha, 0.5)

    def forward(self, x):
        x = self.body(x).relu()
        branch = self.branch(x).relu()
        if self.training:
            branch = branch * torch.bernoulli(torch.full((len(x), 1), 0.8)) / 0.8
        return self.head(x + self.alpha * branch)


class Tied(nn.Module):
    """An autoencoder's two layers with one weight, and a head."""

    def __init__(self):
        super().__init__()
        self.up, self.down, self.head = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False), nn.Linear(6, 3)
        self.down.weight = self.up.weight

    def forward(self, x):
        return self.head(self.down(self.up(x).relu()) + x)


class Impossible(Net):
    """Class 2 is impossible where the first feature is the largest by far."""

    def forward(self, x):
        z = super().forward(x)
        never = torch.stack([torch.zeros(len(x)), torch.zeros(len(x)), (x[:, 0] > x[:, 2] + 2).float()], dim=1) > 0
        return z.masked_fill(never, -math.inf)


class ImpossibleLog(Impossible):
    def forward(self, x):
        return super().forward(x).log_softmax(dim=1)


class Wrapped(nn.Module):
    """Cross-entropy in which class 2 has no weight, within a criterion of one's own."""

    def __init__(self):
        super().__init__()
        self.inner = nn.CrossEntropyLoss(torch.tensor([1.0, 1.0, 0.0]))

    def forward(self, output, target):
        return self.inner(output, target)


class Mixup(Net):
    """Hidden layers of two samples are mixed in training; the criterion mixes their losses alike."""

    def forward(self, x):
        h = self.body(x).relu()
        return self.head(0.9 * h + 0.1 * h.flip(0) if self.training else h)


class MixupLoss(nn.CrossEntropyLoss):
    def forward(self, z, targets):
        mixed = super().forward(z, targets.flip(0)) if z.requires_grad else super().forward(z, targets)
        return 0.9 * super().forward(z, targets) + 0.1 * mixed


class Focal(nn.Module):
    def forward(self, z, targets):
        log_p = z.log_softmax(1).gather(1, targets[:, None])[:, 0]
        return (-((1 - log_p.exp()) ** 2) * log_p).mean()


class LogOfProbabilities(nn.Module):
    def forward(self, p, targets):
        return F.nll_loss(p.clamp_min(1e-12).log(), targets)


class Softmax(Net):
    def forward(self, x):
        return super().forward(x).softmax(1)


class LSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(1, 12, batch_first=True), nn.Linear(12, 3)

    def forward(self, x):
        return self.head(self.lstm(x[:, :, None])[0][:, -1])


class Transformer(nn.Module):
    def __init__(self, dropout=0.05):
        super().__init__()
        self.up, self.head = nn.Linear(1, 8), nn.Linear(48, 3)
        self.place = nn.Parameter(torch.zeros(6, 8))
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout, batch_first=True)

    def forward(self, x):
        return self.head(self.encoder(self.up(x[:, :, None]) + self.place).flatten(1))


class Convolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(1, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.GELU(), nn.Flatten(), nn.Linear(48, 3)
        )

    def forward(self, x):
        return self.layers(x[:, None])


class Averaged(nn.Module):
    """A module, and the moving average of its weights, which is used in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.net = Net()
        self.mean = AveragedModel(self.net, multi_avg_fn=get_ema_multi_avg_fn(0.9)).requires_grad_(False)

    def forward(self, x):
        return self.net(x) if self.training else self.mean(x)


class InPlace(nn.Module):
    """Writes to its input, and returns one and the same buffer where nothing is trained."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        return self.layer(x.mul_(2)).add_(1)


def weight_norm():
    return nn.Sequential(parametrizations.weight_norm(nn.Linear(6, 16)), nn.ReLU(), nn.Linear(16, 3))


def spectral_norm():
    return nn.Sequential(parametrizations.spectral_norm(nn.Linear(6, 16)), nn.ReLU(), nn.Linear(16, 3))


def orthogonal():
    return nn.Sequential(parametrizations.orthogonal(nn.Linear(6, 6)), nn.ReLU(), nn.Linear(6, 3))


# ------------------------------------------------------------------ callbacks


class Accumulates(Callback):
    """Steps with the mean gradient of two batches; the first of them moves nothing."""

    def on_epoch_begin(self, net, **kwargs):
        self.kept_ = None

    def on_grad_computed(self, net, named_parameters, **kwargs):
        parameters = [p for _, p in named_parameters]
        if self.kept_ is None:
            self.kept_ = [p.grad.clone() for p in parameters]
            for p in parameters:
                p.grad = None
        else:
            for p, kept in zip(parameters, self.kept_, strict=True):
                p.grad.add_(kept).div_(2)
            self.kept_ = None


class Averages(Callback):
    """Keeps a moving average of the weights, with which the module predicts."""

    def on_batch_end(self, net, training, **kwargs):
        if training:
            net.module_.mean.update_parameters(net.module_.net)


class WarmUp(Callback):
    """The learning rate grows over the first epochs."""

    def on_epoch_begin(self, net, **kwargs):
        for group in net.optimizer_.param_groups:
            group["lr"] = 0.02 * min(1.0, len(net.history) / 5)


# ------------------------------------------------------------------ fits


def fitted(module=Net, X=X, y=Y, sample_weight=None, **settings):
    plain = {"max_epochs": 30, "lr": 0.02, "batch_size": 24, "random_state": 0}
    return TorchClassifier(module, **{**plain, **settings}).fit(X, y, sample_weight=sample_weight), X, y


def of_dtype(dtype):
    torch.manual_seed(0)
    return Net().to(dtype)


def imbalanced():
    rng = np.random.default_rng(0)
    rows, y = rng.standard_normal((2002, 4)).astype("float32"), np.zeros(2002, dtype=int)
    y[[500, 1500]] = 1
    rows[y == 1] += 6
    return fitted(nn.Linear, rows, y, batch_size=512, max_epochs=20, class_weight="balanced")


def noisy_labels():
    y = np.where(np.random.default_rng(1).random(120) < 0.2, 1 - TWO, TWO)
    return fitted(nn.Linear, y=y)


def streamed():
    clf = TorchClassifier(Net, lr=0.02, batch_size=24, random_state=0)
    for _ in range(20):
        for start in range(0, 120, 40):
            clf.partial_fit(X[start : start + 40], Y[start : start + 40], classes=[0, 1, 2])
    return clf, X, Y


def warm_started():
    clf, _, _ = fitted(warm_start=True, max_epochs=5)
    for _ in range(4):
        clf.fit(X, Y)
    return clf, X, Y


def in_a_pipeline():
    pipe = make_pipeline(StandardScaler(), TorchClassifier(Net, lr=0.02, max_epochs=30, random_state=0, batch_size=24))
    rows = X * [1, 10, 100, 1000, 1, 1] + 5
    assert pipe.fit(rows, Y).score(rows, Y) > 0.8
    return pipe[-1], pipe[:-1].transform(rows), Y


def searched():
    search = GridSearchCV(fitted()[0], {"lr": [0.01, 0.02]}, cv=2).fit(X, Y)
    return search.best_estimator_, X, Y


def in_threads():
    clf = fitted(max_epochs=10)[0]
    with parallel_backend("threading", n_jobs=2):  # the threads share the generators, so the weights may differ
        assert len(cross_val_score(clf, X, Y, cv=3)) == 3
    return clf, X, Y


def cloned():
    return clone(fitted()[0]).fit(X, Y), X, Y


def pickled():
    return copy.deepcopy(fitted(DropNorm, module__p=0.1)[0]), X, Y


TOKENS = np.digitize(X, [-1, -0.5, 0, 0.5, 1])
CASES = {
    "the bundled module": lambda: fitted(None),
    "gradient accumulation": lambda: fitted(callbacks=[Accumulates]),
    "an average of the weights": lambda: fitted(Averaged, callbacks=[Averages]),
    "a warm-up by a callback": lambda: fitted(callbacks=[WarmUp]),
    "a warm-up by a schedule": lambda: fitted(
        lr_scheduler=torch.optim.lr_scheduler.LinearLR, lr_scheduler__start_factor=0.1
    ),
    "one cycle without a momentum": lambda: fitted(lr_scheduler="onecycle", optimizer=torch.optim.RMSprop),
    "cosine": lambda: fitted(lr_scheduler="cosine"),
    "clipped gradients": lambda: fitted(callbacks=[GradientNormClipping(1.0)]),
    "LBFGS": lambda: fitted(optimizer=torch.optim.LBFGS, lr=0.1, max_epochs=10, batch_size=120),
    "mixup": lambda: fitted(Mixup, criterion=MixupLoss, output="logits"),
    "autocast": lambda: fitted(Autocast),
    "frozen batch norm": lambda: fitted(FrozenNorm),
    "a frozen body": lambda: fitted(FrozenBody, max_epochs=60),
    "batch norm and dropout": lambda: fitted(DropNorm, module__p=0.2),
    "large outputs": lambda: fitted(LargeOutputs, module__width=512, lr=1e-3),
    "bfloat16": lambda: fitted(of_dtype(torch.bfloat16)),
    "float64": lambda: fitted(of_dtype(torch.float64)),
    "noisy labels": noisy_labels,
    "1:1000": imbalanced,
    "three samples": lambda: fitted(nn.Linear, np.eye(3, 6, dtype="float32"), np.arange(3)),
    "two equal columns": lambda: fitted(X=np.c_[X[:, :5], X[:, :1]]),
    "a constant column": lambda: fitted(X=np.c_[X[:, :5], np.full(120, 7, dtype="float32")]),
    "one column of logits": lambda: fitted(OneLogit, y=TWO, criterion=nn.BCEWithLogitsLoss),
    "one flat column": lambda: fitted(OneLogit, y=TWO, criterion=nn.BCEWithLogitsLoss, module__flat=True),
    "one column of probabilities": lambda: fitted(OneProbability, y=TWO, criterion=nn.BCELoss),
    "probabilities": lambda: fitted(Softmax, criterion=LogOfProbabilities, output="probabilities"),
    "log-probabilities": lambda: fitted(LogProbabilities, criterion=nn.NLLLoss),
    "masked log-probabilities": lambda: fitted(ImpossibleLog, criterion=nn.NLLLoss),
    "a class without weight in a criterion of one's own": lambda: fitted(
        X=X[np.argsort(-Y)], y=np.sort(Y)[::-1].copy(), criterion=Wrapped, output="logits"
    ),
    "impossible classes": lambda: fitted(Impossible, y=np.where((Y == 2) & (X[:, 0] > X[:, 2] + 2), 0, Y)),
    "label smoothing": lambda: fitted(criterion__label_smoothing=0.1),
    "focal loss": lambda: fitted(criterion=Focal, output="logits"),
    "class weights": lambda: fitted(class_weight={0: 1.0, 1: 2.0, 2: 1.5}),
    "balanced weights": lambda: fitted(class_weight="balanced"),
    "weights of the criterion": lambda: fitted(criterion__weight=torch.tensor([1.0, 2.0, 1.5])),
    "weights of 0": lambda: fitted(sample_weight=(np.arange(120) % 4 > 0).astype(float)),
    "an ensemble": lambda: fitted(Ensemble),
    "lazy layers": lambda: fitted(Lazy),
    "validation samples": lambda: fitted(validation_fraction=0.2, early_stopping=True, n_iter_no_change=30),
    "a stream": streamed,
    "a warm start": warm_started,
    "a pipeline": in_a_pipeline,
    "a search": searched,
    "folds in threads": in_threads,
    "a clone": cloned,
    "a copy": pickled,
    "words": lambda: fitted(y=WORDS),
    "words that are numbers": lambda: fitted(y=Y.astype(str), class_weight={"0": 1.0, "1": 2.0, "2": 1.5}),
    "bools": lambda: fitted(y=TWO > 0, module__n_classes=2),
    "a frame and a series": lambda: fitted(
        X=pd.DataFrame(X, columns=list("abcdef")), y=pd.Series(WORDS, dtype="category")
    ),
    "sparse": lambda: fitted(X=scipy.sparse.csr_array(X)),
    "long doubles": lambda: fitted(X=X.astype(np.longdouble)),
    "LSTM": lambda: fitted(LSTM, lr=0.03),
    "a convolution": lambda: fitted(Convolution),
    "an embedding": lambda: fitted(Sequences, X=torch.tensor(TOKENS)),
    "a transformer": lambda: fitted(Transformer, lr=0.01),
    "weight norm": lambda: fitted(weight_norm()),
    "spectral norm": lambda: fitted(spectral_norm()),
    "orthogonal weights": lambda: fitted(orthogonal()),
    "tied weights": lambda: fitted(Tied),
    "a head of zeros": lambda: fitted(ZeroHead),
    "ReZero": lambda: fitted(ReZero),
    "stochastic depth": lambda: fitted(StochasticDepth),
    "dropout": lambda: fitted(module__hidden=lambda: nn.Dropout(0.2)),
    "layer norm": lambda: fitted(module__hidden=lambda: nn.LayerNorm(16)),
    "operations in place": lambda: fitted(InPlace),
    "all samples in a batch": lambda: fitted(batch_size=120, max_epochs=60),
    "no accuracy recorded": lambda: fitted(train_accuracy=None),
    "a running accuracy": lambda: fitted(train_accuracy="running", max_epochs=60),
}


def plain_accuracy(clf, X, y):
    """One forward pass by hand; the classes from the output as its kind says, not by the library."""
    module, spec = clf.module_.eval(), clf._state.model.spec.kind
    rows = X.toarray() if scipy.sparse.issparse(X) else X
    rows = rows if isinstance(rows, torch.Tensor) else torch.tensor(np.asarray(rows, dtype=np.float64))
    if rows.is_floating_point():
        rows = rows.to(clf._state.model.dtype)
    with torch.no_grad():
        output = module(rows.clone())
    if output.ndim == 3:
        output = output.softmax(2).mean(1)
    if output.ndim == 1 or output.shape[1] == 1:
        indices = (output.reshape(-1) > (0.5 if spec == "probabilities" else 0)).long()
    else:
        indices = output.argmax(1)
    return np.mean(clf.classes_[indices.numpy()] == np.asarray(y))


@pytest.mark.parametrize("case", CASES)
def test_a_right_fit_is_silent_and_scores_what_a_plain_evaluation_gives(case, recwarn):
    clf, rows, y = CASES[case]()
    assert not recwarn.list
    assert clf.score(rows, y) == plain_accuracy(clf, rows, y) > 0.55
    found = diagnose(clf, rows, y)
    assert [str(f) for f in found.findings if f.severity != "info"] == []
    assert not recwarn.list


TENSORS = torch.tensor(X), torch.tensor(Y)
LOADERS = {
    "shuffled": {"shuffle": True},
    "drop_last": {"shuffle": True, "drop_last": True},
    "a weighted sampler": {"sampler": WeightedRandomSampler(torch.ones(120), 120)},
    "a weighted sampler, and drop_last": {"sampler": WeightedRandomSampler(torch.ones(120), 120), "drop_last": True},
    "a bootstrap": {"sampler": RandomSampler(range(120), replacement=True)},
    "in order": {},
    "whole batches from the sampler": {
        "batch_size": None,
        "sampler": BatchSampler(RandomSampler(range(120)), 30, drop_last=True),
    },
}


@pytest.mark.parametrize("case", LOADERS)
def test_a_loader_of_a_training_is_at_most_remarked_on(case):
    module = of_dtype(torch.float32)
    parts = trained(module, X=TENSORS[0], y=TENSORS[1])
    loader = DataLoader(TensorDataset(*TENSORS), **{"batch_size": 50, **LOADERS[case]})
    assert {f.severity for f in diagnose(module, *TENSORS, loader=loader, **parts).findings} <= {"info"}


UNTRAINED = {
    "a head of zeros": ZeroHead,
    "ReZero": ReZero,
    "weight norm": weight_norm,
    "a linear layer of zeros": lambda: zeros(nn.Linear(6, 3)),
    "bfloat16": lambda: of_dtype(torch.bfloat16),
    "a bfloat16 head of zeros": lambda: ZeroHead().bfloat16(),
    "float64": lambda: of_dtype(torch.float64),
    "a transformer": lambda: Transformer(0.0),
    "tied weights": Tied,
}


def zeros(module):
    for p in module.parameters():
        nn.init.zeros_(p)
    return module


@pytest.mark.parametrize("case", UNTRAINED)
@pytest.mark.parametrize("criterion", [nn.CrossEntropyLoss(), None], ids=["with a criterion", "without"])
def test_a_module_before_training_is_not_accused(case, criterion):
    torch.manual_seed(0)
    module = UNTRAINED[case]()
    before = copy.deepcopy(module.state_dict())
    assert diagnose(module, *TENSORS, criterion=criterion).findings == ()
    optimizer = torch.optim.Adam(module.parameters())
    assert diagnose(module, *TENSORS, criterion=criterion, optimizer=optimizer).findings == ()
    assert overfit_check(module, *TENSORS).findings == ()
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_equal_samples_rightly_have_one_output(dtype):
    module = of_dtype(dtype)
    criterion = nn.CrossEntropyLoss()
    for n in (1, 20):
        rows = TENSORS[0][:1].expand(n, 6)
        assert diagnose(module, rows, torch.zeros(n, dtype=torch.int64), criterion=criterion).findings == ()
    clf = fitted()[0]
    assert diagnose(clf, X[:1], Y[:1]).findings == ()
    assert diagnose(clf, X[:1].repeat(20, 0), Y[:1].repeat(20)).findings == ()


def test_units_may_be_inactive_for_a_few_samples_by_chance():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 1), nn.ReLU(), nn.Linear(1, 3))
    nn.init.constant_(module[0].bias, -1.0)
    assert diagnose(module, TENSORS[0][:3], torch.arange(3), criterion=nn.CrossEntropyLoss()).findings == ()


def dead():
    module = of_dtype(torch.float32)
    nn.init.constant_(module.body.bias, -1e3)
    return nn.Sequential(module.body, nn.ReLU(), module.head)


@pytest.mark.parametrize(
    "module",
    [
        lambda: dead(),
        lambda: zeros(nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))),
        lambda: zeros(nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3))),
        lambda: nn.Sequential(dead(), nn.Linear(3, 3)),
    ],
    ids=["dead units", "zeros that stay", "zeros that stay, without ReLU", "dead units below"],
)
def test_an_output_that_stays_the_same_is_still_an_error(module):
    found = diagnose(module(), *TENSORS, criterion=nn.CrossEntropyLoss())
    assert found.codes == ["ACC-F5"]
    assert found.findings[0].severity == "error"


def test_a_head_of_zeros_that_was_trained_and_did_not_move_is_accused():
    torch.manual_seed(0)
    module = ZeroHead()
    parts = trained(module, X=TENSORS[0], y=TENSORS[1], lr=0.0, steps=3)
    assert "ACC-F5" in diagnose(module, *TENSORS, **parts).codes


def test_a_head_of_zeros_over_dead_units_is_accused():
    module = dead()
    module[2] = nn.Linear(16, 8)
    assert diagnose(nn.Sequential(module, nn.ReLU(), zeros(nn.Linear(8, 3))), *TENSORS).codes == ["ACC-F5"]


def test_labels_that_are_all_unknown_are_reported():
    found = diagnose(fitted()[0], X, Y + 10)
    assert found.codes == ["ACC-D8"]
