"""What the package shows is what it has, and its docstrings are complete."""

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from numpydoc.validate import validate

import sktorch_acc

ROOT = Path(sktorch_acc.__file__).parent
HOME = {
    name: module for module, name in re.findall(r"from \.(\w+) import (\w+) as", (ROOT / "__init__.pyi").read_text())
}
PUBLIC = list(sktorch_acc.__all__)


def test_every_public_name_can_be_loaded_and_is_listed():
    for name in sktorch_acc.__all__:
        assert getattr(sktorch_acc, name) is not None
    assert set(sktorch_acc.__all__) <= set(dir(sktorch_acc))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = sktorch_acc.nonsense


def test_type_checkers_see_the_same_names_and_each_once():
    assert sorted(HOME) == sorted(PUBLIC)
    assert len(set(PUBLIC)) == len(PUBLIC)


def test_public_modules_declare_what_they_export_and_others_leave_it_to_the_underscore():
    public = {"testing", "cli", "datasets", "modules", *HOME.values()} - {"_versions", "doctor"}
    for module in pkgutil.walk_packages([str(ROOT)], "sktorch_acc."):
        loaded = importlib.import_module(module.name)
        assert loaded.__doc__, module.name
        declared = getattr(loaded, "__all__", None)
        assert (declared is not None) == (module.name.removeprefix("sktorch_acc.") in public), module.name
        for name in declared or ():
            assert hasattr(loaded, name), (module.name, name)


@pytest.mark.slow
def test_importing_the_package_or_its_metrics_loads_no_torch():
    code = "import sys, sktorch_acc, sktorch_acc.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# GL01/GL02: the summary starts on the first line; GL08: attributes have no docstring; SA01, ES01, EX01: not all need
# a See Also, an extended summary or an example; RT02, RT03, PR06, PR08, PR09, SS06: style.
IGNORED = {
    "GL01",
    "GL02",
    "GL03",
    "GL08",
    "SA01",
    "SA04",
    "ES01",
    "EX01",
    "RT02",
    "RT03",
    "PR06",
    "PR08",
    "PR09",
    "SS06",
}


@pytest.mark.parametrize("name", PUBLIC)
def test_the_docstring_is_complete(name):
    full = f"sktorch_acc.{HOME[name]}.{name}"
    errors = [(code, text) for code, text in validate(full)["errors"] if code not in IGNORED]
    assert errors == []


METHODS = [
    f"sktorch_acc.classifier.TorchClassifier.{name}"
    for name in vars(sktorch_acc.TorchClassifier)
    if not name.startswith("_") and callable(getattr(sktorch_acc.TorchClassifier, name))
]


@pytest.mark.parametrize("name", METHODS)
def test_the_docstring_of_every_method_is_complete(name):
    errors = [(code, text) for code, text in validate(name)["errors"] if code not in IGNORED]
    assert errors == []


def test_the_experimental_callbacks_of_scikit_learn_are_used_in_the_adapter_alone():
    users = {path.name for path in ROOT.rglob("*.py") if "sklearn.callback" in path.read_text()}
    assert users == {"sklearn_tasks.py"}


def test_no_file_is_longer_than_it_should_be():
    for path in ROOT.rglob("*.py"):
        tree = ast.parse(path.read_text())
        docs = sum(
            node.body[0].end_lineno - node.body[0].lineno + 1
            for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node)
        )
        assert len(path.read_text().splitlines()) - docs <= 600, path
