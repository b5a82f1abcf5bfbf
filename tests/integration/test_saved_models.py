"""Saved models outside the process that saved them: other processes, other settings, and kills."""

import os
import random
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal, assert_array_max_ulp
from pandas.testing import assert_frame_equal
from torch import nn

from sktorch_acc import inspect_model, load_model, save_model
from sktorch_acc.callbacks import PerClassAccuracy, TrainAccuracy
from tests.saved import TwoLayers, small, table, three_classes

DATA = Path(__file__).parent.parent / "data"
ROOT = Path(__file__).parent.parent.parent

LOAD = """
import locale, sys, time
import numpy as np
from sktorch_acc import load_model
from tests.saved import TwoLayers
locale.setlocale(locale.LC_ALL, "")
clf = load_model(sys.argv[1], TwoLayers)
assert clf.feature_names_in_.tolist() == ["ä", "b", "c", "d"], clf.feature_names_in_
np.savez(sys.argv[2], proba=clf.predict_proba(np.load(sys.argv[3])), classes=clf.classes_, zone=time.tzname[0])
"""


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TZ": "Pacific/Kiritimati"},
        {"LC_ALL": "POSIX", "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TZ": "America/St_Johns", "PYTHONHASHSEED": "7"},
    ],
    ids=["the same", "ASCII and the farthest time zone", "weights_only"],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.slow
def test_a_new_process_predicts_the_same_bits(tmp_path, settings):
    X = pd.DataFrame(table(), columns=["ä", "b", "c", "d"])
    dates = np.array(["2026-03-29T02:30", "2026-10-25T02:30", "2027-01-01T00:00"], dtype="M8[m]")
    clf = small(TwoLayers, X, dates[three_classes()], n_threads=1)
    model, out, rows, script = (tmp_path / name for name in ("modèle.sktorch", "out.npz", "X.npy", "load.py"))
    save_model(clf, model)
    np.save(rows, X.to_numpy())
    script.write_text(LOAD, encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), **settings}
    command = [sys.executable, "-W", "ignore:X does not have valid feature names", script, model, out, rows]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    with np.load(out) as result:
        assert_array_equal(result["proba"], clf.predict_proba(X))
        assert_array_equal(result["classes"], clf.classes_)
        assert result["classes"].dtype == clf.classes_.dtype


def _fork(work):
    """Run `work` in a forked child that never returns; return its process id."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.slow
def test_a_kill_at_a_hundred_moments_leaves_the_old_model_or_the_new_one(tmp_path):
    path, X = tmp_path / "model.sktorch", table()
    models = [small(TwoLayers, X, random_state=seed, module__hidden=1000) for seed in (0, 1)]
    expected = [clf.predict_proba(X) for clf in models]
    durations = []
    for clf in (*models, *models):
        started = time.perf_counter()
        save_model(clf, path)
        durations.append(time.perf_counter() - started)

    def save_for_ever(first):
        while True:
            save_model(models[first], path)
            save_model(models[1 - first], path)

    moments, found, abandoned = random.Random(0), [], 0
    for i in range(100):
        child = _fork(lambda first=i % 2: save_for_ever(first))
        time.sleep(moments.uniform(0, 6 * statistics.median(durations)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        abandoned += len(list(tmp_path.glob(".model.sktorch.*.tmp")))
        proba = load_model(path, TwoLayers).predict_proba(X)
        found.append([np.array_equal(proba, wanted) for wanted in expected])
    assert all(sum(which) == 1 for which in found)
    assert {which[0] for which in found} == {True, False}
    assert abandoned, "no kill came while a file was being written"
    save_model(models[0], path)
    assert list(tmp_path.iterdir()) == [path]


def test_files_of_format_1_can_be_loaded():
    """Do not regenerate these files: they stand for the files that users have.

    Weights and rows are multiples of powers of two, so that the logits are exact on every machine.
    """
    clf = load_model(DATA / "model-format-1.sktorch", TwoLayers, device="cpu")
    with np.load(DATA / "model-format-1.npz") as expected:
        X = pd.DataFrame(expected["X"], columns=clf.feature_names_in_)
        assert_array_equal(clf.decision_function(X), expected["logits"])
        assert_array_max_ulp(clf.predict_proba(X), expected["proba"], maxulp=4)
    assert clf.classes_.tolist() == ["katze", "luchs", "otter"]
    assert clf.feature_names_in_.tolist() == ["alter", "größe", "gewicht"]
    assert clf.history_.index.tolist() == [1, 2, 3]
    assert clf.get_params()["module__hidden"] == 5
    assert clf.class_weight == {"katze": 1.0, "luchs": 2.0, "otter": 1}
    assert clf.get_params()["module__activation"] is nn.ReLU
    assert len(clf.net_.optimizer_.state_dict()["state"]) == 4
    assert clf.partial_fit(X, clf.classes_[np.arange(len(X)) % 3]).n_iter_ == 4


EARLIER_X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0], [0.5, 1.0], [1.5, 0.5]], dtype="float32")
EARLIER_Y = np.array(["luchs", "luchs", "otter", "otter", "luchs", "otter"])


def earlier_logits(X):
    """The outputs of both files below, whose weights are multiples of powers of two."""
    return X @ np.array([[-0.5, 0.5], [0.25, -0.25]], dtype="float32") + np.array([0.75, -0.25], dtype="float32")


def saved_again(clf, path, **options):
    """Save a model that was loaded from an earlier format, and load that file."""
    save_model(clf, path, with_optimizer=bool(clf._state.optimizer))
    assert inspect_model(path)["format_version"] == 2
    return load_model(path, nn.Linear, **options)


def assert_same(again, clf):
    assert_frame_equal(again.history_, clf.history_, check_exact=True)
    assert_array_equal(again.predict_proba(EARLIER_X), clf.predict_proba(EARLIER_X))
    assert list(again.net_.history) == list(clf.net_.history)
    assert again.get_params() == clf.get_params()


def test_a_file_of_format_1_with_callbacks_loads_trains_on_and_is_saved_as_format_2(tmp_path):
    """Do not regenerate the file."""
    callbacks = [TrainAccuracy, PerClassAccuracy]
    path = DATA / "model-format-1-callbacks.sktorch"
    assert inspect_model(path)["format_version"] == 1
    clf = load_model(path, nn.Linear, allow=callbacks)
    difference = earlier_logits(EARLIER_X)[:, 1] - earlier_logits(EARLIER_X)[:, 0]
    assert_array_equal(clf.decision_function(EARLIER_X), difference)
    assert [type(callback) for _, callback in clf.callbacks_] == callbacks
    assert clf.history_.index.tolist() == [1, 2]
    assert clf.net_.history[:, "train_acc"] == clf.history_["train_acc"].tolist()
    assert clf.net_.history[:, "train_acc[otter]"] == clf.history_["train_acc[otter]"].tolist()
    assert clf.net_.history[:, "valid_loss_best"] == [True, True]
    assert_same(saved_again(clf, tmp_path / "again", allow=callbacks), clf)
    before = clf.history_.copy()
    clf.partial_fit(EARLIER_X, EARLIER_Y)
    assert_frame_equal(clf.history_.iloc[:2][before.columns], before, check_exact=True)
    assert clf.history_.loc[3, "train_acc"] == clf.score(EARLIER_X, EARLIER_Y) == clf.net_.history[-1, "train_acc"]
    assert len(clf.net_.history) == 3
    assert_same(saved_again(clf, tmp_path / "more", allow=callbacks), clf)


def test_a_file_of_format_1_in_the_middle_of_a_schedule_goes_on_as_a_new_fit_would(tmp_path):
    """Do not regenerate the file: 4 of the 8 epochs of a cosine, 3 steps each."""
    clf = load_model(DATA / "model-format-1-schedule.sktorch", nn.Linear)
    assert_array_equal(clf.decision_function(EARLIER_X), earlier_logits(EARLIER_X) @ np.array([-1, 1], dtype="float32"))
    assert clf.history_.loc[4, "lr"] < clf.lr == 0.125
    optimizer = clf._state.optimizer
    assert [group["lr"] for group in optimizer.param_groups] == [0.125]
    assert {int(state["step"]) for state in optimizer.state.values()} == {12}
    again = saved_again(clf, tmp_path / "again")
    assert_same(again, clf)
    for model in (clf, again):
        model.fit(EARLIER_X, EARLIER_Y)
        lr = model.history_["lr"].to_numpy()
        assert_array_equal(lr[4:], lr[:4])
        assert {int(state["step"]) for state in model._state.optimizer.state.values()} == {24}
    assert_array_equal(again.predict_proba(EARLIER_X), clf.predict_proba(EARLIER_X))
    assert_same(saved_again(clf, tmp_path / "more"), clf)
