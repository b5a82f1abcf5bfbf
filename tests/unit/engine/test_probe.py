"""What is refused before epoch 1, with its code, and what is not."""

import copy
import pickle
import random
import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from skorch.callbacks import Callback
from torch import nn

from sktorch_acc import AccuracyWarning, ModuleOutputError, NonFiniteLossError, SktorchAccError, TorchClassifier
from tests.modules import DropNorm, Ensemble, LogProbabilities, OneLogit, OneProbability

X, INDICES = make_classification(40, 6, n_informative=4, n_classes=3, random_state=0)
X = X.astype("float32")
Y = np.array(["fox", "cat", "dog"])[INDICES]
TWO = np.where(INDICES == 0, "no", "yes")
BCE, BCEL, NLL = nn.BCELoss, nn.BCEWithLogitsLoss, nn.NLLLoss


class Returns(nn.Module):
    """A linear layer and a function of what it returns: a module that may lie about its output."""

    def __init__(self, n_features, columns=3, change=None, mode=None):
        super().__init__()
        self.layer = nn.Linear(n_features, columns)
        self.change, self.mode = change, mode

    def forward(self, X):
        z = self.layer(X)
        if self.change is None or self.mode not in (None, self.training):
            return z
        return self.change(z)


def net(change=None, columns=3, mode=None):
    return {"module": Returns, "module__columns": columns, "module__change": change, "module__mode": mode}


class Stateless(nn.Module):
    def forward(self, X):
        return X[:, :3]


class InAList(nn.Module):
    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layers = [nn.Linear(n_features, n_classes)]

    def forward(self, X):
        return self.layers[0](X)


class EndsInSigmoid(nn.Module):
    def __init__(self, n_features):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n_features, 1), nn.Sigmoid())

    def forward(self, X):
        return self.layers(X)


def frozen():
    return nn.Linear(6, 3).requires_grad_(False)


REFUSED = {
    "too few columns": (net(columns=2), Y, "ACC-C8", r"\(40, 3\).*returned \(40, 2\) float32.*3 outputs"),
    "too many columns": (net(columns=5), Y, "ACC-C8", "one of which never occurs"),
    "one column under cross-entropy": (net(columns=1), Y, "ACC-C7", "always 0: give its last layer 3 outputs"),
    "one column for two classes": (net(columns=1), TWO, "ACC-C7", "BCEWithLogitsLoss for two classes"),
    "a flat output": (net(lambda z: z[:, 0]), Y, "ACC-C7", r"returned \(40,\)"),
    "two columns under BCE": ({**net(columns=2), "criterion": BCEL}, TWO, "ACC-C8", r"\(40,\) or \(40, 1\)"),
    "BCE for three classes": ({**net(columns=1), "criterion": BCEL}, Y, "ACC-C8", "for two classes, but y has 3"),
    "softmax": (net(lambda z: z.softmax(1)), Y, "ACC-C1", r"cannot go below 0\.5514"),
    "softmax in evaluation mode only": (net(lambda z: z.softmax(1), mode=False), Y, "ACC-C1", "in evaluation mode"),
    "softmax in training mode only": (net(lambda z: z.softmax(1), mode=True), Y, "ACC-C1", "in training mode"),
    "sigmoid before BCEWithLogits": ({"module": EndsInSigmoid, "criterion": BCEL}, TWO, "ACC-C1", "ends in a Sigmoid"),
    "softmaxed ensemble": (
        {"module": lambda: nn.Sequential(Ensemble(6, 3), nn.Softmax(dim=2))},
        Y,
        "ACC-C1",
        "softmax",
    ),
    "logits under NLLLoss": ({**net(), "criterion": NLL}, Y, "ACC-C2", "look like logits"),
    "probabilities under NLLLoss": (
        {**net(lambda z: z.softmax(1)), "criterion": NLL},
        Y,
        "ACC-C2",
        "like probabilities",
    ),
    "a log of 0 under NLLLoss": (
        {**net(lambda z: (z * 1e4).softmax(1).log()), "criterion": NLL},
        Y,
        "ACC-C10",
        "log_softmax",
    ),
    "logits under BCELoss": ({**net(lambda z: z * 9, columns=1), "criterion": BCE}, TWO, "ACC-C4", "BCEWithLogits"),
    "NaN": (net(lambda z: z * torch.nan), Y, "ACC-C3", "for 40 of 40 samples before any training"),
    "inf": (net(lambda z: z / 0), Y, "ACC-C3", "NaN or infinity"),
    "a mean over the batch": (net(lambda z: z.mean(0)), Y, "ACC-B4", "Axis 0 has the size of the classes"),
    "a transposed output": (net(lambda z: z.T), Y, "ACC-B4", "use dim=1, not dim=0"),
    "half of the rows": (net(lambda z: z[:20]), Y, "ACC-B4", r"returned \(20, 3\)"),
    "softmax over the batch": (net(lambda z: z.softmax(0)), Y, "ACC-B4", "influence each other in Returns.forward"),
    "a mean of the batch subtracted": (net(lambda z: z - z.mean(0)), Y, "ACC-B4", r"batch_first=True"),
    "batch norm without running statistics": (
        {"module": lambda: nn.Sequential(nn.BatchNorm1d(6, track_running_stats=False), nn.Linear(6, 3))},
        Y,
        "ACC-B4",
        "use batch norm with running statistics",
    ),
    "batches of one sample, and a mean over samples": (
        {**net(lambda z: z - z.mean(0)), "batch_size": 1},
        Y,
        "ACC-B4",
        "influence each other",
    ),
    "one number": (net(lambda z: z.mean()), Y, "ACC-B7", "one number"),
    "four axes": (net(lambda z: z[:, :, None, None]), Y, "ACC-B4", "flatten"),
    "a tuple": (net(lambda z: (z, z)), Y, None, "one tensor.*returned a tuple"),
    "classes": (net(lambda z: z.argmax(1)), Y, "ACC-B6", "returned .*int64"),
    "no parameters": ({"module": Stateless}, Y, "ACC-F2", "nothing to train"),
    "layers in a list": ({"module": InAList}, Y, "ACC-F2", "ModuleList"),
    "all frozen": ({"module": frozen}, Y, "ACC-F2", "all 2 are frozen"),
    "a detached output": (net(lambda z: z.detach()), Y, "ACC-F2", "was detached"),
    "a column in evaluation mode only": (
        {**net(lambda z: z[:, :1], columns=2, mode=False), "criterion": nn.MSELoss, "output": "logits"},
        TWO,
        "ACC-C8",
        r"in training mode\) returned \(40, 2\) float32, but \(n, 1\) in evaluation mode",
    ),
    "members in training mode only": (
        net(lambda z: torch.stack([z, z], dim=1), mode=True),
        Y,
        "ACC-C8",
        r"returned \(40, 2, 3\) float32, but \(n, 3\) in evaluation mode",
    ),
    "members in evaluation mode only": (net(lambda z: z[:, None], mode=False), Y, "ACC-C8", r"\(n, 1, 3\) in eval"),
    "a flat column in training mode only": (
        {**net(lambda z: z[:, 0], columns=1, mode=True), "criterion": nn.MSELoss, "output": "logits"},
        TWO,
        "ACC-C8",
        r"returned \(40,\) float32, but \(n, 1\) in evaluation mode",
    ),
    "probabilities that do not sum to 1": (
        {**net(lambda z: z.sigmoid()), "criterion": nn.MSELoss, "output": "probabilities"},
        Y,
        "ACC-C9",
        "sum to 1",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")
def test_what_cannot_be_right_is_refused_before_epoch_one(case):
    settings, y, code, message = REFUSED[case]
    clf = TorchClassifier(**settings, max_epochs=1, random_state=0)
    with pytest.raises(ModuleOutputError, match=f"(?s){message}") as caught:
        clf.fit(X, y)
    assert caught.value.code == code
    assert not hasattr(clf, "classes_")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.code, str(again)) == (code, str(caught.value))


CLEAN = {
    "logits": (net(), Y),
    "two logits": (net(columns=2), TWO),
    "one logit": ({"module": OneLogit, "criterion": BCEL}, TWO),
    "one flat logit": ({"module": OneLogit, "module__flat": True, "criterion": BCEL}, TWO),
    "small logits, all in [0, 1]": ({**net(lambda z: z * 1e-3 + 0.5, columns=1), "criterion": BCEL}, TWO),
    "one probability": ({"module": OneProbability, "criterion": BCE}, TWO),
    "log-probabilities": ({"module": LogProbabilities, "criterion": NLL}, Y),
    "an ensemble": ({"module": Ensemble}, Y),
    "an ensemble of one logit": ({"module": Ensemble, "criterion": BCEL}, TWO),
    "an ensemble of log-probabilities": (
        {"module": lambda: nn.Sequential(Ensemble(6, 3), nn.LogSoftmax(dim=2)), "criterion": NLL},
        Y,
    ),
    "a criterion of one's own": ({**net(), "criterion": nn.MultiMarginLoss, "output": "logits"}, Y),
    "label smoothing": ({**net(), "criterion__label_smoothing": 0.1}, Y),
    "a criterion instance with class weights": ({**net(), "criterion": nn.CrossEntropyLoss(torch.ones(3))}, Y),
    "a sum": ({**net(), "criterion__reduction": "sum"}, Y),
    "per-row losses": ({**net(), "criterion__reduction": "none"}, Y),
    "half precision": ({"module": lambda: nn.Linear(6, 3, dtype=torch.bfloat16)}, Y),
    "any columns for one class": (net(columns=2), np.full(40, "one")),
    "one class under BCE": ({**net(columns=1), "criterion": BCEL}, np.full(40, "one")),
}


@pytest.mark.parametrize("case", CLEAN)
def test_what_is_right_trains_and_gives_probabilities(case):
    settings, y = CLEAN[case]
    clf = TorchClassifier(**settings, max_epochs=2, batch_size=16, random_state=0).fit(X, y)
    probabilities = clf.predict_proba(X)
    assert probabilities.shape == (40, len(clf.classes_))
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(np.exp(clf.predict_log_proba(X)), probabilities, atol=1e-5)
    assert (clf.classes_[probabilities.argmax(axis=1)] == clf.predict(X)).all()
    decision = clf.decision_function(X)
    if len(clf.classes_) == 2:
        assert decision.shape == (40,)
        assert (clf.classes_[(decision > 0).astype(int)] == clf.predict(X)).all()
    else:
        assert decision.shape == (40, len(clf.classes_))


def test_the_probe_leaves_no_trace():
    built = DropNorm(6, 3)
    first = TorchClassifier(built, lr=1e-30, max_epochs=1, optimizer=torch.optim.SGD).fit(X[:16], Y[:16])
    assert int(first.module_.layers[1].num_batches_tracked) == 1  # the step, not the probe


class Shared(nn.Module):
    """A backbone that several modules hold together: it copies itself by not doing so."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(6)

    def forward(self, X):
        return self.norm(X)

    def __deepcopy__(self, memo):
        return self


def test_the_probe_leaves_no_trace_in_a_part_that_is_not_copied():
    backbone = Shared()
    before = backbone.norm.running_mean.clone()
    wrong = nn.Sequential(backbone, nn.Linear(6, 3), nn.Softmax(dim=1)).eval()
    with pytest.raises(ModuleOutputError, match="ACC-C1"):
        TorchClassifier(wrong).fit(X, Y)
    assert torch.equal(backbone.norm.running_mean, before)
    assert int(backbone.norm.num_batches_tracked) == 0
    assert not backbone.training
    TorchClassifier(nn.Sequential(backbone, nn.Linear(6, 3)), max_epochs=2, batch_size=10).fit(X, Y)
    assert int(backbone.norm.num_batches_tracked) == 8


class KeepsGraph(nn.Linear):
    """Remembers its last output, graph and all: deepcopy refuses it."""

    def forward(self, X):
        self.last = super().forward(X)
        return self.last


def test_an_instance_that_was_run_and_kept_its_graph_can_be_given():
    module = KeepsGraph(6, 3)
    module(torch.from_numpy(X))
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(module)
    TorchClassifier(module, max_epochs=1).fit(X, Y)
    assert module.last.requires_grad


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_scripted_module_trains():
    clf = TorchClassifier(lambda: torch.jit.script(nn.Linear(6, 3)), max_epochs=1, random_state=0).fit(X, Y)
    assert clf.predict(X).shape == (40,)


def test_batches_of_one_row_run_batch_norm_in_evaluation_mode_with_one_warning():
    clf = TorchClassifier(DropNorm, batch_size=1, max_epochs=3, random_state=0)
    with pytest.warns(AccuracyWarning, match="ACC-B8.*batch_size of at least 2") as caught:
        clf.fit(X, Y)
    assert len(caught) == 1
    assert int(clf.module_.layers[1].num_batches_tracked) == 0
    with pytest.warns(AccuracyWarning, match="ACC-B8"):
        TorchClassifier(DropNorm, module__n_classes=2, max_epochs=1).fit(X[:1], Y[:1])


def test_batch_norm_over_images_trains_on_one_image():
    from tests.modules import Images

    clf = TorchClassifier(Images, batch_size=1, max_epochs=1).fit(X.reshape(40, 1, 2, 3), Y)
    assert int(clf.module_.layers[1].num_batches_tracked) == 40


def test_a_squeeze_is_named_before_one_row_is_predicted():
    with pytest.raises(ModuleOutputError, match=r"ACC-B8.*returned \(3,\) float32.*squeeze"):
        TorchClassifier(**net(lambda z: z.squeeze()), max_epochs=1).fit(X, Y)


def test_a_module_that_lies_only_later_is_caught_then():
    clf = TorchClassifier(**net(), max_epochs=1).fit(X, Y)
    clf.module_.change = lambda z: z[:-1]
    with pytest.raises(ModuleOutputError, match=r"ACC-B4.*returned \(39, 3\) for 40 rows"):
        clf.predict(X)


class Heads(nn.Module):
    """Two heads that train together; in evaluation mode the first one alone."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.first, self.second = nn.Linear(n_features, n_classes), nn.Linear(n_features, n_classes)

    def forward(self, X):
        return torch.stack([self.first(X), self.second(X)], dim=1) if self.training else self.first(X)


class OfAllHeads(nn.Module):
    def forward(self, output, target):
        heads = output.unbind(1) if output.ndim == 3 else [output]
        return sum(nn.functional.cross_entropy(head, target) for head in heads)


def test_heads_that_only_help_the_training_are_left_alone():
    clf = TorchClassifier(Heads, criterion=OfAllHeads, output="logits", max_epochs=3, batch_size=16, random_state=0)
    clf.fit(X, Y, X_val=X, y_val=Y)
    assert clf.history_["train_acc"].iloc[-1] == clf.score(X, Y)


class ChangesLater(nn.Linear):
    """Returns one column more from some call on, in one mode."""

    calls = 0

    def __init__(self, n_features, n_classes, mode, after, change):
        super().__init__(n_features, n_classes)
        self.mode, self.after, self.change = mode, after, change

    def forward(self, X):
        z = super().forward(X)
        if self.training is not self.mode:
            return z
        self.calls += 1
        return self.change(z) if self.calls > self.after else z


CHANGES = {
    "one column more": (lambda z: nn.functional.pad(z, (0, 1)), r"returned \(\d+, 4\)"),
    "an axis more": (lambda z: z[:, None], r"returned \(\d+, 1, 3\)"),
    "a tuple": (lambda z: (z, z), "returned a tuple"),
}


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.LBFGS])
@pytest.mark.parametrize("train_accuracy", ["exact", None])
@pytest.mark.parametrize("after", [1, 2, 4])
@pytest.mark.parametrize("change", CHANGES)
def test_outputs_of_another_shape_in_training_are_refused(change, after, train_accuracy, optimizer):
    change, message = CHANGES[change]
    module = {"module": ChangesLater, "module__mode": True, "module__after": after, "module__change": change}
    clf = TorchClassifier(
        **module, max_epochs=3, batch_size=16, optimizer=optimizer, train_accuracy=train_accuracy, random_state=0
    )
    with pytest.raises(
        ModuleOutputError, match=rf"ACC-C8.*in training mode\) {message}.*shape \(n, 3\) before epoch 1"
    ):
        clf.fit(X, Y)


class HearsBatches(Callback):
    def on_batch_end(self, net, **kwargs):
        pass


@pytest.mark.parametrize("change", CHANGES)
def test_outputs_of_another_shape_are_refused_where_batches_are_heard(change):
    change, message = CHANGES[change]
    module = {"module": ChangesLater, "module__mode": True, "module__after": 2, "module__change": change}
    clf = TorchClassifier(**module, max_epochs=3, batch_size=16, callbacks=[HearsBatches], random_state=0)
    with pytest.raises(ModuleOutputError, match=rf"ACC-C8.*in training mode\) {message}"):
        clf.fit(X, Y)


@pytest.mark.parametrize("change", ["one column more", "an axis more"])
@pytest.mark.parametrize("validated", [True, False])
def test_outputs_of_another_shape_in_evaluation_are_refused(change, validated):
    change, message = CHANGES[change]
    module = {"module": ChangesLater, "module__mode": False, "module__after": 4, "module__change": change}
    validation = (X, Y) if validated else (None, None)
    clf = TorchClassifier(**module, max_epochs=9, train_accuracy=None if validated else "exact", random_state=0)
    with pytest.raises(ModuleOutputError, match=rf"ACC-C8.*in evaluation mode\) {message}"):
        clf.fit(X, Y, X_val=validation[0], y_val=validation[1])


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
def test_outputs_of_another_shape_are_refused_when_predicting(method):
    clf = TorchClassifier(**net(), max_epochs=1).fit(X, Y)
    clf.module_.change = lambda z: z[:, :2]
    with pytest.raises(ModuleOutputError, match=r"ACC-C8.*shape \(40, 2\), which do not fit 3 classes"):
        getattr(clf, method)(X)


@pytest.mark.parametrize("settings", [{}, {"batch_size": 1}, {"early_stopping": True, "validation_fraction": 0.2}])
@pytest.mark.parametrize("change", [lambda z: nn.functional.dropout(z, 0.5), lambda z: nn.Dropout(0.5)(z)])
def test_random_outputs_in_evaluation_mode_are_reported_once(settings, change):
    clf = TorchClassifier(**net(change), max_epochs=3, random_state=0, **settings)
    with pytest.warns(AccuracyWarning) as caught:
        clf.fit(X, Y)
    assert [warning.message.code for warning in caught] == ["ACC-E11"]
    with pytest.raises(SktorchAccError, match="ACC-E11"):
        clf.set_params(diagnose="raise").fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf.set_params(diagnose="off").fit(X, Y)
        TorchClassifier(**net(change, mode=True), max_epochs=1).fit(X, Y)
        TorchClassifier(**net(change), max_epochs=1).fit(X[:1], Y[:1])  # nothing to compare with


@pytest.mark.parametrize("seed", range(3))
def test_dropout_at_a_low_rate_is_noticed(seed):
    clf = TorchClassifier(**net(lambda z: nn.functional.dropout(z, 0.05)), max_epochs=1, random_state=seed)
    with pytest.warns(AccuracyWarning, match="ACC-E11"):
        clf.fit(np.tile(X, (4, 1)), np.tile(Y, 4))


class LayerDrop(nn.Module):
    """A layer that is left out now and then, in evaluation mode too."""

    def __init__(self, n_features, n_classes, draw, rate=0.3):
        super().__init__()
        self.body, self.more = nn.Linear(n_features, 16), nn.Linear(16, 16)
        self.head, self.draw, self.rate = nn.Linear(16, n_classes), draw, rate

    def forward(self, X):
        h = self.body(X).relu()
        return self.head(h if self.draw() < self.rate else h + self.more(h).relu())


DRAWS = {
    "torch": lambda: float(torch.rand(())),
    "numpy": lambda: np.random.rand(),  # noqa: NPY002
    "Python": lambda: random.random(),
}


@pytest.mark.parametrize("settings", [{}, {"batch_size": 1}])
@pytest.mark.parametrize("source", DRAWS)
def test_a_layer_that_is_left_out_by_chance_is_random_whatever_the_seed(source, settings):
    for seed in range(10):
        clf = TorchClassifier(LayerDrop, module__draw=DRAWS[source], max_epochs=1, random_state=seed, **settings)
        with pytest.warns(AccuracyWarning) as caught:
            clf.fit(X, Y)
        assert [warning.message.code for warning in caught] == ["ACC-E11"]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            clf.set_params(diagnose="off").fit(X, Y)


@pytest.mark.parametrize(
    "change",
    [
        lambda z: z.flip(1) if torch.rand(()) < 0.3 else z,
        lambda z: z * (torch.rand(len(z), 1) > 0.02),
        lambda z: nn.functional.dropout(z, 0.01),
    ],
    ids=["a flip of the batch", "samples", "dropout at a low rate"],
)
def test_what_is_random_now_and_then_is_never_refused(change):
    for seed in range(10):
        clf = TorchClassifier(**net(change), max_epochs=1, random_state=seed)
        with pytest.warns(AccuracyWarning) as caught:
            clf.fit(np.tile(X, (4, 1)), np.tile(Y, 4))
        assert [warning.message.code for warning in caught] == ["ACC-E11"]


@pytest.mark.parametrize("source", DRAWS)
def test_random_numbers_without_influence_are_not_reported(source):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = TorchClassifier(LayerDrop, module__draw=DRAWS[source], module__rate=0, max_epochs=30, batch_size=4)
        clf.set_params(random_state=0, lr=0.01).fit(X, Y)
    assert clf.score(X, Y) == clf.history_["train_acc"].iloc[-1]


class LateNorm(nn.Module):
    """Makes a layer in its first forward."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.norm, self.head = None, nn.Linear(n_features, n_classes)

    def forward(self, X):
        if self.norm is None:
            self.norm = nn.BatchNorm1d(X.shape[1], affine=False)
        return self.head(self.norm(X))


@pytest.mark.parametrize("copies", [1, 10])
def test_a_layer_made_in_the_first_forward_is_not_refused(copies):
    rows, y = np.tile(X, (copies, 1)), np.tile(Y, copies)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = TorchClassifier(LateNorm, max_epochs=3, random_state=0).fit(rows, y)
    assert clf.score(rows, y) == clf.history_["train_acc"].iloc[-1]


def masked(change):
    """Change the scores; the last class is impossible."""
    return lambda z: change(z).masked_fill(torch.tensor([False, False, False, True]), -torch.inf)


def test_a_class_that_is_masked_hides_nothing():
    for change, code in (
        (lambda z: nn.functional.dropout(z, 0.5), "ACC-E11"),
        (lambda z: z - z.mean(0), "ACC-B4"),
        (lambda z: z, None),
    ):
        clf = TorchClassifier(**net(masked(change), columns=4), random_state=0, diagnose="raise")
        if code is None:
            clf.partial_fit(X, INDICES, classes=[0, 1, 2, 3])
            continue
        with pytest.raises(SktorchAccError, match=code):
            clf.partial_fit(X, INDICES, classes=[0, 1, 2, 3])


def test_the_probe_leaves_no_flag_behind():
    class FirstBatch(nn.Module):
        """Normalises by what its first batch was, as data-dependent initialisations do."""

        def __init__(self, n_features, n_classes):
            super().__init__()
            self.layer, self.ready = nn.Linear(n_features, n_classes), False
            self.register_buffer("mean", torch.zeros(n_features))

        def forward(self, X):
            if not self.ready:
                self.mean.copy_(X.mean(0) + 1)
                self.ready = True
            return self.layer(X - self.mean)

    clf = TorchClassifier(FirstBatch, max_epochs=1, batch_size=16, random_state=0).fit(X, Y)
    assert (clf.module_.mean != 0).all()


@pytest.mark.parametrize("columns", [1, 3])
def test_a_sigmoid_at_the_end_is_refused_for_any_number_of_columns(columns):
    module = nn.Sequential(nn.Linear(6, columns), nn.Sigmoid())
    criterion, y = (nn.BCEWithLogitsLoss, TWO) if columns == 1 else (nn.CrossEntropyLoss, Y)
    with pytest.raises(ModuleOutputError, match=r"ACC-C1.*ends in a Sigmoid"):
        TorchClassifier(module, criterion=criterion).fit(X, y)


def test_half_precision_is_judged_by_its_own_rounding():
    right = nn.Sequential(nn.Linear(6, 3), nn.LogSoftmax(1)).bfloat16()
    TorchClassifier(right, criterion=NLL, max_epochs=1).fit(X, Y)
    with pytest.raises(ModuleOutputError, match="ACC-C1"):
        TorchClassifier(nn.Sequential(nn.Linear(6, 3), nn.Softmax(1)).bfloat16(), max_epochs=1).fit(X, Y)


class Mixed(nn.Module):
    """Computes in bfloat16 first and returns float32."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.first = nn.Linear(n_features, 8, dtype=torch.bfloat16)
        self.head = nn.Linear(8, n_classes)

    def forward(self, X):
        return self.head(self.first(X).float())


@pytest.mark.parametrize(
    "settings", [{"class_weight": "balanced"}, {"criterion__weight": torch.tensor([1.0, 2.0, 3.0])}]
)
def test_weights_take_the_dtype_of_the_output(settings):
    clf = TorchClassifier(Mixed, max_epochs=2, validation_fraction=0.2, random_state=0, **settings).fit(X, Y)
    assert np.isfinite(clf.history_.to_numpy()).all()


class Focal(nn.CrossEntropyLoss):
    """Returns one number whatever its reduction says, as focal losses are often written."""

    def forward(self, output, target):
        loss = nn.functional.cross_entropy(output, target, reduction="none")
        return ((1 - torch.exp(-loss)) ** 2 * loss).mean()


def test_a_criterion_that_cannot_weigh_rows_says_so_instead_of_ignoring_weights():
    TorchClassifier(criterion=Focal, max_epochs=1).fit(X, Y)
    with pytest.raises(ValueError, match=r"Focal returned one number.*obey self\.reduction"):
        TorchClassifier(criterion=Focal, class_weight="balanced", max_epochs=1).fit(X, Y)


def test_ignored_targets_are_left_out_of_the_weights():
    weights = np.where(np.arange(40) == 0, 1 + 1e-9, 1.0)
    settings = {"criterion__ignore_index": 1, "lr": 1e-30, "max_epochs": 1, "batch_size": 40, "random_state": 0}
    wide = X.astype("float64")
    plain = TorchClassifier(**settings).fit(wide, Y).loss_curve_
    weighted = TorchClassifier(**settings).fit(wide, Y, sample_weight=weights).loss_curve_
    assert weighted == pytest.approx(plain, rel=1e-7)


def test_an_error_inside_the_module_gets_a_note():
    class Embeds(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Embedding(9, 3)

        def forward(self, X):
            return self.layer(X).mean(1)

    with pytest.raises(RuntimeError) as caught:
        TorchClassifier(Embeds).fit(np.abs(X).astype(int), Y)
    assert "torch.as_tensor(X)" in caught.value.__notes__[0]
    TorchClassifier(Embeds, max_epochs=1).fit(torch.as_tensor(np.abs(X).astype(int)), Y)


class Explodes(DropNorm):
    def forward(self, X):
        self.calls = getattr(self, "calls", 0) + 1
        return super().forward(X) * (torch.inf if self.calls > 10 else 1.0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"module": Explodes, "module__p": 0.0}, r"ACC-F3.*epoch 3.*try 0\.0001"),
        ({"optimizer": torch.optim.SGD, "lr": 1e30}, r"ACC-F3.*in epoch \d.*lr=1e\+30 is likely too high"),
    ],
)
def test_a_loss_that_explodes_names_the_epoch_and_the_likely_cause(settings, message):
    clf = TorchClassifier(**settings, max_epochs=9, batch_size=10, train_accuracy=None)
    with pytest.raises(NonFiniteLossError, match=message):
        clf.fit(X, Y)
    assert not hasattr(clf, "classes_")


def test_unscaled_data_are_the_likely_cause_where_they_are():
    clf = TorchClassifier(optimizer=torch.optim.SGD, lr=1e9, max_epochs=9, diagnose="off")
    with pytest.raises(NonFiniteLossError, match=r"values up to .*StandardScaler"):
        clf.fit(X * 1e3, Y)


def test_weights_that_end_not_finite_are_an_error_though_every_loss_was_finite():
    settings = {"optimizer": torch.optim.SGD, "lr": 1e38, "max_epochs": 1, "batch_size": 40}
    clf = TorchClassifier(**settings, train_accuracy=None, diagnose="off")
    with pytest.raises(NonFiniteLossError):
        clf.fit(X * 1e3, Y)


def test_a_nan_at_predict_is_an_error():
    class Divides(DropNorm):
        def forward(self, X):
            return super().forward(X) * (X[:, :1] - 99) / (X[:, :1] - 99)

    clf = TorchClassifier(Divides, max_epochs=1, random_state=0).fit(X, Y)
    rows = X[:3].copy()
    rows[1, 0] = 99
    with pytest.raises(ValueError, match=r"ACC-D5.*NaN for 1 of the rows 0 to 2.*TorchClassifier"):
        clf.predict(rows)
