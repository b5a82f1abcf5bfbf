"""The value, the precision and the scale of a printed accuracy."""

import numpy as np
import pytest
import torch

from sktorch_acc.doctor.explain.reported import read_printed


@pytest.mark.parametrize(
    ("reported", "value", "exponent", "percent"),
    [
        ("0.6830", 0.683, -4, False),
        (0.683, 0.683, -3, False),
        ("68.30%", 68.3, -2, True),
        (" 68.30 % ", 68.3, -2, True),
        ("54", 54.0, 0, False),
        (1, 1.0, 0, False),
        ("6.83e-1", 0.683, -3, False),
        (np.float64(0.25), 0.25, -2, False),
        (torch.tensor(0.25), 0.25, -2, False),
    ],
)
def test_the_digits_set_the_precision(reported, value, exponent, percent):
    printed = read_printed(reported)
    assert printed.value == value
    assert printed.exponent == exponent
    assert printed.percent is percent


@pytest.mark.parametrize(("reported", "scale"), [("0.6830", 1), ("68.30%", 100), (0.683, 1), ("54", 100), ("54", 1)])
def test_the_tolerance_is_half_a_unit_of_the_last_digit_and_the_noise_of_float32(reported, scale):
    printed = read_printed(reported)
    half_unit = 0.5 * 10.0**printed.exponent
    assert half_unit < scale * printed.tolerance(scale) < half_unit + 1e-6 * printed.value
    assert printed.width(scale) == 2 * printed.tolerance(scale)


def test_trailing_zeros_count_in_a_text_and_are_lost_in_a_number():
    assert read_printed("0.683000").decimals == 6
    assert read_printed(0.683000).decimals == 3


def test_a_percentage_has_two_decimals_more_as_a_fraction():
    assert read_printed("68.30%").decimals == read_printed("68.30").decimals == read_printed("0.6830").decimals == 4


@pytest.mark.parametrize(
    ("reported", "scales"),
    [
        ("0.68", (1,)),
        ("1.0", (1,)),
        ("68.3", (1, 100)),
        ("68.3%", (100,)),
        ("0.5%", (100,)),
        ("3228.1", (1, 100)),
    ],
)
def test_a_percent_sign_or_a_value_above_one_sets_the_scales(reported, scales):
    assert read_printed(reported).scales == scales


def test_an_integer_zero_or_one_is_exact_and_a_rounded_54_is_not():
    assert read_printed("0").tolerance(1) < 1e-8
    assert read_printed("1").tolerance(1) < 1e-6
    assert read_printed("54").tolerance(1) > 0.5


def test_the_smallest_float_is_accepted():
    assert read_printed(5e-324).decimals == 324


def test_a_float32_value_matches_within_the_noise_of_float32():
    printed = read_printed(torch.tensor(373 / 517, dtype=torch.float32))
    assert abs(printed.value - 373 / 517) <= printed.tolerance(1) < 1e-6


@pytest.mark.parametrize("reported", ["", "accuracy", "0,68", "68%%", None, True, [0.5], {"acc": 1}, 1j, torch.ones(2)])
def test_what_is_not_a_number_is_refused_with_examples(reported):
    with pytest.raises(ValueError, match=r"'reported' must be the accuracy as a number.*'68.30%'"):
        read_printed(reported)


@pytest.mark.parametrize("reported", [float("nan"), "nan", "inf", "-inf%", "1e400"])
def test_a_value_that_is_not_finite_is_refused(reported):
    with pytest.raises(ValueError, match="must be a finite number"):
        read_printed(reported)


@pytest.mark.parametrize("reported", [-0.1, "-3%"])
def test_a_negative_value_is_refused(reported):
    with pytest.raises(ValueError, match="at least 0"):
        read_printed(reported)
