"""Sources, user guide, examples, benchmarks and tests use the standard terms of the field."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# What is not used -> what is used instead.
WORDS = {
    r"figures?": "accuracy, value, printed accuracy",
    r"right rows|rows (?:that )?(?:are|were) right": "correct predictions",
    r"by heart": "overfit one batch",
    r"far[- ]fetched": "unlikely",
    r"worth a word": "reported",
    r"says? of (?:itself|themselves)": "static properties",
    r"go(?:es|ing)? back|went back": "calls backward(), restores",
    r"(?:has|have|had) a say": "has run",
    r"(?:is|are) no columns? of": "is not a column of",
    r"of (?:its|their|your|one s|one's) own accord": "by itself, automatically",
    r"lets? go of|letting go of": "releases, deletes",
    r"mend(?:s|ed|ing)?": "fix",
    r"slip(?:s|ped)?": "error",
    r"(?-i:Mistakes?)": "error, finding (as the name of a type)",
    r"doors?": "feature schema",
    r"meanings?": "output spec",
    r"sessions?": "model, training state",
    r"plans?": "fit",
    r"objectives?": "loss",
    r"(?-i:class Watch)": "fit checks (as the name of a type)",
    r"held rows?": "fitted samples, validation samples",
}

# A word in another sense: it is allowed in lines that match.
ALLOWED = {
    "figure": (
        r"\bfigure_\b|\.figure\b|\bFigure\(|import Figure|matplotlib",  # the class and the attributes of matplotlib
        r"[Nn]ew (?:pyplot )?figure|figure of its own|Figure of the axes|new_figure",  # a figure of matplotlib
    ),
    "session": (
        r"scope=.session|def pytest_session",  # of pytest
        r'"Session"',  # a class in pickles of earlier builds
    ),
    "door": (r'"door"',),  # a key of model files of version 1
    "meaning": (r'"meaning"',),  # a key of model files of version 1
}

# A phrase may continue on the next line, also of a comment.
PATTERN = re.compile(
    "|".join(rf"\b(?P<w{i}>{words})\b" for i, words in enumerate(WORDS)).replace(" ", r"[\s#]+"), re.IGNORECASE
)


def found_in(text):
    """Return (line, word, replacement) of each banned word in a text; identifiers are split into words."""
    lines = text.splitlines()
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text.replace("_", " "))
    for match in PATTERN.finditer(words):
        number = words.count("\n", 0, match.start())
        word = " ".join(match[0].replace("#", " ").split())
        allowed = ALLOWED.get(word.lower().rstrip("s"), ())
        if not any(re.search(context, lines[number]) for context in allowed):
            yield number + 1, word, list(WORDS.values())[int(match.lastgroup[1:])]


def found_in_file(path):
    yield from found_in(path.read_text(encoding="utf-8"))


def found_in_test(path):
    """Search the name of the file, the names of its functions and classes, and all docstrings."""
    yield from found_in(path.stem)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield from ((node.lineno, *rest) for _, *rest in found_in(node.name))
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module) and ast.get_docstring(node):
            docstring = node.body[0]
            yield from ((docstring.lineno + line - 1, *rest) for line, *rest in found_in(docstring.value.value))


def texts():
    for folder, pattern in (
        ("sktorch_acc", "*.py"),
        ("sktorch_acc", "*.md"),
        ("docs", "*.py"),
        ("docs", "*.md"),
        ("examples", "*.py"),
        ("benchmarks", "*.py"),
        ("benchmarks", "*.md"),
    ):
        yield from sorted((ROOT / folder).rglob(pattern))
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))


def report(paths, search):
    found = [
        f"{path.relative_to(ROOT)}:{line}:{word} -> {instead}" for path in paths for line, word, instead in search(path)
    ]
    return "\n".join(found)


def test_the_sources_and_the_user_guide_use_standard_terms():
    assert report(texts(), found_in_file) == ""


def test_the_names_and_docstrings_of_tests_use_standard_terms():
    assert report(sorted((ROOT / "tests").rglob("*.py")), found_in_test) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the running figure and its Figures", ["figure", "Figures"]),
        ("def test_the_printed_figure_is_exact():", ["figure"]),
        ("class HeldRows(Meaning):", ["Held Rows", "Meaning"]),
        ("the rows that were right, by heart", ["rows that were right", "by heart"]),
        ("it goes back a second time, of its own accord", ["goes back", "of its own accord"]),
        ("a mistake is not a Mistake", ["Mistake"]),
        ("class Watch:", ["class Watch"]),
        ("# rows that\n    # were right", ["rows that were right"]),
        ("mended slips through the door", ["mended", "slips", "door"]),
    ],
)
def test_banned_words_are_found(text, words):
    assert [word for _, word, _ in found_in(text)] == words


@pytest.mark.parametrize(
    "line",
    [
        "self.figure_ = self.ax_.figure",
        "from matplotlib.figure import Figure",
        "figure_ : matplotlib Figure",
        "Axes to draw on; None: a new figure.",
        "plt.subplots(figsize=(3, 4))",
        "@pytest.fixture(scope='session')",
        'state["door"], state["meaning"]',
        'if name == "Session":',
        "recommended, configure, slippage, explanation, amendment",
    ],
)
def test_other_senses_are_allowed(line):
    assert list(found_in(line)) == []


def test_the_line_of_a_word_is_reported():
    assert list(found_in("one\ntwo\nthe door")) == [(3, "door", "feature schema")]
