"""Early stopping: the best epoch is the best by any margin, the patience counts what is less than `tol`."""

import math

import pytest

from sktorch_acc.engine.stopping import EarlyStopping, maximised


def followed(values, *, maximise=False, patience=3, tol=0.0):
    """Feed values from epoch 1 on until the patience is used up."""
    stopping = EarlyStopping(maximise, patience, tol)
    for epoch, value in enumerate(values, start=1):
        stopping.update(epoch, value)
        if stopping.exhausted:
            return stopping.best_epoch, epoch
    return stopping.best_epoch, None


def test_a_loss_is_best_where_it_is_lowest_and_an_accuracy_where_it_is_highest():
    values = [3.0, 1.0, 2.0, 4.0]
    assert followed(values, patience=9) == (2, None)
    assert followed(values, patience=9, maximise=True) == (4, None)


def test_of_equal_values_the_first_is_best():
    assert followed([2.0, 1.0, 1.0, 1.0], patience=9) == (2, None)


def test_it_stops_after_so_many_epochs_without_an_improvement():
    assert followed([5.0, 4.0, 4.0, 4.0, 4.0, 0.0]) == (2, 5)
    assert followed([5.0, 5.0, 4.0, 4.0, 3.0, 3.0, 2.0], patience=2) == (7, None)


def test_an_improvement_of_no_more_than_tol_is_best_but_does_not_reset_the_patience():
    assert followed([1.0, 0.75, 0.5, 0.25], patience=3, tol=2.0) == (4, 4)
    assert followed([1.0, 0.75], patience=1, tol=0.25) == (2, 2)
    assert followed([1.0, 0.75], patience=1, tol=0.125) == (2, None)


def test_small_improvements_add_up_against_the_value_that_last_reset_the_patience():
    assert followed([1.0, 0.75, 0.5, 0.25, 0.0], patience=3, tol=0.6) == (5, None)


def test_the_first_value_starts_the_count_at_zero():
    assert followed([1.0], patience=1) == (1, None)


def test_update_says_whether_the_epoch_is_the_best_so_far():
    stopping = EarlyStopping(maximise=True, patience=9, tol=0.5)
    assert [stopping.update(epoch, value) for epoch, value in enumerate([0.1, 0.2, 0.2, 0.1, 0.3], start=1)] == [
        True,
        True,
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("maximise", [False, True])
def test_nan_is_never_better_and_never_kept_when_a_number_comes(maximise):
    assert followed([math.nan, 7.0, math.nan], patience=9, maximise=maximise) == (2, None)
    assert followed([1.0, math.nan, math.nan, math.nan], maximise=maximise) == (1, 4)


def test_after_nan_alone_the_first_epoch_is_held():
    assert followed([math.nan, math.nan], patience=2) == (1, 2)


@pytest.mark.parametrize(
    ("monitor", "larger_is_better"),
    [("train_loss", False), ("valid_loss", False), ("valid_acc", True), ("train_acc[loss]", True), ("x_acc", True)],
)
def test_the_name_of_a_column_says_which_way_is_better(monitor, larger_is_better):
    assert maximised(monitor) is larger_is_better


@pytest.mark.parametrize("monitor", ["lr", "seconds", "precision[acc]"])
def test_a_name_that_does_not_say_it_is_refused(monitor):
    with pytest.raises(ValueError, match=r"neither 'loss' .minimised. nor 'acc' .maximised."):
        maximised(monitor)
