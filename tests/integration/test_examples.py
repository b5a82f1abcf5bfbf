"""Every example runs as a script and writes a plot."""

import runpy
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.stem)
def test_it_runs_and_writes_a_plot(script, tmp_path, monkeypatch, capsys):
    import matplotlib.pyplot as plt

    before = plt.get_backend()
    plt.switch_backend("Agg")
    monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path)])
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        plt.close("all")
        plt.switch_backend(before)
    (plot,) = tmp_path.iterdir()
    assert plot.suffix == ".png"
    assert plot.stat().st_size > 10_000
    assert f"plot: {plot}" in capsys.readouterr().out


def test_there_are_some():
    assert len(EXAMPLES) >= 5
