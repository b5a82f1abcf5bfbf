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
from torch import nn

from sktorch_acc import load_model, save_model
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

    moments, found = random.Random(0), []
    for i in range(100):
        child = _fork(lambda first=i % 2: save_for_ever(first))
        time.sleep(moments.uniform(0, 6 * statistics.median(durations)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        proba = load_model(path, TwoLayers).predict_proba(X)
        found.append([np.array_equal(proba, wanted) for wanted in expected])
    assert all(sum(which) == 1 for which in found)
    assert {which[0] for which in found} == {True, False}
    assert list(tmp_path.glob(".model.sktorch.*.tmp")), "no kill came while a file was being written"


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
