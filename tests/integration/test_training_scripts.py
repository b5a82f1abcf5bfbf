"""Twenty training scripts as tutorials write them: the mistake in ten is named, the other ten are not blamed.

A script leaves `model`, `X`, `y`, `outputs`, `targets`, `reported`, `batch_size` and `shuffled` (and
`criterion`, `optimizer`) as global names. A mistaken script has one mistake; the table says which tool has
to name it.
"""

import runpy
from pathlib import Path

import pytest
import torch

from sktorch_acc import diagnose, explain_accuracy

SCRIPTS = Path(__file__).parent / "scripts"
CLEAN = sorted(path.stem for path in SCRIPTS.glob("clean_*.py"))

# script: (the tool that sees the mistake, its code). What `diagnose` has to name is not in the figure.
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
    """Run a script as its author would, and leave torch's generator as it was."""
    with torch.random.fork_rng(devices=[]):
        return runpy.run_path(str(SCRIPTS / f"{script}.py"))


def explain(script):
    made = run(script)
    return explain_accuracy(
        made["outputs"],
        made["targets"],
        made["reported"],
        batch_size=made["batch_size"],
        shuffled=made["shuffled"],
    )


def named_by_both(script):
    """Codes that the two tools name; of `explain_accuracy` those that it is sure of."""
    made = run(script)
    found = explain_accuracy(
        made["outputs"],
        made["targets"],
        made["reported"],
        batch_size=made["batch_size"],
        shuffled=made["shuffled"],
    )
    diagnosis = diagnose(made["model"], made["X"], made["y"], criterion=made["criterion"], optimizer=made["optimizer"])
    return {code for code in (found.code,) if code and found.confidence >= 0.9} | set(diagnosis.codes)


def test_the_table_covers_ten_mistaken_scripts_beside_ten_clean_ones():
    assert sorted(MISTAKES) == sorted(path.stem for path in SCRIPTS.glob("mistake_*.py"))
    assert len(CLEAN) == len(MISTAKES) == 10


@pytest.mark.parametrize("script", CLEAN)
def test_a_clean_script_is_not_blamed(script):
    found = explain(script)
    assert (found.verdict, found.code) == ("true", None)


@pytest.mark.parametrize(("script", "code"), EXPLAINED.items())
def test_the_mistake_of_a_script_is_named(script, code):
    found = explain(script)
    assert (found.verdict, found.code) == ("explained", code)
    assert found.confidence >= 0.9


@pytest.mark.parametrize("script", sorted(set(MISTAKES) - set(EXPLAINED)))
def test_a_mistake_that_the_figure_does_not_show_is_not_called_another(script):
    found = explain(script)
    assert (found.verdict in ("true", "unexplained"), found.code) == (True, None)


@pytest.mark.parametrize("script", CLEAN)
def test_both_tools_together_find_nothing_in_a_clean_script(script):
    assert named_by_both(script) == set()


@pytest.mark.parametrize(("script", "code"), [(script, code) for script, (_, code) in MISTAKES.items()])
def test_both_tools_together_name_the_one_mistake_of_a_script(script, code):
    assert named_by_both(script) == {code}
