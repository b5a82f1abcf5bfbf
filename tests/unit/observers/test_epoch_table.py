"""What ``verbose=1`` prints."""

import numpy as np
import pytest
from sklearn.datasets import make_classification

from sktorch_acc import TorchClassifier

X, INDICES = make_classification(60, 6, n_informative=4, n_classes=3, random_state=0)
X = X.astype("float32")
Y = np.array(["an occupation with a very long name indeed", "cat\nwith a break", "dog"])[INDICES]


@pytest.mark.parametrize("mode", ["exact", "running", None])
@pytest.mark.parametrize("fraction", [None, 0.25])
def test_lines_are_aligned_short_and_free_of_control_characters(mode, fraction, capsys):
    clf = TorchClassifier(max_epochs=45, verbose=1, train_accuracy=mode, validation_fraction=fraction, random_state=0)
    clf.fit(X, Y)
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert len(lines) == 45 + 3
    assert [i for i, line in enumerate(lines) if "train_loss" in line] == [0, 21, 42]
    assert max(map(len, lines)) < 80
    assert "\r" not in out
    assert "\x1b" not in out
    numbers = [line[: lines[0].index("sec") + 3] for line in lines]
    assert len({len(line) for line in numbers}) == 1


def test_a_line_shows_the_recorded_values(capsys):
    clf = TorchClassifier(max_epochs=1, verbose=1, validation_fraction=0.25, random_state=0).fit(X, INDICES)
    header, line = capsys.readouterr().out.splitlines()
    row = clf.history_.loc[1]
    assert header.split() == ["epoch", "train_loss", "train_acc", "valid_loss", "valid_acc", "sec", "worst", "class"]
    figures = [f"{row[name]:.4f}" for name in ("train_loss", "train_acc", "valid_loss", "valid_acc")]
    assert line.split()[:5] == ["1", *figures]
    worst = min(row[f"valid_acc[{label}]"] for label in range(3))
    assert line.split()[6] == f"{worst:.4f}"


def test_nothing_is_printed_unless_asked_for(capsys):
    TorchClassifier(max_epochs=2).fit(X, Y)
    assert capsys.readouterr() == ("", "")
