"""Twenty training scripts as in tutorials: the error in ten of them is reported, and nothing in the other ten.

A script leaves `model`, `X`, `y`, `outputs`, `targets`, `reported`, `batch_size` and `shuffled` (and
`criterion`, `optimizer`) as global names. A script with an error has one; the table names the tool that
has to report it.
"""

import runpy
from pathlib import Path

import pytest
import torch

from sktorch_acc import diagnose, explain_accuracy

SCRIPTS = Path(__file__).parent / "scripts"
CLEAN = sorted(path.stem for path in SCRIPTS.glob("clean_*.py"))

# script: (the tool that reports the error, its code). What `diagnose` has to report does not show in the accuracy.
MISTAKES = {
    "mistake_mean_of_batches": ("explain_accuracy", "ACC-A1"),
    "mistake_divided_by_batches": ("explain_accuracy", "ACC-A2"),
    "mistake_drop_last": ("explain_accuracy", "ACC-A3"),
    "mistake_broadcast_mean": ("explain_accuracy", "ACC-B2"),
    "mistake_logits_at_one_half": ("explain_accuracy", "ACC-C5"),
    "mistake_argmax_of_one_column": ("explain_accuracy", "ACC-C6"),
    "mistake_softmax_twice": ("diagnose", "ACC-C1"),
    "mistake_eval_forgotten": ("diagnose", "ACC-E1"),
    "mistake_optimizer_of_another_model": ("diagnose", "ACC-F2"),
    "mistake_unscaled_income": ("diagnose", "ACC-D4"),
}
EXPLAINED = {script: code for script, (tool, code) in MISTAKES.items() if tool == "explain_accuracy"}


def run(script):
    """Run a script, and restore torch's generator."""
    with torch.random.fork_rng(devices=[]):
        return runpy.run_path(str(SCRIPTS / f"{script}.py"))


def explain(made):
    names = ("outputs", "targets", "reported", "batch_size", "shuffled")
    outputs, targets, reported, batch_size, shuffled = (made[name] for name in names)
    return explain_accuracy(outputs, targets, reported, batch_size=batch_size, shuffled=shuffled)


def reported_by_both(script):
    """Codes that the two tools report; of `explain_accuracy` with a confidence of at least 0.9."""
    made = run(script)
    found = explain(made)
    diagnosis = diagnose(made["model"], made["X"], made["y"], criterion=made["criterion"], optimizer=made["optimizer"])
    return {code for code in (found.code,) if code and found.confidence >= 0.9} | set(diagnosis.codes)


def test_the_table_covers_ten_scripts_with_an_error_and_ten_are_clean():
    assert sorted(MISTAKES) == sorted(path.stem for path in SCRIPTS.glob("mistake_*.py"))
    assert len(CLEAN) == len(MISTAKES) == 10


@pytest.mark.parametrize("script", CLEAN)
def test_the_accuracy_of_a_clean_script_is_confirmed(script):
    found = explain(run(script))
    assert (found.verdict, found.code) == ("true", None)


@pytest.mark.parametrize(("script", "code"), EXPLAINED.items())
def test_the_error_of_a_script_is_explained(script, code):
    found = explain(run(script))
    assert (found.verdict, found.code) == ("explained", code)
    assert found.confidence >= 0.9


@pytest.mark.parametrize("script", sorted(set(MISTAKES) - set(EXPLAINED)))
def test_an_error_that_does_not_show_in_the_accuracy_is_not_explained_as_another(script):
    found = explain(run(script))
    assert (found.verdict in ("true", "unexplained"), found.code) == (True, None)


@pytest.mark.parametrize("script", CLEAN)
def test_both_tools_report_nothing_in_a_clean_script(script):
    assert reported_by_both(script) == set()


@pytest.mark.parametrize(("script", "code"), [(script, code) for script, (_, code) in MISTAKES.items()])
def test_both_tools_report_only_the_error_of_a_script(script, code):
    assert reported_by_both(script) == {code}
