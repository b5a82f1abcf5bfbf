"""What the page "Save, load, ship" promises about itself; its blocks are run where the page is."""

import re
from pathlib import Path

PAGE = Path(__file__).parent.parent.parent / "docs" / "save-load-ship.md"


def test_serving_takes_no_more_lines_than_the_page_says():
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (serving,) = [block for block in blocks if "FastAPI()" in block]
    assert len([line for line in serving.splitlines() if line.strip()]) <= 15
