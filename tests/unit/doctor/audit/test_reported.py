"""Which counts give the accuracies that a loop reports."""

import pytest

from sktorch_acc.doctor.audit.reported import Counts, Epoch, check_reported

NONE = Counts()


def epochs(reported, running=NONE, evaluated=(), unlabelled=(), fitted=NONE, steps=4):
    """Epochs that report these accuracies; counts are given once for all epochs, or in a list."""

    def of(value, i):
        return value[i] if isinstance(value, list) else value

    return [
        Epoch(accuracy, steps, of(running, i), of(fitted, i), of(evaluated, i), of(unlabelled, i))
        for i, accuracy in enumerate(reported)
    ]


def code(found):
    return found and found.code


# 480 and 720 of 960, and more in the last quarter of the batches.
RUNNING = [Counts((96, 120, 120, 144), (240,) * 4), Counts((156, 180, 180, 204), (240,) * 4)]


def test_counts():
    counts = Counts((30, 0, 10), (40, 0, 60))
    assert (counts.n_correct, counts.n_samples, counts.pooled, counts.mean) == (40, 100, 0.4, (0.75 + 1 / 6) / 2)
    assert counts + counts[:1] == Counts((30, 0, 10, 30), (40, 0, 60, 40))
    assert (NONE.pooled, NONE.mean, NONE.quarter, counts.quarter) == (None, None, 1, 1)


def test_running_counts_are_reported_unless_an_evaluation_can_have_given_them():
    assert code(check_reported(epochs([0.5, 0.75], RUNNING))) == "ACC-E2"
    held = [(Counts((20, 30), (40, 60)),), (Counts((30, 45), (40, 60)),)]
    assert check_reported(epochs([0.5, 0.75], RUNNING, evaluated=held)) is None
    assert code(check_reported(epochs([0.5, 0.75], RUNNING, evaluated=held[::-1]))) == "ACC-E2"


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (((240,),), None),  # 120 and 180 of 240
        (((7,),), "ACC-E2"),
        (((7, 1),), None),  # 4 and 6 of 8
        (((7, 3, 1),), None),  # the last two batches may be an evaluation, the first another
        (((3,), (8,)), None),
        ((), "ACC-E2"),
    ],
)
def test_evaluations_without_targets_can_have_given_whole_numbers_of_their_samples(sizes, expected):
    assert code(check_reported(epochs([0.5, 0.75], RUNNING, unlabelled=sizes))) == expected


def test_all_epochs_need_an_evaluation_of_the_same_size():
    sizes = [((2,),), ((4,),)]
    assert code(check_reported(epochs([0.5, 0.75], RUNNING, unlabelled=sizes))) == "ACC-E2"
    assert check_reported(epochs([0.5, 0.75], RUNNING, unlabelled=[((2, 2),), ((4,),)])) is None


def test_correct_predictions_that_are_never_reset_may_exceed_the_samples():
    halves = [Counts((60, 60), (120, 120)), Counts((80, 100), (120, 120))]
    assert code(check_reported(epochs([0.5, 1.25], halves, unlabelled=((4,),)))) == "ACC-A6"
    held = (Counts((120,), (240,)),)
    assert check_reported(epochs([0.5, 1.0], Counts((60, 70), (120, 120)), evaluated=held)) is None  # one is not enough


def test_equal_accuracies_in_all_epochs_are_not_cumulative():
    running, held = Counts((30, 31), (50, 50)), Counts((15, 18), (50, 30))
    both = (61 + 33) / 180
    assert check_reported(epochs([both, both], running, evaluated=(held,))) is None
    worse = [running, Counts((20, 21), (50, 50))]
    so_far = [both, (94 + 41 + 33) / 360]
    assert code(check_reported(epochs(so_far, worse, evaluated=(held,)))) == "ACC-A6"


@pytest.mark.parametrize(
    ("accuracies", "found"), [([0.5, 1.0], "ACC-E2"), ([0.0, 1.0], None), ([None, 0.75], "ACC-E2")]
)
def test_accuracies_of_0_and_1_are_not_enough(accuracies, found):
    values = {0.0: Counts((0,) * 4, (240,) * 4), 1.0: Counts((240,) * 4, (240,) * 4), 0.5: RUNNING[0], None: RUNNING[0]}
    running = [values.get(a, RUNNING[1]) for a in accuracies]
    assert code(check_reported(epochs(accuracies, running))) == found


def test_one_accuracy_over_few_samples_is_not_enough():
    running, fitted = Counts((1, 1), (10, 10)), Counts((1, 5), (10, 10))
    assert check_reported(epochs([0.3], running, fitted=fitted)) is None
    running, fitted = Counts((10, 10), (50, 50)), Counts((10, 20), (50, 50))
    assert code(check_reported(epochs([0.3], running, fitted=fitted))) == "ACC-E3"


@pytest.mark.parametrize("rounded", [0.6667, 66.67, 2 / 3, 200 / 3])
def test_accuracies_may_be_rounded_or_in_percent(rounded):
    counts = Counts((240, 400), (480, 480))
    assert code(check_reported(epochs([rounded], counts))) == "ACC-E2"
    assert check_reported(epochs([rounded + 1e-3], counts)) is None
