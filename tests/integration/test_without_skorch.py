"""skorch is for callbacks: without them it is not imported, not called, and not in a pickle or a model file."""

import io
import json
import pickle
import pickletools
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback

from sktorch_acc import TorchClassifier
from tests.modules import DropNorm
from tests.saved import parts, saved, small, table, three_classes

X, Y = table(), three_classes()


class Nothing(Callback):
    """A callback that does nothing."""


# ------------------------------------------------------------ imports and calls

SCRIPT = """
import io, pickle, sys
import numpy as np, torch
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sktorch_acc import TorchClassifier, inspect_model, load_model, save_model

X = np.random.default_rng(0).standard_normal((60, 4)).astype("float32")
y = np.arange(60) % 3

def check(what):
    found = [name for name in sys.modules if name.partition(".")[0] == "skorch"]
    if found:
        sys.exit(f"{what} imports {found[:3]}")

clf = TorchClassifier(
    max_epochs=3, validation_fraction=0.2, early_stopping=True, lr_scheduler="cosine", optimizer__weight_decay=0.1,
    warm_start=True, random_state=0,
).fit(X, y, sample_weight=np.ones(60))
check("fit")
clf.predict(X), clf.predict_proba(X), clf.decision_function(X), clf.score(X, y)
check("predict")
clf.module_, clf.history_, clf.loss_curve_, clf.callbacks_, clf.device_, repr(clf)
check("a fitted attribute")
clf.fit(X, y).set_params(early_stopping=False).partial_fit(X, y)
check("a fit that continues")
pickle.loads(pickle.dumps(clf)).predict(X)
check("pickle")
file = io.BytesIO()
save_model(clf, file, with_optimizer=True)
load_model(file).partial_fit(X, y)
inspect_model(file)
check("a model file")
clone(clf).set_params(max_epochs=1).fit(X, y)
check("clone")
cross_val_score(clone(clf), X, y, cv=2, error_score="raise")
check("cross-validation")
clf.net_
if "skorch" not in sys.modules:
    sys.exit("net_ does not import it, so that nothing was shown")
"""


@pytest.mark.slow
def test_without_callbacks_skorch_is_not_imported():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def frames_of_skorch(work):
    """The functions of skorch, and of our net, that are called while `work` runs."""
    seen = set()

    def note(frame, event, argument):
        name = frame.f_globals.get("__name__", "")
        if event == "call" and (name.partition(".")[0] == "skorch" or name.endswith("skorch_net")):
            seen.add(f"{name}.{frame.f_code.co_name}")

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return seen


def fit_and_predict(callbacks):
    clf = TorchClassifier(DropNorm, max_epochs=2, validation_fraction=0.2, callbacks=callbacks, warm_start=True)
    clf.fit(table(dtype="float32"), Y).fit(table(dtype="float32"), Y)
    clf.predict(table(dtype="float32"))


def test_without_callbacks_no_function_of_skorch_is_called():
    assert frames_of_skorch(lambda: fit_and_predict(None)) == set()
    assert frames_of_skorch(lambda: fit_and_predict([])) == set()
    assert frames_of_skorch(lambda: fit_and_predict([Nothing]))


# ------------------------------------------------------------ pickles


class Names(pickle.Unpickler):
    """Remembers the classes and functions that a pickle names."""

    def __init__(self, data):
        super().__init__(io.BytesIO(data))
        self.names = set()

    def find_class(self, module, name):
        self.names.add(f"{module}.{name}")
        return super().find_class(module, name)


def names_in(data):
    reader = Names(data)
    reader.load()
    return reader.names


def mentions_skorch(data):
    texts = [argument for _, argument, _ in pickletools.genops(data) if isinstance(argument, str)]
    return any("skorch" in text.lower() for text in [*texts, *names_in(data)])


@pytest.mark.parametrize("settings", [{}, {"warm_start": True}, {"callbacks": []}])
@pytest.mark.parametrize("looked_at", [False, True])
def test_a_pickle_of_a_fit_without_callbacks_names_nothing_of_skorch(settings, looked_at):
    clf = small(DropNorm, table(dtype="float32"), **settings)
    if looked_at:
        assert len(clf.net_.history) == 2
    assert not mentions_skorch(pickle.dumps(clf))


def test_a_pickle_of_a_fit_with_callbacks_names_the_net():
    clf = small(callbacks=[Nothing])
    data = pickle.dumps(clf)
    assert mentions_skorch(data)
    assert "sktorch_acc.observers.skorch_net.SkorchNet" in names_in(data)
    assert list(pickle.loads(data).net_.history) == list(clf.net_.history)


def test_a_net_that_was_looked_at_is_made_again_after_a_pickle():
    clf = small()
    before = list(clf.net_.history)
    again = pickle.loads(pickle.dumps(clf))
    assert again.__dict__["_net"] is None
    assert list(again.net_.history) == before
    assert again.net_.module_ is again.module_


# ------------------------------------------------------------ model files


def paths_of(value, path=()):
    """Every entry of a manifest with the keys that lead to it."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from paths_of(part, (*path, key))
    else:
        yield path, value


def test_no_entry_of_a_model_file_is_about_a_net():
    clf = small(warm_start=True)
    clf.net_  # noqa: B018 - looked at
    manifest, _ = parts(saved(clf, with_optimizer=True))
    assert manifest["callback_record"] is None
    keys = {key for path, _ in paths_of(manifest) for key in path}
    assert not [key for key in keys if "net" in key or "skorch" in key]
    assert "skorch" not in json.dumps(manifest)


def test_what_callbacks_recorded_is_in_a_model_file():
    manifest, _ = parts(saved(small(callbacks=[Nothing])))
    assert [record["epoch"] for record in manifest["callback_record"]] == [1, 2]


# ------------------------------------------------------------ the net that is made when somebody asks

CASES = {
    "plain": {},
    "hold-out": {"validation_fraction": 0.25},
    "running": {"train_accuracy": "running", "batch_size": 7},
    "no accuracy": {"train_accuracy": None, "validation_fraction": 0.25},
    "schedule and early stopping": {
        "lr_scheduler": "onecycle",
        "validation_fraction": 0.25,
        "early_stopping": True,
        "max_epochs": 12,
        "lr": 0.1,
    },
    "class weights": {"class_weight": "balanced"},
}


def untimed(history):
    """The records without the seconds that they took, in their order."""
    return [[(name, value) for name, value in record.items() if name != "dur"] for record in history]


@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_its_history_is_that_of_the_same_fit_with_a_callback_that_does_nothing(settings):
    settings = {"max_epochs": 4, "random_state": 0, **settings}
    lazy = TorchClassifier(DropNorm, **settings).fit(X.astype("float32"), Y)
    eager = TorchClassifier(DropNorm, **settings, callbacks=[Nothing]).fit(X.astype("float32"), Y)
    assert len(lazy.net_.history) == lazy.n_iter_ > 0
    assert untimed(lazy.net_.history) == untimed(eager.net_.history)
    assert lazy.net_.history[:, "dur"] == lazy.history_["seconds"].tolist()
    assert type(lazy.net_.history) is type(eager.net_.history)


def test_its_history_goes_on_over_fits_that_continue():
    histories = []
    for callbacks in (None, [Nothing]):
        clf = TorchClassifier(max_epochs=2, warm_start=True, random_state=0, callbacks=callbacks).fit(X, Y)
        clf.set_params(train_accuracy=None, validation_fraction=0.25, lr=0.1).fit(X, Y)
        clf.partial_fit(X[:20], Y[:20])
        histories.append(untimed(clf.net_.history))
    assert len(histories[0]) == 5
    assert histories[0] == histories[1]


def test_it_is_made_once_and_again_after_a_fit():
    clf = small(warm_start=True)
    net = clf.net_
    assert clf.net_ is net
    clf.fit(X, Y)
    assert clf.net_ is not net
    assert len(clf.net_.history) == 4


def test_it_is_made_without_running_the_module_or_moving_a_generator():
    class Counts(DropNorm):
        calls = 0

        def forward(self, X):
            Counts.calls += 1
            return super().forward(X)

    clf = small(Counts, X.astype("float32"))
    calls, state = Counts.calls, torch.get_rng_state()
    weights = [tensor.clone() for tensor in clf.module_.state_dict().values()]
    history = clf.history_.copy()
    assert clf.net_.module_ is clf.module_
    assert Counts.calls == calls
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(clf.module_.state_dict().values(), weights, strict=True))
    assert clf.history_.equals(history)
    assert not clf.module_.training


def test_it_costs_no_more_than_a_few_calls_an_epoch():
    """Counted, not timed: the calls grow with the epochs, not with their square."""

    def calls(n_epochs):
        clf = TorchClassifier(max_epochs=n_epochs, train_accuracy=None, random_state=0).fit(X, Y)
        count = [0]

        def note(frame, event, argument):
            count[0] += event in ("call", "c_call")

        sys.setprofile(note)
        try:
            clf.net_  # noqa: B018 - made here
        finally:
            sys.setprofile(None)
        return count[0]

    few, many = calls(10), calls(110)
    assert (many - few) / 100 < 200


def test_two_threads_get_the_same_net():
    clf = small(max_epochs=300, train_accuracy=None)
    nets, barrier = [], threading.Barrier(4)

    def look():
        barrier.wait()
        nets.append(clf.net_)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(nets) == 4
    assert {id(net) for net in nets} == {id(clf.net_)}
    assert len(clf.net_.history) == 300


def test_a_clone_has_none():
    clf = small()
    clf.net_  # noqa: B018 - looked at
    assert "_net" not in vars(clone(clf))


@pytest.mark.parametrize("name", ["net_", "callbacks_", "module_", "device_", "loss_curve_"])
def test_before_a_fit_there_is_none(name):
    with pytest.raises(AttributeError, match=f"no attribute '{name}': it is not fitted yet"):
        getattr(TorchClassifier(), name)


def test_predictions_of_the_net_are_those_of_the_estimator():
    clf = small()
    assert np.array_equal(clf.classes_[clf.net_.predict(X)], clf.predict(X))
    assert np.array_equal(clf.net_.predict_proba(X), clf.predict_proba(X))
