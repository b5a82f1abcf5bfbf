"""Heavy libraries are imported when they are used, not before."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sktorch_acc

PACKAGE = Path(sktorch_acc.__file__).parent


@pytest.mark.parametrize("room", ["metrics", "plots", "model_selection"])
@pytest.mark.slow
def test_importing_a_room_for_any_classifier_leaves_torch_and_matplotlib_unloaded(room):
    code = (
        f"import sys, sktorch_acc.{room}; "
        "print([name for name in ('torch', 'skorch', 'matplotlib') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def _imported_at_module_level(tree):
    """Names imported by statements outside of functions."""
    pending = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            pending.extend(ast.iter_child_nodes(node))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_matplotlib_is_never_imported_at_module_level(path):
    modules = _imported_at_module_level(ast.parse(path.read_text(encoding="utf-8")))
    assert not [name for name in modules if name.split(".")[0] == "matplotlib"]
