"""Where the checks of loaders, modes and moments begin to speak."""

import numpy as np
import pytest

from sktorch_acc.checks.counting import (
    LoaderFacts,
    check_drawn_rows,
    check_dropped_rows,
    check_last_batch,
    check_order,
    check_resampled,
)
from sktorch_acc.checks.mode import (
    check_held_out,
    check_norm_statistics,
    check_restored_epoch,
    check_running_figure,
    check_training_mode,
)


def facts(**changes):
    plain = {"n_rows": 1000, "n_drawn": 1000, "batch_size": 64, "drop_last": False, "order": "shuffled"}
    return LoaderFacts(**{**plain, "has_labels": True, **changes})


def test_rows_that_are_dropped():
    assert "reaches 0.9600" in check_dropped_rows(facts(drop_last=True)).message
    assert check_dropped_rows(facts(drop_last=True, batch_size=50)) is None
    assert check_dropped_rows(facts()) is None
    assert check_dropped_rows(facts(drop_last=True, batch_size=None)) is None


def test_rows_that_are_drawn():
    assert check_drawn_rows(facts(n_drawn=700)).code == "ACC-A4"
    assert check_drawn_rows(facts()) is None
    assert check_drawn_rows(facts(n_drawn=700, order="resampled")) is None
    assert check_resampled(facts(order="resampled")).code == "ACC-A5"
    assert check_resampled(facts()) is None


def test_order_matters_without_labels():
    assert check_order(facts(has_labels=False)).code == "ACC-D9"
    assert check_order(facts(has_labels=False, order="as given")) is None
    assert check_order(facts()) is None


@pytest.mark.parametrize(
    ("n_rows", "drop_last", "fails", "speaks"),
    [(129, False, True, True), (129, True, True, False), (129, False, False, False), (130, False, True, False)],
)
def test_a_last_batch_of_one_row(n_rows, drop_last, fails, speaks):
    found = check_last_batch(facts(n_rows=n_rows, n_drawn=n_rows, drop_last=drop_last), fails)
    assert (found is not None) == speaks


def test_training_mode_matters_if_predictions_differ():
    y = np.array([0, 1, 1])
    assert check_training_mode(True, y, y, y) is None
    assert check_training_mode(False, 1 - y, y, y) is None
    assert "now 0.0000, and each time differently; in evaluation mode 1.0000" in (
        check_training_mode(True, 1 - y, y, y).message
    )


@pytest.mark.parametrize(
    ("running", "held", "n_rows", "speaks"),
    [(0.70, 0.80, 10_000, True), (0.79, 0.80, 10**6, False), (0.70, 0.80, 100, False), (np.nan, 0.8, 10_000, False)],
)
def test_running_figures(running, held, n_rows, speaks):
    assert (check_running_figure(running, held, n_rows) is not None) == speaks


@pytest.mark.parametrize(
    ("with_batch", "with_running", "n_rows", "speaks"),
    [(0.9, 0.79, 10_000, True), (0.9, 0.81, 10_000, False), (0.79, 0.9, 10_000, False), (0.9, 0.7, 40, False)],
)
def test_norm_statistics(with_batch, with_running, n_rows, speaks):
    assert (check_norm_statistics(with_batch, with_running, n_rows) is not None) == speaks


def test_restored_epochs_and_rows_held_out():
    assert check_restored_epoch(3, 3, 0.9, 0.9) is None
    assert check_restored_epoch(3, 9, 0.9, 0.9) is None
    assert "epoch 3" in check_restored_epoch(3, 9, 0.9, 0.8).message
    assert "over 80 of these 100 rows" in check_held_out(100, 80, 0.2).message
    assert check_held_out(80, 80, 0.2) is None
    assert check_held_out(100, 80, None) is None
