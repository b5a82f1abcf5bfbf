"""The structure that the library keeps: values are frozen, functions are short and take few parameters."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
from pathlib import Path

import sktorch_acc

ROOT = Path(sktorch_acc.__file__).parent
# The state of a training changes; a Display gets its axes when it is drawn.
MAY_CHANGE = {"TrainingState", "PerClassAccuracyDisplay", "AccuracyCurveDisplay"}


def classes():
    for module in pkgutil.walk_packages([str(ROOT)], "sktorch_acc."):
        loaded = importlib.import_module(module.name)
        yield from (c for _, c in inspect.getmembers(loaded, inspect.isclass) if c.__module__ == module.name)


def functions():
    """Yield (file, function) for every function of the package."""
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        yield from ((path, node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def code_lines(path, function):
    """Lines of a function without its docstrings, blank lines and comments."""
    lines = path.read_text(encoding="utf-8").splitlines()
    texts = set()
    for node in ast.walk(function):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            texts |= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    numbers = set(range(function.lineno, function.end_lineno + 1)) - texts
    return sum(bool(lines[n - 1].strip()) and not lines[n - 1].strip().startswith("#") for n in numbers)


def test_no_field_of_a_dataclass_is_assigned_after_construction_but_in_the_training_state():
    found = {c.__name__ for c in classes() if dataclasses.is_dataclass(c) and not c.__dataclass_params__.frozen}
    assert found == MAY_CHANGE


def test_no_function_is_longer_than_45_lines_of_code_but_constructors():
    long = [(path.name, f.name) for path, f in functions() if f.name != "__init__" and code_lines(path, f) > 45]
    assert long == []


def test_no_function_of_the_engine_takes_more_than_six_parameters():
    many = []
    for path, function in functions():
        arguments = function.args
        names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        if path.parent.name == "engine" and len(set(names) - {"self", "cls"}) > 6:
            many.append((path.name, function.name))
    assert many == []
