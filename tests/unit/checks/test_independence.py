"""The limits of the checks of whether an output depends on its sample alone."""

import math

import pytest

from sktorch_acc.checks.independence import check_parts, check_repeated, tolerance, tolerance_repeated

EPS = 2.0**-23


def test_the_tolerance_is_a_hundred_roundings_of_the_largest_output():
    assert tolerance(EPS, 5e3) == 100 * EPS * 5e3
    assert tolerance(EPS, 5e3) > 7e-4  # by which ordinary modules with such outputs differ
    assert tolerance_repeated(EPS, 2.0) == 16 * EPS


@pytest.mark.parametrize(("difference", "reported"), [(0.1, False), (0.11, True), (math.nan, False), (0.0, False)])
def test_two_passes_may_differ_by_what_is_allowed(difference, reported):
    finding = check_repeated(difference, 0.1, "Net")
    assert (finding is not None) == reported
    if finding is not None:
        assert (finding.code, finding.severity) == ("ACC-E11", "warning")
        assert "Net.forward is random in evaluation mode" in finding.message
        assert "differ by up to 0.11." in finding.message


@pytest.mark.parametrize(
    ("difference", "noise", "reported"),
    [
        (0.1, 0.0, False),
        (0.11, 0.0, True),
        (0.11, 0.003, True),
        (0.11, 0.004, False),
        (math.nan, 0.0, False),
        (9.0, math.inf, False),
    ],
)
def test_a_difference_is_reported_above_the_tolerance_and_thirty_times_the_noise(difference, noise, reported):
    finding = check_parts(difference, 0.1, noise, 1.0, "Net")
    assert (finding is not None) == reported
    if finding is not None:
        assert (finding.code, finding.severity) == ("ACC-B4", "error")
        assert "influence each other in Net.forward" in finding.message


@pytest.mark.parametrize(("largest", "severity"), [(10.9, "error"), (11.1, "warning")])
def test_a_difference_below_one_percent_of_the_outputs_is_a_warning(largest, severity):
    finding = check_parts(0.11, 0.01, 0.0, largest, "Net")
    assert finding.severity == severity
    assert ("converged" in finding.advice) == (severity == "warning")
