"""The command line."""

import re

import pytest

from sktorch_acc import __version__
from sktorch_acc.cli import main


def test_the_demo_shows_a_module_its_epochs_its_folds_and_its_classes(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "class OccupationNet(nn.Module)" in out
    assert re.search(r"epoch train_loss +train_acc +sec worst class", out)
    scored, recorded = re.search(r"fitted on: ([\d.]+); recorded: ([\d.]+)", out).groups()
    assert scored == recorded
    assert len(re.search(r"each fold: (.*)", out)[1].split()) == 5
    for occupation in ("management", "office", "sales", "services", "technical", "worker", "overall"):
        assert re.search(rf"^{occupation} +\d+ +\d+ +\d+ +[\d.]+", out, re.M)
    assert {path.name for path in tmp_path.iterdir()} == {"demo-accuracy-curves.png", "demo-per-class-accuracy.png"}


def test_version_and_unknown_commands(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.strip() == f"sktorch-acc {__version__}"
    with pytest.raises(SystemExit) as caught:
        main(["fit"])
    assert caught.value.code == 2
