"""A search leaves nothing behind: no thread, no file, no process, no global state."""

import os
import random
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktorch_acc import TorchClassifier
from tests.modules import DropNorm

torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])  # with the first optimizer of a process torch sets a variable
GRID = {"torchclassifier__lr": [0.001, 0.003, 0.01, 0.03], "torchclassifier__module__hidden": [4, 8]}


def open_files():
    """What the process holds open, less pipes and sockets; nothing where the system does not tell."""
    folder = Path("/proc/self/fd")
    if not folder.is_dir():
        return []
    names = (os.readlink(entry) for entry in folder.iterdir() if entry.is_symlink())
    return sorted(name for name in names if name.startswith("/") and not name.startswith("/dev"))


def global_state():
    numpy_state = np.random.get_state()  # noqa: NPY002
    return {
        "torch": torch.default_generator.get_state().tolist(),
        "numpy": (numpy_state[1].tolist(), *numpy_state[2:]),
        "python": random.getstate(),
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "environment": dict(os.environ),
    }


@pytest.mark.parametrize("outcome", ["success", "failure"])
def test_a_search_over_8_candidates_leaves_nothing_behind(outcome, tmp_path, monkeypatch):
    X, y = load_iris(return_X_y=True)
    y = load_iris().target_names[y]
    if outcome == "failure":
        X = X * 1e300  # too large for float32
    pipeline = make_pipeline(StandardScaler(), TorchClassifier(DropNorm, max_epochs=2, random_state=0))
    if outcome == "failure":
        pipeline.steps.pop(0)
    monkeypatch.chdir(tmp_path)
    search = GridSearchCV(pipeline, GRID, cv=2, error_score="raise")
    threads, files, state = threading.enumerate(), open_files(), global_state()
    if outcome == "success":
        search.fit(X, y)
        assert len(search.cv_results_["params"]) == 8
    else:
        with pytest.raises(ValueError, match="infinite in float32"):
            search.fit(X, y)
    assert threading.enumerate() == threads
    assert open_files() == files
    assert list(tmp_path.iterdir()) == []
    assert global_state() == state


def test_a_search_does_not_depend_on_the_global_generators():
    X, y = load_iris(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), TorchClassifier(DropNorm, max_epochs=2, random_state=0))
    scores = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        search = GridSearchCV(pipeline, GRID, cv=2, error_score="raise").fit(X, y)
        scores.append(search.cv_results_["mean_test_score"].tolist())
    assert scores[0] == scores[1]


@pytest.mark.parametrize("n_threads", ["auto", 1, 2])
@pytest.mark.slow
def test_workers_of_joblib_train_the_same_models_as_one_process(n_threads):
    X, y = load_iris(return_X_y=True)
    clf = TorchClassifier(DropNorm, max_epochs=3, n_threads=n_threads, random_state=0)
    serial = cross_val_score(clf, X, y, cv=3, error_score="raise")
    assert cross_val_score(clf, X, y, cv=3, n_jobs=2, error_score="raise").tolist() == serial.tolist()


@pytest.mark.slow
def test_a_worker_uses_no_more_threads_than_it_was_given():
    """joblib divides the cores among its workers: inside one, torch has one thread on two cores."""
    from joblib import Parallel, delayed

    counts = Parallel(n_jobs=2)(delayed(threads_in_fit)(4) for _ in range(2))
    assert all(used <= available and before == after for used, available, before, after in counts)


def threads_in_fit(n_threads):
    """Fit; return the threads of the model, those available, and those before and after."""
    X, y = load_iris(return_X_y=True)
    before = torch.get_num_threads()
    clf = TorchClassifier(max_epochs=1, n_threads=n_threads, random_state=0).fit(X, y)
    return clf._state.model.n_threads, before, before, torch.get_num_threads()
