"""Settings that hold for every test."""

import os
import random
import signal

import numpy as np
import pytest
import torch
from hypothesis import settings

settings.register_profile("dev", max_examples=20, deadline=None)
settings.register_profile("ci", max_examples=50, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

# A shell starts processes in the background with SIGINT ignored; the tests of Ctrl-C send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

torch.manual_seed(0)  # modules that test files build when they are imported are the same in every run


@pytest.fixture(autouse=True)
def _same_draws():
    """No test depends on which tests ran before it in the same process."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Two workers on two cores: a second intra-op thread would only wait for the other worker."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
