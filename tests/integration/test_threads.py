"""``n_threads="auto"`` takes what it is given and no more, also in the processes of joblib."""

import os

import pytest
import torch
from joblib import Parallel, cpu_count, delayed, parallel_config

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
