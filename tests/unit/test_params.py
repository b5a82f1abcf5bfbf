"""Nested parameters: the message about a misspelt one."""

import pytest
from torch import nn

from sktorch_acc._params import check_names, nearest


def test_the_nearest_name_is_judged_without_the_prefix():
    """Under a long prefix every name would look like every other."""
    with pytest.raises(ValueError, match="Did you mean 'module__in_features'") as caught:
        check_names(["in_feature"], nn.Linear, "module")
    assert "Linear has no parameter 'in_feature'" in str(caught.value)


def test_all_names_are_listed_when_none_is_near():
    with pytest.raises(ValueError, match=r"Valid names: \['module__bias', 'module__device'"):
        check_names(["zzz"], nn.Linear, "module")


def test_nothing_to_name():
    assert nearest("zzz", []) == "It takes no parameters."
