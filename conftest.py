"""Run every ``>>>`` of the package's docstrings and the blocks of the README; `docs` has a conftest of its own."""

from doctest import ELLIPSIS, NORMALIZE_WHITESPACE

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser
from sybil.parsers.rest import DocTestParser

_FLAGS = ELLIPSIS | NORMALIZE_WHITESPACE

pytest_collect_file = (
    Sybil(parsers=[DocTestParser(optionflags=_FLAGS)], patterns=["sktorch_acc/*.py", "sktorch_acc/**/*.py"])
    + Sybil(parsers=[PythonCodeBlockParser(doctest_optionflags=_FLAGS)], patterns=["README.md"])
).pytest()
