"""Lists are cut after five values, and the rest is counted; types are named by their class."""

import numpy as np
import pytest

from sktorch_acc._text import class_name, listed, more


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "[]"),
        (["a", 1], "['a', 1]"),
        (np.arange(5), "[0, 1, 2, 3, 4]"),
        (np.arange(6.0), "[0.0, 1.0, 2.0, 3.0, 4.0] and 1 more"),
        (list("abcdefgh"), "['a', 'b', 'c', 'd', 'e'] and 3 more"),
    ],
)
def test_at_most_five_values_are_listed(values, text):
    assert listed(values) == text


def test_the_number_of_listed_values_can_be_chosen():
    assert listed([1, 2, 3], 2) == "[1, 2] and 1 more"
    assert more([1, 2, 3], 3) == ""


def test_a_class_and_its_objects_have_the_same_name():
    assert class_name(dict) == class_name({}) == "dict"
