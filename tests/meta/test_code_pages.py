"""The pages of docs/codes are those of the catalogue, which has every code of the package."""

import importlib.util
import re
import sys
import warnings
from pathlib import Path

import pytest

import sktorch_acc

ROOT = Path(sktorch_acc.__file__).parent
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_codes", DOCS / "make_codes.py")
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path[:] = path


@pytest.fixture(scope="module")
def made(maker):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return maker.all_files()


@pytest.mark.slow
def test_the_pages_are_those_that_the_generator_makes(made):
    written = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "codes").glob("*.md")}
    assert sorted(written) == sorted(made)
    different = [name for name in made if written[name] != made[name]]
    assert different == [], "run: python docs/make_codes.py"


@pytest.mark.slow
def test_the_wrong_code_gives_the_catalogue_code_and_the_right_code_none(maker, made):
    for page in maker.PAGES:
        wrong, right = made[f"ACC-{page.code}.md"].split("## Right")
        outputs = [re.search(r"It prints\n\n```text\n(.*?)\n```", half, re.DOTALL).group(1) for half in (wrong, right)]
        assert re.search(rf"ACC-{page.code}\b", outputs[0]), page.code
        assert "ACC-" not in outputs[1], page.code


def test_every_code_of_the_package_has_a_page(maker):
    sources = "".join(path.read_text(encoding="utf-8") for path in ROOT.rglob("*.py"))
    named = set(re.findall(r"[\"\[]ACC-([A-H]\d+)[\"\]]", sources))
    assert named - {page.code for page in maker.PAGES} == set()


def test_the_start_page_links_to_the_pages():
    start = (DOCS / "why-is-my-accuracy-wrong.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\((codes/[\w-]+\.md)\)", start)
    assert len(links) > 10
    assert all((DOCS / link).exists() for link in links)
