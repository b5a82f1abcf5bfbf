"""The limits of the checks of a loader and of what a loop counts."""

import pytest

from sktorch_acc.checks.counting import (
    LoaderFacts,
    check_drawn_samples,
    check_dropped_samples,
    check_last_batch,
    check_order,
    check_resampled,
)


def facts(**changes):
    plain = {"n_samples": 1000, "n_drawn": 1000, "batch_size": 64, "drop_last": False, "order": "shuffled"}
    return LoaderFacts(**{**plain, "has_labels": True, **changes})


def test_samples_that_are_dropped():
    assert "reaches 0.9600" in check_dropped_samples(facts(drop_last=True)).message
    assert check_dropped_samples(facts(drop_last=True, batch_size=50)) is None
    assert check_dropped_samples(facts()) is None
    assert check_dropped_samples(facts(drop_last=True, batch_size=None)) is None


def test_samples_that_are_drawn():
    assert check_drawn_samples(facts(n_drawn=700)).code == "ACC-A4"
    assert check_drawn_samples(facts()) is None
    assert check_drawn_samples(facts(n_drawn=700, order="resampled")) is None
    assert check_resampled(facts(order="resampled")).code == "ACC-A5"
    assert check_resampled(facts()) is None


def test_order_matters_without_labels():
    assert check_order(facts(has_labels=False)).code == "ACC-D9"
    assert check_order(facts(has_labels=False, order="as given")) is None
    assert check_order(facts()) is None


@pytest.mark.parametrize(
    ("n_samples", "drop_last", "fails", "reported"),
    [(129, False, True, True), (129, True, True, False), (129, False, False, False), (130, False, True, False)],
)
def test_a_last_batch_of_one_sample(n_samples, drop_last, fails, reported):
    found = check_last_batch(facts(n_samples=n_samples, n_drawn=n_samples, drop_last=drop_last), fails)
    assert (found is not None) == reported


@pytest.mark.parametrize(("order", "severity"), [("as given", "warning"), ("shuffled", "info"), ("resampled", "info")])
def test_a_loader_of_a_training_drops_samples_on_purpose(order, severity):
    assert check_dropped_samples(facts(drop_last=True, order=order)).severity == severity


def test_a_sampler_that_draws_is_used_on_purpose():
    assert check_resampled(facts(order="resampled")).severity == "info"
    assert check_drawn_samples(facts(n_drawn=700)).severity == "info"
    assert check_drawn_samples(facts(n_drawn=700, order="as given")).severity == "warning"
