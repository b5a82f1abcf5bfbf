"""What `untouched` restores beyond what the tests of `diagnose` and of the probe see."""

import pytest
import torch
from torch import nn

from sktorch_acc.engine.untouched import untouched


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_scripted_module_gets_its_mode_and_statistics_back():
    module = torch.jit.script(nn.Sequential(nn.Linear(6, 3), nn.BatchNorm1d(3))).eval()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with untouched(module):
        module.train()
        module(torch.randn(9, 6))
    assert not module.training
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
