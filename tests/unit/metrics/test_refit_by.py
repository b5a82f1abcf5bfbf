"""The choice of a candidate when some folds lack the class."""

import pickle

import numpy as np
import pytest

from sktorch_acc.metrics import refit_by

nan = np.nan


def results(*folds, name="acc[tech]"):
    """cv_results_ with the given scores, one list of candidates per fold."""
    scores = {f"split{i}_test_{name}": np.array(fold) for i, fold in enumerate(folds)}
    return {**scores, f"mean_test_{name}": np.mean(folds, axis=0), "params": [{}] * len(folds[0])}


def test_folds_without_the_class_are_left_out_of_the_mean():
    assert refit_by("acc[tech]")(results([0.1, 0.6, 0.2], [nan, nan, nan], [0.3, 0.4, 0.9])) == 2


def test_the_first_candidate_wins_a_tie():
    assert refit_by("acc[tech]")(results([0.1, 0.6, 0.6])) == 1


def test_a_candidate_that_failed_in_a_fold_is_never_chosen():
    assert refit_by("acc[tech]")(results([0.9, 0.2], [nan, 0.1])) == 1


def test_folds_are_taken_in_any_number():
    assert refit_by("score")(results(*[[0.0, 1.0]] * 12, name="score")) == 1


def test_no_fold_with_the_class_is_an_error():
    with pytest.raises(ValueError, match=r"No fold has a score for 'acc\[tech\]'.*StratifiedKFold"):
        refit_by("acc[tech]")(results([nan, nan], [nan, nan]))


def test_failed_fits_everywhere_are_an_error():
    with pytest.raises(ValueError, match=r"Every candidate has NaN .* error_score='raise'"):
        refit_by("acc[tech]")(results([nan, 0.2], [0.1, nan]))


def test_an_unknown_score_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"no score named 'acc\[tehc\]'. Its scores: \['acc\[tech\]'\]"):
        refit_by("acc[tehc]")(results([0.1]))


def test_the_name_must_be_a_string():
    with pytest.raises(ValueError, match="'name' parameter of refit_by must be a str"):
        refit_by(3)


def test_it_can_be_pickled():
    assert pickle.loads(pickle.dumps(refit_by("acc[a]"))) == refit_by("acc[a]")
