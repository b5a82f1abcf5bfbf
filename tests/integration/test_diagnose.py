"""Each error is built for real, in a training loop or an estimator, and exactly its code is reported."""

import copy
import pickle
import random

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import (
    DataLoader,
    TensorDataset,
)

from sktorch_acc import TorchClassifier, diagnose, overfit_check
from tests.mistakes.common import TWO, X, Y, mlp, of_module
from tests.mistakes.data import (
    CLEAN_DATA,
    CLEAN_LOADERS,
    CLEAN_OUTPUTS,
    DATA,
    FRAME,
    LOADERS,
    OUTPUTS,
    loader,
    unscaled,
)
from tests.mistakes.fits import CLEAN_ESTIMATORS, CLEAN_LOOPS, ESTIMATORS, LOOPS, fitted, of_fitted
from tests.modules import DropNorm

CE = nn.CrossEntropyLoss()


def joined(**tables):
    return {f"{table}: {case}": made for table, cases in tables.items() for case, made in cases.items()}


MISTAKES = joined(loader=LOADERS, output=OUTPUTS, data=DATA, estimator=ESTIMATORS, loop=LOOPS)
CLEAN = joined(
    loader=CLEAN_LOADERS, output=CLEAN_OUTPUTS, data=CLEAN_DATA, estimator=CLEAN_ESTIMATORS, loop=CLEAN_LOOPS
)


@pytest.mark.parametrize("case", MISTAKES)
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
def test_a_mistake_is_reported_with_its_code_and_no_other(case):
    code, made = MISTAKES[case]
    diagnosis = made()
    assert diagnosis.codes == [code], diagnosis
    assert f"[{code}]" in str(diagnosis)


@pytest.mark.parametrize("case", CLEAN)
def test_nothing_is_found_in_correct_code(case):
    diagnosis = CLEAN[case]()
    assert diagnosis.findings == (), diagnosis
    assert str(diagnosis).endswith("nothing found.")


# ------------------------------------------------------------------ nothing is changed


class Remembers(nn.Module):
    """Everything that a forward pass can change: running statistics, a counter, caches, generators."""

    def __init__(self, fails_after=10**6):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("last", None)
        self.calls, self.sizes, self.fails_after = 0, [], fails_after

    def forward(self, x):
        self.calls += 1
        if self.calls > self.fails_after:
            raise ArithmeticError("the module fails")
        self.sizes.append(len(x))
        self.seen += 1
        self.last = x.mean(dim=0)
        self.cached = z = self.layers(x + random.random() * 1e-9 + float(np.random.rand()) * 1e-9)  # noqa: NPY002
        return z


def fingerprint(model, optimizer, data):
    """All bits that diagnose must not change."""
    tensors = {f"{k}={v.dtype}": v.detach().numpy().tobytes() for k, v in model.state_dict().items()}
    grads = {n: None if p.grad is None else (id(p.grad), p.grad.numpy().tobytes()) for n, p in model.named_parameters()}
    return {
        "identities": [id(p) for p in model.parameters()] + [id(b) for b in model.buffers()],
        "tensors": tensors,
        "grads": grads,
        "modes": [layer.training for layer in model.modules()],
        "attributes": (model.calls, list(model.sizes), model.last, getattr(model, "cached", "none")),
        "hooks": [len(layer._forward_hooks) for layer in model.modules()],
        "optimizer": str(optimizer.state_dict()),
        "loader": data.generator.get_state().numpy().tobytes(),
        "torch": torch.get_rng_state().numpy().tobytes(),
        "numpy": str(np.random.get_state()),  # noqa: NPY002
        "python": random.getstate(),
        "threads": (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()),
        "requires_grad": [p.requires_grad for p in model.parameters()],
    }


def loop_in_the_middle(fails_after=10**6):
    model = Remembers()
    trained_by = torch.optim.Adam(model.parameters(), lr=0.01)
    for rows in torch.arange(240).split(40):
        trained_by.zero_grad()
        CE(model(X[rows]), Y[rows]).backward()
        trained_by.step()
    model.layers[1].eval()  # a layer in another mode
    model.fails_after = model.calls + fails_after
    del model.cached
    data = DataLoader(TensorDataset(X, Y), batch_size=40, shuffle=True, generator=torch.Generator().manual_seed(3))
    return model, trained_by, data


@pytest.mark.parametrize("calls", range(82))
def test_diagnose_changes_nothing_also_if_the_module_raises(calls):
    model, optimizer, data = loop_in_the_middle(fails_after=calls)
    before = fingerprint(model, optimizer, data)
    try:
        diagnose(model, X, Y, criterion=CE, optimizer=optimizer, loader=data)
    except ArithmeticError:
        assert calls < 81
    assert fingerprint(model, optimizer, data) == before


def test_overfit_check_changes_nothing():
    model, optimizer, data = loop_in_the_middle()
    before = fingerprint(model, optimizer, data)
    assert overfit_check(model, X, Y).codes == []
    assert fingerprint(model, optimizer, data) == before


@pytest.mark.parametrize("settings", [{}, {"validation_fraction": 0.2}])
def test_an_estimator_is_not_changed(settings):
    clf = fitted(DropNorm, **settings)
    state, module = pickle.dumps(clf), copy.deepcopy(clf.module_.state_dict())
    diagnose(clf, X, Y)
    overfit_check(clf, X, Y)
    assert pickle.dumps(clf) == state
    assert all(torch.equal(module[name], value) for name, value in clf.module_.state_dict().items())
    unfitted = TorchClassifier(mlp(), random_state=np.random.RandomState(0))
    state = pickle.dumps(unfitted)
    diagnose(unfitted, X, Y)
    assert pickle.dumps(unfitted) == state
    assert not hasattr(unfitted, "n_features_in_")


def test_what_fit_would_refuse_is_a_finding_of_both_functions():
    frozen = TorchClassifier(mlp().requires_grad_(False))
    assert diagnose(frozen, X, Y).codes == overfit_check(frozen, X, Y).codes == ["ACC-F2"]


# ------------------------------------------------------------------ the diagnosis, and invalid arguments


def test_errors_come_first_in_every_form():
    rows, model = unscaled(), mlp(3, nn.Softmax(dim=1))
    diagnosis = of_module(model, rows, Y, loader=loader(drop_last=True))
    assert diagnosis.codes == ["ACC-C1", "ACC-A3", "ACC-D4"]
    assert [f.severity for f in diagnosis.findings] == ["error", "warning", "warning"]
    frame = diagnosis.to_frame()
    assert frame.columns.tolist() == ["code", "severity", "message", "advice"]
    assert frame["code"].tolist() == diagnosis.codes
    text, html = str(diagnosis), diagnosis._repr_html_()
    assert text.startswith("Diagnosis of Sequential on 240 samples: 3 findings.")
    assert all(finding.message in text for finding in diagnosis.findings)
    assert html.count("<tr>") == 4
    assert of_module(mlp()).to_frame().columns.tolist() == frame.columns.tolist()
    assert "nothing found" in of_module(mlp())._repr_html_()


def test_labels_are_escaped_in_the_table():
    labels = np.where(TWO.numpy() == 1, "<script>", "b & c")
    rows = torch.zeros(240, 6)
    html = diagnose(TorchClassifier(), rows, labels)._repr_html_()
    assert "ACC-D6" in html
    many = np.where(np.arange(240) < 230, "<script>", "b & c")
    html = of_fitted(y=many, max_epochs=3)._repr_html_()
    assert "ACC-D7" in html
    assert "&lt;script&gt;" in html
    assert "<script>" not in html


def test_the_column_is_named():
    frame = FRAME.assign(c=FRAME["c"] * 1e5)
    assert "c has a standard deviation" in diagnose(TorchClassifier(), frame, Y).findings[0].message


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: diagnose("model", X, Y), TypeError, "Expected an nn.Module or a TorchClassifier, but got a str"),
        (
            lambda: diagnose(make_pipeline(StandardScaler(), TorchClassifier()), X, Y),
            TypeError,
            r"pass pipeline\[-1\] and pipeline\[:-1\].transform",
        ),
        (lambda: diagnose(StandardScaler(), X, Y), TypeError, "got a StandardScaler"),
        (lambda: diagnose(mlp(), X, Y, loader=[1]), TypeError, "DataLoader, but got a list"),
        (lambda: diagnose(mlp(), X, Y[:9]), ValueError, "X has 240 and y has 9"),
        (lambda: diagnose(mlp(), X, np.full(240, "fox")), ValueError, r"numpy.unique\(y"),
        (lambda: diagnose(mlp(), X[:0], Y[:0]), ValueError, "no samples"),
        (lambda: diagnose(nn.LazyLinear(3), X, Y), ValueError, "lazy layers"),
        (lambda: diagnose(mlp(), X[:, :2], Y), RuntimeError, "shapes cannot be multiplied"),
        (lambda: overfit_check(nn.LazyLinear(3), X, Y), ValueError, "lazy layers"),
        (lambda: overfit_check("model", X, Y), TypeError, "got a str"),
    ],
)
def test_what_cannot_be_examined_raises(call, error, message):
    with pytest.raises(error, match=message):
        call()


class Wraps(nn.Module):
    """A criterion of one's own, which does not say that it ignores a class."""

    weight = None

    def __init__(self):
        super().__init__()
        self.inner = nn.CrossEntropyLoss(torch.tensor([0.0, 1.0, 2.0]))

    def forward(self, output, target):
        return self.inner(output, target)


@pytest.mark.parametrize(
    "criterion", [nn.CrossEntropyLoss(ignore_index=0), nn.CrossEntropyLoss(torch.tensor([0.0, 1.0, 2.0])), Wraps()]
)
def test_samples_that_the_criterion_does_not_count_are_no_fault(criterion):
    """The first samples are all of the class without weight: their loss is 0 / 0, and they cannot be learnt."""
    order = np.argsort(np.asarray(Y), kind="stable")
    X_sorted, y_sorted = np.asarray(X)[order], np.asarray(Y)[order]
    first = int((y_sorted == 0).sum())
    X_sorted = np.r_[np.repeat(X_sorted[:first], 8, axis=0), X_sorted[first:]]
    y_sorted = np.r_[np.zeros(8 * first, dtype=np.int64), y_sorted[first:]]
    assert (y_sorted[:64] == 0).all()
    torch.manual_seed(0)
    model = nn.Linear(X_sorted.shape[1], 3)
    assert "ACC-C3" not in diagnose(model, X_sorted, y_sorted, criterion=criterion).codes
    assert overfit_check(model, X_sorted, y_sorted, criterion=criterion).codes == []
    assert criterion.weight is None or criterion.weight.tolist() == [0.0, 1.0, 2.0]


# ------------------------------------------------------------ what few samples of a batch show


class After(nn.Module):
    """A layer, and a change to its scores that may depend on the samples."""

    def __init__(self, change):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.change = nn.Linear(4, 3), change

    def forward(self, x):
        return self.change(x, self.layer(x))


def in_a_batch_of_its_own(x, z):
    """Leave out samples whose first feature is large, if there are others."""
    return z * ((x[:, :1] < 9) | (len(x) == 1))


def the_first_ones_alone(x, z):
    """Leave out what is beyond 40 samples."""
    if len(x) == 1:
        raise ValueError("no single samples")
    return z * (torch.arange(len(x)) < 40)[:, None]


def test_samples_that_few_others_are_like_are_compared_too():
    rows = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    rows[44, 0] = 10
    y = torch.arange(64) % 3
    for change in (in_a_batch_of_its_own, the_first_ones_alone):
        assert "ACC-B4" in diagnose(After(change), rows, y).codes
    assert "ACC-B4" not in diagnose(After(lambda x, z: z), rows, y).codes


@pytest.mark.parametrize("draw", [random.random, np.random.random, lambda: float(torch.rand(()))])
def test_what_is_random_now_and_then_is_found_whatever_the_seed(draw):
    rows = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    states = random.getstate(), torch.get_rng_state()
    module = After(lambda x, z: z.flip(1) if draw() < 0.05 else z)
    for seed in range(10):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        codes = diagnose(module, rows, torch.arange(64) % 3).codes
        assert "ACC-E11" in codes
        assert "ACC-B4" not in codes
    random.setstate(states[0])
    torch.set_rng_state(states[1])
