"""Run the Python blocks of the README and of the pages, and the examples in docstrings."""

from doctest import ELLIPSIS, NORMALIZE_WHITESPACE

from sybil import Sybil
from sybil.document import PythonDocStringDocument
from sybil.parsers.doctest import DocTestParser
from sybil.parsers.markdown import PythonCodeBlockParser
from sybil.sybil import SybilCollection

FLAGS = ELLIPSIS | NORMALIZE_WHITESPACE
BLOCKS = [PythonCodeBlockParser(doctest_optionflags=FLAGS)]
DOCSTRINGS = [DocTestParser(optionflags=FLAGS)]

pytest_collect_file = SybilCollection(
    [
        Sybil(BLOCKS, patterns=["README.md"]),
        Sybil(BLOCKS, path="docs", patterns=["*.md"]),
        Sybil(DOCSTRINGS, path="sktorch_acc", patterns=["*.py"], document_types={".py": PythonDocStringDocument}),
    ]
).pytest()
