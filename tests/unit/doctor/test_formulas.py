"""Every formula gives the value of its loop, and none applies where there is no error."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score

from sktorch_acc.doctor.explain.formulas import FORMULAS
from sktorch_acc.doctor.explain.formulas.precision import round_to_bits
from sktorch_acc.doctor.explain.reading import read_problem
from tests.accuracy_problems import draw_problem
from tests.wrong_loops import LOOPS, batches, predict, true_accuracy

PROBLEMS = [draw_problem(np.random.default_rng(seed)) for seed in range(20)]
# A float16 counter stops at 2048.
PROBLEMS += [
    next(
        (z, y, size)
        for z, y, size in map(draw_problem, map(np.random.default_rng, range(30, 200)))
        if true_accuracy(z, y, size) * len(y) > 3000 and size < 100
    )
]
MANY_SAMPLES = next(p for p in PROBLEMS if len(p[1]) > 200 and p[0].shape[1] > 2)
# As many samples in a batch as classes, with and without a last batch of one sample.
SQUARE = [(z[:n], y[:n], max(z.shape[1], 2)) for z, y, _ in PROBLEMS[:12] for n in (z.shape[1] * 3 + 1, z.shape[1] * 4)]
PROBLEMS += [(z, y, size) for z, y, size in SQUARE if len(y) == 3 * size + 1 or len(y) == 4 * size]


def values(code, outputs, targets, batch_size, shuffled=None):
    """Return all values of the formulas of a code."""
    problem = read_problem(outputs, targets, batch_size, shuffled)
    return np.array([value for f in FORMULAS if f.code == code for value, _ in f.compute(problem)])


def gives(code, value, outputs, targets, batch_size):
    return np.isclose(values(code, outputs, targets, batch_size), value, rtol=4e-7, atol=1e-9).any()


@pytest.mark.parametrize("name", LOOPS)
def test_a_formula_gives_the_value_of_its_loop(name):
    code, loop = LOOPS[name]
    tried = 0
    for outputs, targets, batch_size in PROBLEMS:
        value = loop(outputs, targets, batch_size)
        if value is None or abs(value - true_accuracy(outputs, targets, batch_size)) < 1e-6:
            continue
        tried += 1
        assert gives(code, value, outputs, targets, batch_size)
    assert tried > 0


@pytest.mark.parametrize(("batch_size", "shuffled"), [(None, None), (5000, None), (64, False), (64, True)])
def test_a_softmax_over_all_samples_is_b4_for_any_batch_size(batch_size, shuffled):
    outputs, targets, _ = MANY_SAMPLES
    value = (torch.softmax(outputs, dim=0).argmax(dim=1) == targets).double().mean().item()
    assert value != true_accuracy(outputs, targets, 64)
    assert np.isclose(values("ACC-B4", outputs, targets, batch_size, shuffled), value, rtol=1e-12).any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_means_of_batches_in_half_precision_are_a1_with_a_short_batch_and_a7_without(dtype):
    outputs, targets, _ = MANY_SAMPLES
    for n_samples, batch_size, code in ((60, 20, "ACC-A7"), (65, 20, "ACC-A1")):
        z, y = outputs[:n_samples], targets[:n_samples]
        loader = batches(z, y, batch_size)
        accuracies = [(predict(zb) == yb).to(dtype).mean() for zb, yb in loader]
        assert gives(code, sum(accuracy.item() for accuracy in accuracies) / len(loader), z, y, batch_size)
        total = torch.zeros((), dtype=dtype)
        for accuracy in accuracies:
            total += accuracy
        assert gives(code, (total / len(loader)).item(), z, y, batch_size)


def test_a_second_sigmoid_or_a_threshold_of_zero_on_probabilities_is_c5():
    probabilities = torch.tensor([0.1, 0.3, 0.8, 0.9, 0.2])
    targets = torch.tensor([0, 0, 1, 1, 1])
    for pred in ((probabilities > 0).long(), (torch.sigmoid(probabilities) > 0.5).long()):
        assert gives("ACC-C5", (pred == targets).float().mean().item(), probabilities, targets, None)


def test_padding_to_full_batches_is_h1():
    outputs, targets, _ = MANY_SAMPLES
    outputs, targets = outputs[:50], targets[:50]
    indices = torch.arange(64) % 50
    padded = (predict(outputs[indices]) == targets[indices]).float().mean().item()
    assert gives("ACC-H1", padded, outputs, targets, 32)


def test_the_balanced_accuracy_equals_that_of_scikit_learn():
    outputs, targets, _ = next(p for p in PROBLEMS if len(p[1].unique()) == p[0].shape[1] > 2)
    expected = balanced_accuracy_score(targets, predict(outputs))
    assert values("ACC-A10", outputs, targets, None) == pytest.approx([expected], rel=1e-14)


def test_with_equal_batches_the_formulas_of_a_short_batch_do_not_apply():
    outputs, targets, _ = MANY_SAMPLES
    for code in ("ACC-A1", "ACC-A3"):
        assert len(values(code, outputs[:60], targets[:60], 20)) == 0
        assert len(values(code, outputs[:60], targets[:60], 60)) == 0


def test_without_a_batch_size_only_formulas_over_all_samples_apply():
    outputs, targets, _ = next(p for p in PROBLEMS if p[0].shape[1] > 2)
    problem = read_problem(outputs, targets, None, None)
    codes = {f.code for f in FORMULAS if f.compute(problem)}
    assert not codes & {"ACC-A1", "ACC-A2", "ACC-A3", "ACC-A8"}
    assert {"ACC-A10", "ACC-B1", "ACC-B2", "ACC-B6"} <= codes


@pytest.mark.parametrize("code", ["ACC-A1", "ACC-A3", "ACC-A8"])
def test_the_probabilities_of_the_values_of_a_shuffled_order_add_up_to_one(code):
    outputs, targets, _ = MANY_SAMPLES
    problem = read_problem(outputs[:67], targets[:67], 20, True)
    for formula in FORMULAS:
        probabilities = [probability for _, probability in formula.compute(problem)]
        if formula.code == code and probabilities:
            assert sum(probabilities) == pytest.approx(1.0)


def test_rounding_to_bits_equals_that_of_torch():
    numbers = np.random.default_rng(0).uniform(0, 3000, 500)
    for bits, dtype in ((8, torch.bfloat16), (11, torch.float16)):
        rounded = [round_to_bits(float(np.float32(x)), bits) for x in numbers]
        assert rounded == torch.tensor(numbers, dtype=torch.float32).to(dtype).tolist()


def test_every_formula_has_a_name_a_reason_and_code_that_parses():
    for formula in FORMULAS:
        assert formula.code.startswith("ACC-")
        assert formula.prior > 0
        assert formula.reason.endswith(".")
        assert not formula.name.endswith(".")
        ast.parse(formula.wrong)
        ast.parse(formula.fix)
        assert set(formula.wrong.splitlines()) - set(formula.fix.splitlines())


def test_formulas_are_in_the_order_of_the_catalogue():
    index = (Path(__file__).parents[3] / "docs" / "codes" / "index.md").read_text(encoding="utf-8")
    catalogue = re.findall(r"\]\((ACC-\w+)\.md\)", index)
    positions = [catalogue.index(formula.code) for formula in FORMULAS]
    assert positions == sorted(positions)
