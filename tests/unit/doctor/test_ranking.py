"""How the probability is divided between the formulas, a correct loop and other causes."""

import numpy as np
import pytest
import torch

from sktorch_acc.doctor.explain.ranking import _probability_of_evaluation, rank
from sktorch_acc.doctor.explain.reading import read_problem
from sktorch_acc.doctor.explain.reported import read_printed


def problem_of(n_samples, batch_size=None, shuffled=None, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, n_classes, n_samples)
    scores = rng.normal(size=(n_samples, n_classes))
    scores[np.arange(n_samples), targets] += 1.5
    return read_problem(torch.from_numpy(scores), targets, batch_size, shuffled)


@pytest.mark.parametrize("text", ["0.5000", "0.7", "0", "1.0", "12.5%", "54.30", "0.123456"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_the_shares_of_the_formulas_a_correct_loop_and_other_causes_add_up_to_one(text, shuffled):
    ranking = rank(problem_of(517, 64, shuffled), read_printed(text))
    assert ranking.true_share + ranking.other_share + sum(c.share for c in ranking.candidates) == pytest.approx(1.0)
    assert ranking.other_share > 0


def test_a_formula_that_gives_the_accuracy_itself_is_no_candidate():
    problem = problem_of(512, 64)  # No short batch: the mean of the batch accuracies is the accuracy.
    ranking = rank(problem, read_printed(repr(problem.accuracy)))
    assert ranking.true_scale == 1
    assert "ACC-A1" not in {c.code for c in ranking.candidates}


def test_each_code_is_listed_once_with_its_most_probable_formula():
    problem = problem_of(50, 64)  # One batch: B1 over the batch and over all samples are the same.
    value = problem.class_counts(problem.predicted) @ problem.class_counts(problem.targets) / 50
    candidates = rank(problem, read_printed(f"{value:.6f}")).candidates
    assert [c.code for c in candidates].count("ACC-B1") == 1


def test_more_digits_increase_the_share():
    problem = problem_of(517, 64)
    value = problem.batch_accuracies.mean()
    shares = [rank(problem, read_printed(f"{value:.{d}f}")).candidates[0].share for d in (2, 3, 5)]
    assert shares == sorted(shares)


def test_the_same_count_leaves_more_to_other_causes_with_few_samples():
    others = []
    for n_samples in (40, 4000):
        problem = problem_of(n_samples, n_samples // 2 + 1)
        count = problem.n_correct - problem.batch_correct[-1]  # drop_last, divided by the number of all samples
        ranking = rank(problem, read_printed(f"{count / n_samples:.6f}"))
        others.append(ranking.other_share)
    assert others[0] > 10 * others[1]


def probabilities_of_evaluation(problem, counts):
    return [
        _probability_of_evaluation(problem, read_printed(f"{count / problem.n_samples:.6f}"), 1) for count in counts
    ]


@pytest.mark.parametrize("n_samples", [40, 517, 4000])
def test_another_evaluation_gives_some_count_and_most_probably_the_same(n_samples):
    problem = problem_of(n_samples)
    probabilities = probabilities_of_evaluation(problem, range(n_samples + 1))
    assert sum(probabilities) == pytest.approx(1.0, abs=0.02)  # Without the part below 0 and above 1.
    assert np.argmax(probabilities) == problem.n_correct
    between = read_printed(f"{(problem.n_correct + 0.5) / n_samples:.6f}")
    assert _probability_of_evaluation(problem, between, 1) == 0.0


def test_two_decimals_include_all_counts_that_print_the_same():
    problem = problem_of(4000)
    probability = _probability_of_evaluation(problem, read_printed("0.75"), 1)
    assert probability == pytest.approx(sum(probabilities_of_evaluation(problem, range(2980, 3020))), rel=0.05)


def test_the_accuracy_itself_leaves_nothing_to_another_evaluation():
    problem = problem_of(40)
    assert rank(problem, read_printed(f"{problem.accuracy:.6f}")).true_share > 0.95


def test_a_percent_sign_increases_the_share():
    problem = problem_of(517, 64)
    value = 100 * problem.batch_accuracies.mean()
    bare, signed = (rank(problem, read_printed(f"{value:.2f}{sign}")) for sign in ("", "%"))
    assert bare.candidates[0].code == signed.candidates[0].code == "ACC-A1"
    assert bare.candidates[0].share < signed.candidates[0].share
