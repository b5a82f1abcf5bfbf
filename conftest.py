"""Run every ``>>>`` of the package's docstrings; the pages of `docs` have a conftest of their own."""

from doctest import NORMALIZE_WHITESPACE

from sybil import Sybil
from sybil.parsers.rest import DocTestParser

pytest_collect_file = Sybil(
    parsers=[DocTestParser(optionflags=NORMALIZE_WHITESPACE)],
    patterns=["sktorch_acc/*.py", "sktorch_acc/**/*.py"],
).pytest()
