"""What `explain_accuracy` says about the values of the loops in tests/wrong_loops.py."""

from collections import defaultdict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sktorch_acc import explain_accuracy
from tests.accuracy_problems import draw_problem, is_unique, loop_values
from tests.wrong_loops import LOOPS, true_accuracy

seeds = st.integers(0, 2**32 - 1)
FORMS = ("{:.2f}", "{:.3f}", "{:.4f}", "{:.6f}", "{!r}")


def problem_of(seed):
    rng = np.random.default_rng(seed)
    return *draw_problem(rng), rng


@given(seed=seeds, form=st.sampled_from([*FORMS, "{:.1%}", "{:.2%}"]))
def test_the_accuracy_is_always_true(seed, form):
    outputs, targets, batch_size, _ = problem_of(seed)
    text = form.format(true_accuracy(outputs, targets, batch_size))
    for shuffled in (None, True):
        found = explain_accuracy(outputs, targets, text, batch_size=batch_size, shuffled=shuffled)
        assert (found.verdict, found.code) == ("true", None)


@given(seed=seeds, form=st.sampled_from(FORMS))
@pytest.mark.slow
def test_the_formula_of_the_loop_is_listed_and_two_decimals_are_never_certain(seed, form):
    outputs, targets, batch_size, _ = problem_of(seed)
    _, values = loop_values(outputs, targets, batch_size)
    for code, value in values.values():
        found = explain_accuracy(outputs, targets, form.format(value), batch_size=batch_size)
        # With the verdict "true", improbable formulas are left out.
        assert found.verdict == "true" or code in {c.code for c in found.candidates}
        assert form != "{:.2f}" or found.confidence < 0.9


@given(seed=seeds)
def test_a_mean_of_shuffled_batches_is_listed(seed):
    outputs, targets, batch_size, rng = problem_of(seed)
    order = torch.from_numpy(rng.permutation(len(targets)))
    value = LOOPS["mean_of_batches"][1](outputs[order], targets[order], batch_size)
    found = explain_accuracy(outputs, targets, f"{value:.6f}", batch_size=batch_size, shuffled=True)
    assert found.verdict == "true" or "ACC-A1" in {c.code for c in found.candidates}


@given(seed=seeds, reported=st.floats(0, 1), shuffled=st.booleans())
def test_the_attributes_of_an_explanation_are_consistent(seed, reported, shuffled):
    outputs, targets, batch_size, _ = problem_of(seed)
    found = explain_accuracy(outputs, targets, reported, batch_size=batch_size, shuffled=shuffled)
    shares = [c.share for c in found.candidates]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1 + 1e-9
    assert 0 < found.confidence <= 1
    assert len({c.code for c in found.candidates}) == len(shares)
    named = found.verdict in ("explained", "ambiguous")
    assert found.code == (found.candidates[0].code if named else None)
    assert found.true_accuracy == true_accuracy(outputs, targets, batch_size)
    assert all(c.code in found._repr_html_() for c in found.candidates[:3])


@given(seed=seeds)
def test_every_container_gives_the_same_explanation(seed):
    outputs, targets, batch_size, _ = problem_of(seed)
    value = f"{LOOPS['mean_of_batches'][1](outputs, targets, batch_size):.4f}"
    answers = [
        explain_accuracy(scores, labels, value, batch_size=batch_size)
        for scores, labels in (
            (outputs, targets),
            (outputs.numpy(), targets.numpy()),
            (list(outputs), [int(y) for y in targets]),
            (outputs, targets[:, None]),
            (outputs, targets.float()),
        )
    ]
    assert all(answer == answers[0] for answer in answers)


@pytest.fixture(scope="module")
def first_among_unique():
    """Whether the code of the loop came first, by precision and code, for values that no other loop prints."""
    rng, first = np.random.default_rng(20), defaultdict(list)
    for _ in range(30):
        outputs, targets, batch_size = draw_problem(rng)
        accuracy, values = loop_values(outputs, targets, batch_size)
        for form in ("{:.4f}", "{:.6f}"):
            texts = [(code, form.format(value)) for code, value in values.values()]
            for code, text in texts:
                if is_unique(code, text, form.format(accuracy), texts):
                    found = explain_accuracy(outputs, targets, text, batch_size=batch_size)
                    first[form, code].append(found.code == code)
    return first


@pytest.mark.parametrize("form", ["{:.4f}", "{:.6f}"])
@pytest.mark.slow
def test_a_value_that_no_other_loop_prints_is_named(first_among_unique, form):
    flags = [flag for (precision, _), found in first_among_unique.items() if precision == form for flag in found]
    assert np.mean(flags) >= 0.97
    by_code = {code: np.mean(found) for (precision, code), found in first_among_unique.items() if precision == form}
    assert min(by_code.values()) >= 0.9, by_code


def test_unrelated_values_are_rarely_named():
    rng, named = np.random.default_rng(21), []
    while len(named) < 400:
        outputs, targets, batch_size = draw_problem(rng)
        if len(targets) > 300:
            for _ in range(10):
                found = explain_accuracy(outputs, targets, f"{rng.random():.4f}", batch_size=batch_size)
                named.append(found.code is not None)
    assert np.mean(named) <= 0.02


@pytest.mark.parametrize(("least", "most", "limit"), [(20, 100, 0.15), (100, 300, 0.08), (300, 5001, 0.08)])
def test_a_count_near_the_correct_one_is_rarely_named_and_never_with_confidence_for_few_samples(least, most, limit):
    rng, named, certain = np.random.default_rng(22), [], []
    while len(named) < 400:
        outputs, targets, batch_size = draw_problem(rng)
        n_samples = len(targets)
        if not least <= n_samples < most:
            continue
        count = round(true_accuracy(outputs, targets, batch_size) * n_samples)
        for _ in range(2):
            near = count + int(rng.integers(1, max(2, n_samples // 20 + 1))) * int(rng.choice([-1, 1]))
            if not 0 <= near <= n_samples:
                continue
            found = explain_accuracy(outputs, targets, f"{near / n_samples:.4f}", batch_size=batch_size)
            named.append(found.code is not None)
            certain.append(found.code is not None and found.confidence >= 0.9)
    assert np.mean(named) <= limit
    assert least >= 100 or not any(certain)
