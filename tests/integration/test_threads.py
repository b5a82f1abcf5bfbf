"""``n_threads="auto"`` takes what it is given and no more, also in processes of joblib; threads keep theirs."""

import os
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from joblib import Parallel, cpu_count, delayed, parallel_config
from torch import nn

from sktorch_acc import TorchClassifier
from sktorch_acc.engine.device import PARALLEL_OPERATIONS, resolve_threads

LARGE, SMALL = 100 * PARALLEL_OPERATIONS, PARALLEL_OPERATIONS // 100


def chosen(n_threads, operations):
    return resolve_threads(n_threads, operations, torch.device("cpu"))


def in_worker():
    return os.getpid(), torch.get_num_threads(), chosen("auto", LARGE), chosen(64, LARGE)


def test_small_steps_take_one_thread_and_large_ones_what_torch_would_use():
    assert chosen("auto", SMALL) == 1
    assert chosen("auto", LARGE) == torch.get_num_threads()
    assert chosen(64, SMALL) == torch.get_num_threads()


@pytest.mark.slow
def test_workers_of_joblib_do_not_use_more_threads_than_their_share(monkeypatch):
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    if cpu_count() < 2:
        pytest.skip("one core")
    with parallel_config("loky", n_jobs=cpu_count()):
        answers = Parallel()(delayed(in_worker)() for _ in range(2))
    for process, available, auto, many in answers:
        assert process != os.getpid()
        assert available == auto == many == 1


class Meeting(nn.Module):
    """Waits in a forward pass until as many threads as parties are in one."""

    def __init__(self, n_features, n_classes):
        super().__init__()
        self.layer = nn.Linear(n_features, n_classes)

    def forward(self, X):
        if meeting.parties:
            meeting.wait()
        return self.layer(X)


class Barrier:
    """A barrier that each thread passes once; without parties nobody waits."""

    def __init__(self):
        self.parties, self._barrier, self._passed = 0, None, set()

    def begin(self, parties):
        self.parties, self._barrier, self._passed = parties, threading.Barrier(parties), set()

    def wait(self):
        if threading.get_ident() not in self._passed:
            self._passed.add(threading.get_ident())
            self._barrier.wait(timeout=60)


meeting = Barrier()
X = np.random.default_rng(0).standard_normal((40, 4)).astype("float32")
Y = np.arange(40) % 2


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
    meeting.parties = 0


def classifier(**parameters):
    return TorchClassifier(Meeting, max_epochs=2, random_state=0, device="cpu", **parameters)


def in_pool(call, n=3):
    """Run a call in `n` threads at once, each new; return its results, and the intra-op threads of each."""
    meeting.begin(n)
    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(lambda _: (call(), torch.get_num_threads()), range(n)))


@pytest.mark.usefixtures("two_threads")
def test_predict_in_pool_threads_leaves_their_number_of_intra_op_threads():
    clf = classifier(n_threads=1).fit(X, Y)
    expected = clf.predict_proba(X)
    for predicted, number in in_pool(lambda: clf.predict_proba(X)):
        assert np.array_equal(predicted, expected)
        assert number == 2
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("n_threads", ["auto", 1, 2])
def test_fits_at_once_leave_generators_and_intra_op_threads_as_they_were(n_threads):
    before = torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())  # noqa: NPY002
    for clf, number in in_pool(lambda: classifier(n_threads=n_threads).fit(X, Y)):
        assert clf.n_iter_ == 2
        assert clf._state.model.n_threads == (2 if n_threads == 2 else 1)
        assert number == 2
    assert (torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())) == before  # noqa: NPY002
    assert torch.get_num_threads() == 2
