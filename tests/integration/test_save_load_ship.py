"""The length of the example on the page "Save, load, ship"; its blocks are run with the page."""

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent.parent / "docs" / "save-load-ship.md"


def test_serving_has_the_number_of_lines_that_the_page_says():
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (serving,) = [block for block in blocks if "FastAPI()" in block]
    assert len([line for line in serving.splitlines() if line.strip()]) <= 15
