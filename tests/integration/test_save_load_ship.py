"""The page "Save, load, ship": every block runs, in order."""

import re
import tempfile
from pathlib import Path

PAGE = Path(__file__).parent.parent.parent / "docs" / "save-load-ship.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_every_block_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names = {"__name__": "page"}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)
    printed = capsys.readouterr().out
    assert "class 8" in printed
    assert "['setosa' 'versicolor' 'virginica'] 20" in printed
    assert "The checksum of manifest.json does not fit" in printed
    assert "['setosa', 'setosa']" in printed
    files = sorted(path.name for path in tmp_path.glob("*/*"))
    assert files == ["damaged.sktorch", "iris.sktorch", "pipeline.skops", "stream.sktorch"]


def test_serving_takes_no_more_lines_than_the_page_says():
    (serving,) = [block for block in BLOCKS if "FastAPI()" in block]
    assert len([line for line in serving.splitlines() if line.strip()]) <= 15
