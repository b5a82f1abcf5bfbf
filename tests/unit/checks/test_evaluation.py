"""The limits of the checks of when and in which mode an accuracy was measured."""

import numpy as np
import pytest

from sktorch_acc.checks.evaluation import (
    check_held_out,
    check_norm_statistics,
    check_restored_epoch,
    check_running_accuracy,
    check_training_mode,
)


def test_training_mode_matters_if_predictions_differ():
    y = np.array([0, 1, 1])
    assert check_training_mode(y, y, y) is None
    assert "is 0.0000 now, and another one each time; in evaluation mode it is 1.0000" in (
        check_training_mode(1 - y, y, y).message
    )


@pytest.mark.parametrize(
    ("running", "held", "n_samples", "reported"),
    [(0.70, 0.80, 10_000, True), (0.79, 0.80, 10**6, False), (0.70, 0.80, 100, False), (np.nan, 0.8, 10_000, False)],
)
def test_running_accuracies(running, held, n_samples, reported):
    assert (check_running_accuracy(running, held, n_samples) is not None) == reported


@pytest.mark.parametrize(
    ("with_batch", "with_running", "n_samples", "reported"),
    [(0.9, 0.79, 10_000, True), (0.9, 0.81, 10_000, False), (0.79, 0.9, 10_000, False), (0.9, 0.7, 40, False)],
)
def test_norm_statistics(with_batch, with_running, n_samples, reported):
    assert (check_norm_statistics(with_batch, with_running, n_samples) is not None) == reported


def test_restored_epochs_and_validation_samples():
    assert check_restored_epoch(3, 3, 0.9, 0.9) is None
    assert check_restored_epoch(3, 9, 0.9, 0.9) is None
    assert "epoch 3" in check_restored_epoch(3, 9, 0.9, 0.8).message
    assert "over 80 of these 100 samples" in check_held_out(100, 80, 0.2).message
    assert check_held_out(80, 80, 0.2) is None
    assert check_held_out(100, 80, None) is None
