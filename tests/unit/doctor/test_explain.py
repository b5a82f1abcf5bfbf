"""The answer as a whole: verdicts, what a reader is told, and how it is shown."""

from html.parser import HTMLParser

import numpy as np
import pytest
import torch

import sktorch_acc
from sktorch_acc import Explanation, explain_accuracy
from sktorch_acc.doctor.explain.message import as_html
from sktorch_acc.doctor.explain.ranking import Candidate


def made(n_rows=517, n_classes=4, signal=1.5, seed=0):
    """Scores that are right in most rows, and targets."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, n_classes, n_rows)
    scores = rng.normal(size=(n_rows, n_classes))
    scores[np.arange(n_rows), targets] += signal
    return torch.from_numpy(scores), torch.from_numpy(targets)


def rates_of_batches(outputs, targets, batch_size):
    hits = (outputs.argmax(dim=1) == targets).double()
    return torch.stack([part.mean() for part in hits.split(batch_size)])


def test_the_names_are_public():
    assert {"explain_accuracy", "Explanation"} <= set(sktorch_acc.__all__)
    assert sktorch_acc.explain_accuracy is explain_accuracy


def test_the_accuracy_itself_is_true_and_blames_nothing():
    outputs, targets = made()
    truth = (outputs.argmax(dim=1) == targets).double().mean().item()
    for text, scale in ((f"{truth:.4f}", 1), (truth, 1), (f"{truth:.2%}", 100), (f"{100 * truth:.3f}", 100)):
        found = explain_accuracy(outputs, targets, text, batch_size=64)
        assert (found.verdict, found.code, found.scale) == ("true", None, scale)
        assert found.true_accuracy == truth
        assert "is the accuracy of these outputs" in found.message


def test_a_right_average_that_float32_rounded_many_times_is_true():
    strayed = []
    for seed in range(10):
        outputs, targets = made(n_rows=4998, seed=seed)
        acc = torch.zeros(())
        for z, y in zip(outputs.split(3), targets.split(3), strict=True):
            acc += (z.argmax(dim=1) == y).float().mean()
        found = explain_accuracy(outputs, targets, acc / 1666, batch_size=3)
        assert (found.verdict, found.code) == ("true", None)
        strayed.append(abs(found.reported - found.true_accuracy))
    assert max(strayed) > 5e-7  # more than one rounding to float32


def test_an_answer_that_is_not_sure_and_near_the_truth_says_what_else_it_can_be():
    generator, unsure = torch.Generator(), 0
    for seed in range(40):
        outputs = torch.randn(60, 3, generator=generator.manual_seed(seed))
        targets = torch.where(torch.rand(60, generator=generator) < 0.8, outputs.argmax(dim=1), torch.arange(60) % 3)
        right = int((outputs.argmax(dim=1) == targets).sum())
        found = explain_accuracy(outputs, targets, f"{(right - 2) / 60:.4f}", batch_size=16)
        if found.verdict == "explained":
            assert ("Not surely: it may also be a count of another pass" in found.message) == (found.confidence < 0.9)
            unsure += found.confidence < 0.9
    assert unsure > 0


@pytest.mark.parametrize(("form", "scale"), [("{:.4f}", 1), ("{:.6f}", 1), ("{:.2%}", 100)])
def test_a_mean_of_batches_is_explained_with_both_codes_to_compare(form, scale):
    outputs, targets = made()
    figure = rates_of_batches(outputs, targets, 64).mean().item()
    found = explain_accuracy(outputs, targets, form.format(figure), batch_size=64)
    assert (found.verdict, found.code, found.scale) == ("explained", "ACC-A1", scale)
    assert found.confidence >= 0.9
    assert found.reported == pytest.approx(figure * scale, abs=0.01)
    first = found.candidates[0]
    assert first.value == pytest.approx(figure)
    assert "len(loader)" in first.formula
    assert "correct / total" in first.fix
    assert f"{first.name} (ACC-A1)" in found.message


def test_percent_without_a_sign_is_tried_too():
    outputs, targets = made()
    figure = rates_of_batches(outputs, targets, 64).mean().item()
    found = explain_accuracy(outputs, targets, f"{100 * figure:.2f}", batch_size=64)
    assert (found.code, found.scale) == ("ACC-A1", 100)


def test_zero_is_ambiguous_and_shows_which_lines_to_look_for():
    outputs, targets = made()
    found = explain_accuracy(outputs, targets, "0.0000", batch_size=64)
    assert found.verdict == "ambiguous"
    assert {"ACC-A9", "ACC-B6", "ACC-B7"} <= {c.code for c in found.candidates}
    assert found.code == found.candidates[0].code
    assert found.confidence < 0.9
    assert "look in the loop for `" in found.message


def test_causes_that_print_alike_are_told_apart_by_more_decimals():
    outputs, targets = made(n_rows=517)
    figure = rates_of_batches(outputs, targets, 64).mean().item()
    found = explain_accuracy(outputs, targets, f"{figure:.2f}", batch_size=64)
    assert found.confidence < 0.9
    assert "print six decimals" in found.message


def test_a_true_figure_says_what_it_coincides_with():
    outputs, targets = made(n_rows=517)
    truth = (outputs.argmax(dim=1) == targets).double().mean().item()
    found = explain_accuracy(outputs, targets, f"{truth:.1f}", batch_size=64)
    assert found.verdict == "true"
    assert found.candidates
    assert "coincides with" in found.message
    assert f"the accuracy {truth:.6f}" in found.message
    assert repr(found).splitlines()[1:] == [f"  {found.message}"]


def test_a_near_figure_that_nothing_explains_names_the_moving_model_and_the_other_rows():
    outputs, targets = made(n_rows=1003)
    truth = (outputs.argmax(dim=1) == targets).double().mean().item()
    found = explain_accuracy(outputs, targets, f"{truth - 0.03171:.5f}", batch_size=64)
    assert (found.verdict, found.code, found.candidates) == ("unexplained", None, ())
    assert found.confidence == 1.0
    for words in ("moving model (ACC-E2)", "training mode (ACC-E1)", "another split (ACC-E7)", "1003", "shuffled=True"):
        assert words in found.message
    tools = found.message.partition("To tell: ")[2]
    assert "`audit_loop` watches a loop" in tools
    assert "`diagnose` looks at the modes and settings of a module and at the splits of an estimator" in tools


def test_a_near_count_that_a_formula_could_give_by_chance_names_the_tools_too():
    outputs, targets = made(n_rows=60, seed=2)  # 45 rows are right; 42 of 60 are 14 of a batch of 20.
    found = explain_accuracy(outputs, targets, f"{42 / 60:.4f}", batch_size=20, shuffled=True)
    assert (found.verdict, found.code) == ("unexplained", None)
    assert "It is also what ACC-A8 would give" in found.message
    assert "`audit_loop`" in found.message


def test_a_far_figure_that_nothing_explains_is_not_called_a_moving_model():
    outputs, targets = made(n_rows=1003)
    found = explain_accuracy(outputs, targets, "0.12345", batch_size=64)
    assert found.verdict == "unexplained"
    assert "ACC-E2" not in found.message
    assert "audit_loop" not in found.message


def test_without_a_batch_size_the_message_asks_for_it():
    outputs, targets = made()
    figure = rates_of_batches(outputs, targets, 64).mean().item()
    found = explain_accuracy(outputs, targets, f"{figure:.4f}")
    assert found.verdict == "unexplained"
    assert "Pass batch_size" in found.message


def test_a_shuffled_mean_of_batches_needs_shuffled():
    outputs, targets = made(n_rows=500, seed=3)
    order = torch.randperm(500, generator=torch.Generator().manual_seed(4))
    text = f"{rates_of_batches(outputs[order], targets[order], 64).mean().item():.6f}"
    assert explain_accuracy(outputs, targets, text, batch_size=64).code is None
    assert explain_accuracy(outputs, targets, text, batch_size=64, shuffled=True).code == "ACC-A1"


def test_a_perfect_or_hopeless_module_is_judged_like_any_other():
    targets = torch.arange(100) % 3
    outputs = torch.nn.functional.one_hot(targets, 3).float()
    assert explain_accuracy(outputs, targets, 1.0).verdict == "true"
    assert explain_accuracy(outputs, (targets + 1) % 3, 0).verdict == "true"
    assert explain_accuracy(outputs, targets, "0.3334").code == "ACC-B2"


def test_one_row_is_enough():
    assert explain_accuracy([[0.0, 1.0]], [1], "1.0000", batch_size=1).verdict == "true"


def test_a_column_of_probabilities_is_said_to_be_read_as_such():
    found = explain_accuracy([0.1, 0.7, 0.8, 0.4], [0, 1, 0, 0], "0.7500")
    assert found.verdict == "true"
    assert "read as probabilities" in found.message


def test_nothing_that_the_caller_passed_is_changed():
    outputs, targets = made()
    before = outputs.clone(), targets.clone()
    state = torch.get_rng_state()
    explain_accuracy(outputs, targets, "0.5", batch_size=64, shuffled=True)
    assert torch.equal(outputs, before[0])
    assert torch.equal(targets, before[1])
    assert torch.equal(torch.get_rng_state(), state)


def test_the_text_shows_verdict_message_and_both_codes():
    outputs, targets = made()
    figure = rates_of_batches(outputs, targets, 64).mean().item()
    found = explain_accuracy(outputs, targets, f"{figure:.6f}", batch_size=64)
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


def test_an_explanation_is_a_value():
    outputs, targets = made()
    first = explain_accuracy(outputs, targets, "0.5", batch_size=64)
    assert isinstance(first, Explanation)
    assert first == explain_accuracy(outputs, targets, "0.5", batch_size=64)
    with pytest.raises(AttributeError):
        first.code = "ACC-A1"
