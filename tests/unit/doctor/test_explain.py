"""Verdicts, messages and representations of `explain_accuracy`."""

from html.parser import HTMLParser

import numpy as np
import pytest
import torch

import sktorch_acc
from sktorch_acc import Explanation, explain_accuracy
from sktorch_acc.doctor.explain.message import as_html
from sktorch_acc.doctor.explain.ranking import Candidate


def made(n_samples=517, n_classes=4, signal=1.5, seed=0):
    """Make scores with a high accuracy, and targets."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, n_classes, n_samples)
    scores = rng.normal(size=(n_samples, n_classes))
    scores[np.arange(n_samples), targets] += signal
    return torch.from_numpy(scores), torch.from_numpy(targets)


def batch_accuracies(outputs, targets, batch_size):
    correct = (outputs.argmax(dim=1) == targets).double()
    return torch.stack([part.mean() for part in correct.split(batch_size)])


def test_the_names_are_public():
    assert {"explain_accuracy", "Explanation"} <= set(sktorch_acc.__all__)
    assert sktorch_acc.explain_accuracy is explain_accuracy


def test_the_accuracy_itself_is_true_and_has_no_code():
    outputs, targets = made()
    accuracy = (outputs.argmax(dim=1) == targets).double().mean().item()
    for text, scale in (
        (f"{accuracy:.4f}", 1),
        (accuracy, 1),
        (f"{accuracy:.2%}", 100),
        (f"{100 * accuracy:.3f}", 100),
    ):
        found = explain_accuracy(outputs, targets, text, batch_size=64)
        assert (found.verdict, found.code, found.scale) == ("true", None, scale)
        assert found.true_accuracy == accuracy
        assert "is the accuracy of these outputs" in found.message


def test_a_correct_average_in_float32_is_true():
    differences = []
    for seed in range(10):
        outputs, targets = made(n_samples=4998, seed=seed)
        acc = torch.zeros(())
        for z, y in zip(outputs.split(3), targets.split(3), strict=True):
            acc += (z.argmax(dim=1) == y).float().mean()
        found = explain_accuracy(outputs, targets, acc / 1666, batch_size=3)
        assert (found.verdict, found.code) == ("true", None)
        differences.append(abs(found.reported - found.true_accuracy))
    assert max(differences) > 5e-7  # more than one rounding to float32


def test_an_uncertain_answer_near_the_accuracy_mentions_another_evaluation():
    generator, uncertain = torch.Generator(), 0
    for seed in range(40):
        outputs = torch.randn(60, 3, generator=generator.manual_seed(seed))
        targets = torch.where(torch.rand(60, generator=generator) < 0.8, outputs.argmax(dim=1), torch.arange(60) % 3)
        correct = int((outputs.argmax(dim=1) == targets).sum())
        found = explain_accuracy(outputs, targets, f"{(correct - 2) / 60:.4f}", batch_size=16)
        if found.verdict == "explained":
            mentioned = "This is not certain: it may also be the accuracy of another evaluation" in found.message
            assert mentioned == (found.confidence < 0.9)
            uncertain += found.confidence < 0.9
    assert uncertain > 0


@pytest.mark.parametrize(("form", "scale"), [("{:.4f}", 1), ("{:.6f}", 1), ("{:.2%}", 100)])
def test_a_mean_of_batches_is_explained_with_the_wrong_code_and_the_fix(form, scale):
    outputs, targets = made()
    value = batch_accuracies(outputs, targets, 64).mean().item()
    found = explain_accuracy(outputs, targets, form.format(value), batch_size=64)
    assert (found.verdict, found.code, found.scale) == ("explained", "ACC-A1", scale)
    assert found.confidence >= 0.9
    assert found.reported == pytest.approx(value * scale, abs=0.01)
    first = found.candidates[0]
    assert first.value == pytest.approx(value)
    assert "len(loader)" in first.formula
    assert "correct / total" in first.fix
    assert f"{first.name} (ACC-A1)" in found.message


def test_a_percentage_without_a_sign_is_tried_too():
    outputs, targets = made()
    value = batch_accuracies(outputs, targets, 64).mean().item()
    found = explain_accuracy(outputs, targets, f"{100 * value:.2f}", batch_size=64)
    assert (found.code, found.scale) == ("ACC-A1", 100)


def test_zero_is_ambiguous_and_the_message_shows_the_lines_to_look_for():
    outputs, targets = made()
    found = explain_accuracy(outputs, targets, "0.0000", batch_size=64)
    assert found.verdict == "ambiguous"
    assert {"ACC-A9", "ACC-B6", "ACC-B7"} <= {c.code for c in found.candidates}
    assert found.code == found.candidates[0].code
    assert found.confidence < 0.9
    assert "look in the loop for `" in found.message


def test_formulas_that_print_the_same_are_told_apart_by_more_decimals():
    outputs, targets = made(n_samples=517)
    value = batch_accuracies(outputs, targets, 64).mean().item()
    found = explain_accuracy(outputs, targets, f"{value:.2f}", batch_size=64)
    assert found.confidence < 0.9
    assert "print six decimals" in found.message


def test_the_message_of_a_true_accuracy_lists_formulas_with_the_same_value():
    outputs, targets = made(n_samples=517)
    accuracy = (outputs.argmax(dim=1) == targets).double().mean().item()
    found = explain_accuracy(outputs, targets, f"{accuracy:.1f}", batch_size=64)
    assert found.verdict == "true"
    assert found.candidates
    assert "coincides with" in found.message
    assert f"the accuracy {accuracy:.6f}" in found.message
    assert repr(found).splitlines()[1:] == [f"  {found.message}"]


def test_an_unexplained_value_near_the_accuracy_mentions_changing_weights_and_other_samples():
    outputs, targets = made(n_samples=1003)
    accuracy = (outputs.argmax(dim=1) == targets).double().mean().item()
    found = explain_accuracy(outputs, targets, f"{accuracy - 0.03171:.5f}", batch_size=64)
    assert (found.verdict, found.code, found.candidates) == ("unexplained", None, ())
    assert found.confidence == 1.0
    for words in (
        "weights changed (ACC-E2)",
        "training mode (ACC-E1)",
        "another split (ACC-E7)",
        "1003",
        "shuffled=True",
    ):
        assert words in found.message
    tools = found.message.partition("To tell these apart: ")[2]
    assert "`audit_loop` watches a loop" in tools
    assert "`diagnose` checks the modes and settings of a module and the splits of an estimator" in tools


def test_a_probable_coincidence_near_the_accuracy_mentions_audit_loop_too():
    outputs, targets = made(n_samples=60, seed=2)  # 45 are correct; 42 of 60 equals 14 of a batch of 20.
    found = explain_accuracy(outputs, targets, f"{42 / 60:.4f}", batch_size=20, shuffled=True)
    assert (found.verdict, found.code) == ("unexplained", None)
    assert "ACC-A8 would give the same value" in found.message
    assert "`audit_loop`" in found.message


def test_an_unexplained_value_far_from_the_accuracy_does_not_mention_changing_weights():
    outputs, targets = made(n_samples=1003)
    found = explain_accuracy(outputs, targets, "0.12345", batch_size=64)
    assert found.verdict == "unexplained"
    assert "ACC-E2" not in found.message
    assert "audit_loop" not in found.message


def test_without_a_batch_size_the_message_asks_for_one():
    outputs, targets = made()
    value = batch_accuracies(outputs, targets, 64).mean().item()
    found = explain_accuracy(outputs, targets, f"{value:.4f}")
    assert found.verdict == "unexplained"
    assert "Pass batch_size" in found.message


def test_a_shuffled_mean_of_batches_needs_shuffled():
    outputs, targets = made(n_samples=500, seed=3)
    order = torch.randperm(500, generator=torch.Generator().manual_seed(4))
    text = f"{batch_accuracies(outputs[order], targets[order], 64).mean().item():.6f}"
    assert explain_accuracy(outputs, targets, text, batch_size=64).code is None
    assert explain_accuracy(outputs, targets, text, batch_size=64, shuffled=True).code == "ACC-A1"


def test_an_accuracy_of_one_or_zero_is_true_and_wrong_formulas_are_found_at_one():
    targets = torch.arange(100) % 3
    outputs = torch.nn.functional.one_hot(targets, 3).float()
    assert explain_accuracy(outputs, targets, 1.0).verdict == "true"
    assert explain_accuracy(outputs, (targets + 1) % 3, 0).verdict == "true"
    assert explain_accuracy(outputs, targets, "0.3334").code == "ACC-B2"


def test_one_sample_is_enough():
    assert explain_accuracy([[0.0, 1.0]], [1], "1.0000", batch_size=1).verdict == "true"


def test_the_message_says_that_a_column_is_read_as_probabilities():
    found = explain_accuracy([0.1, 0.7, 0.8, 0.4], [0, 1, 0, 0], "0.7500")
    assert found.verdict == "true"
    assert "read as probabilities" in found.message


def test_inputs_and_the_global_generator_are_unchanged():
    outputs, targets = made()
    before = outputs.clone(), targets.clone()
    state = torch.get_rng_state()
    explain_accuracy(outputs, targets, "0.5", batch_size=64, shuffled=True)
    assert torch.equal(outputs, before[0])
    assert torch.equal(targets, before[1])
    assert torch.equal(torch.get_rng_state(), state)


def test_the_text_shows_the_verdict_the_message_the_wrong_code_and_the_fix():
    outputs, targets = made()
    value = batch_accuracies(outputs, targets, 64).mean().item()
    found = explain_accuracy(outputs, targets, f"{value:.6f}", batch_size=64)
    text = repr(found)
    assert text.startswith("Explanation: explained\n")
    assert found.message in text
    assert "    - accuracy = acc / len(loader)" in text
    assert "    + accuracy = correct / total" in text


class Balanced(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.text = [], ""

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_html_is_balanced_and_escaped():
    candidate = Candidate("ACC-X", "<b>", "r", 0.5, 0.5, "a < b & c", "a > b", 1)
    html = as_html("explained", "<script>alert(1)</script>", (candidate,))
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    assert "a < b & c" in parser.text


def test_the_html_of_an_answer_without_candidates_has_no_table():
    outputs, targets = made()
    html = explain_accuracy(outputs, targets, "0.123456", batch_size=64)._repr_html_()
    assert "<table>" not in html


def test_an_explanation_is_immutable_and_compared_by_value():
    outputs, targets = made()
    first = explain_accuracy(outputs, targets, "0.5", batch_size=64)
    assert isinstance(first, Explanation)
    assert first == explain_accuracy(outputs, targets, "0.5", batch_size=64)
    with pytest.raises(AttributeError):
        first.code = "ACC-A1"
