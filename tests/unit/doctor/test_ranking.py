"""How the probability is shared out."""

import numpy as np
import pytest
import torch

from sktorch_acc.doctor.explain.ranking import _chance_of_a_pass, rank
from sktorch_acc.doctor.explain.reading import read_problem
from sktorch_acc.doctor.explain.reported import read_figure


def problem_of(n_rows, batch_size=None, shuffled=None, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, n_classes, n_rows)
    scores = rng.normal(size=(n_rows, n_classes))
    scores[np.arange(n_rows), targets] += 1.5
    return read_problem(torch.from_numpy(scores), targets, batch_size, shuffled)


@pytest.mark.parametrize("text", ["0.5000", "0.7", "0", "1.0", "12.5%", "54.30", "0.123456"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_formulas_a_right_loop_and_something_else_share_the_whole(text, shuffled):
    ranking = rank(problem_of(517, 64, shuffled), read_figure(text))
    assert ranking.truth + ranking.other + sum(c.share for c in ranking.candidates) == pytest.approx(1.0)
    assert ranking.other > 0


def test_a_formula_that_gives_the_accuracy_itself_is_no_candidate():
    problem = problem_of(512, 64)  # No short batch: the mean of the batch accuracies is the accuracy.
    ranking = rank(problem, read_figure(repr(problem.truth)))
    assert ranking.truth_scale == 1
    assert "ACC-A1" not in {c.code for c in ranking.candidates}


def test_each_code_is_listed_once_with_its_likeliest_formula():
    problem = problem_of(50, 64)  # One batch: B1 over the batch and over all rows are the same.
    figure = problem.counts(problem.predicted) @ problem.counts(problem.targets) / 50
    candidates = rank(problem, read_figure(f"{figure:.6f}")).candidates
    assert [c.code for c in candidates].count("ACC-B1") == 1


def test_more_digits_make_surer():
    problem = problem_of(517, 64)
    figure = problem.batch_rates.mean()
    shares = [rank(problem, read_figure(f"{figure:.{d}f}")).candidates[0].share for d in (2, 3, 5)]
    assert shares == sorted(shares)


def test_a_count_of_few_rows_is_weak_evidence():
    others = []
    for n_rows in (40, 4000):
        problem = problem_of(n_rows, n_rows // 2 + 1)
        count = problem.correct - problem.batch_hits[-1]  # drop_last, divided by all rows
        ranking = rank(problem, read_figure(f"{count / n_rows:.6f}"))
        others.append(ranking.other)
    assert others[0] > 10 * others[1]


def chances_of_a_pass(problem, counts):
    return [_chance_of_a_pass(problem, read_figure(f"{count / problem.n_rows:.6f}"), 1) for count in counts]


@pytest.mark.parametrize("n_rows", [40, 517, 4000])
def test_another_pass_gives_some_count_of_rows_and_the_likelier_the_nearer(n_rows):
    problem = problem_of(n_rows)
    chances = chances_of_a_pass(problem, range(n_rows + 1))
    assert sum(chances) == pytest.approx(1.0, abs=0.02)  # Less what lies beyond 0 and 1.
    assert np.argmax(chances) == problem.correct
    between = read_figure(f"{(problem.correct + 0.5) / n_rows:.6f}")
    assert _chance_of_a_pass(problem, between, 1) == 0.0


def test_two_decimals_hold_all_the_counts_that_print_so():
    problem = problem_of(4000)
    chance = _chance_of_a_pass(problem, read_figure("0.75"), 1)
    assert chance == pytest.approx(sum(chances_of_a_pass(problem, range(2980, 3020))), rel=0.05)


def test_a_right_figure_leaves_nothing_to_another_pass():
    problem = problem_of(40)
    assert rank(problem, read_figure(f"{problem.truth:.6f}")).truth > 0.95


def test_a_sign_makes_percent_likelier_than_a_bare_figure():
    problem = problem_of(517, 64)
    figure = 100 * problem.batch_rates.mean()
    bare, signed = (rank(problem, read_figure(f"{figure:.2f}{sign}")) for sign in ("", "%"))
    assert bare.candidates[0].code == signed.candidates[0].code == "ACC-A1"
    assert bare.candidates[0].share < signed.candidates[0].share
