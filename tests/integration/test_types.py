"""A type checker, and so an editor, knows the fitted attributes and the choices of the estimator."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sktorch_acc

pytestmark = pytest.mark.slow

PROGRAM = """\
import numpy as np

from sktorch_acc import TorchClassifier

X, y = np.eye(6), np.array(["cat", "dog", "fox"] * 2)
clf = TorchClassifier(max_epochs=2, module__hidden=8, class_weight={"cat": 2}, lr_scheduler="cosine").fit(X, y)
"""
ARRAY = "ndarray[tuple[Any, ...], dtype[Any]]"
TYPES = {
    "clf": "TorchClassifier",
    "clf.set_params(lr=0.1)": "TorchClassifier",
    "clf.history_": "DataFrame",
    "clf.classes_": ARRAY,
    "clf.best_epoch_": "int",
    "clf.n_iter_": "int",
    "clf.module_": "Module",
    "clf.device_": "device",
    "clf.loss_curve_": "list[float]",
    "clf.net_": "SkorchNet",
    "clf.predict(X)": ARRAY,
    "clf.score(X, y)": "float",
    "clf.per_class_accuracy(X, y)": "DataFrame",
}
ERRORS = {
    'TorchClassifier(train_accuracy="exactly")': "reportArgumentType",
    'TorchClassifier(output="logit")': "reportArgumentType",
    'TorchClassifier(diagnose="yes")': "reportArgumentType",
    'TorchClassifier(lr_scheduler="cosin")': "reportArgumentType",
    'TorchClassifier(class_weight="balance")': "reportArgumentType",
    'TorchClassifier(max_epochs="3")': "reportArgumentType",
    "clf.histry_": "reportAttributeAccessIssue",
}


@pytest.fixture(scope="module")
def diagnostics(tmp_path_factory):
    """Return what pyright reports for each line of a program; for the lines of PROGRAM under ""."""
    lines = [*(f"reveal_type({expression})" for expression in TYPES), *ERRORS]
    program = tmp_path_factory.mktemp("types") / "program.py"
    program.write_text(PROGRAM + "\n".join(lines) + "\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, program.name],
        cwd=program.parent,
        env={**os.environ, "PYTHONPATH": str(Path(sktorch_acc.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    found = {}
    for diagnostic in json.loads(done.stdout)["generalDiagnostics"]:
        number = diagnostic["range"]["start"]["line"] - PROGRAM.count("\n")
        found[lines[number] if number >= 0 else ""] = diagnostic
    return found


@pytest.mark.parametrize(("expression", "expected"), TYPES.items(), ids=TYPES)
def test_the_type_is_known(diagnostics, expression, expected):
    assert diagnostics[f"reveal_type({expression})"]["message"] == f'Type of "{expression}" is "{expected}"'


@pytest.mark.parametrize(("line", "rule"), ERRORS.items(), ids=ERRORS)
def test_the_error_is_reported(diagnostics, line, rule):
    assert (diagnostics[line]["severity"], diagnostics[line]["rule"]) == ("error", rule)


def test_nothing_is_reported_for_correct_use(diagnostics):
    assert diagnostics.get("") is None
