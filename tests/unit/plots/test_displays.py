"""Displays: their attributes, what they draw, and that pyplot is not touched."""

import sys
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from sktorch_acc.metrics import per_class_accuracy_table
from sktorch_acc.model_selection import cross_val_per_class_accuracy
from sktorch_acc.plots import AccuracyCurveDisplay, PerClassAccuracyDisplay

mpl.use("Agg")
rng = np.random.default_rng(0)


class TorchClassifier:
    """The attributes of a fitted estimator that the curves are drawn from."""

    def __init__(self, n_classes=3, n_epochs=8, columns=("train_acc", "train_acc_running", "valid_acc")):
        self.classes_ = np.array([f"a rather long name of a class, number {i:02d}" for i in range(n_classes)])
        self.class_count_ = np.arange(1, n_classes + 1)
        self.best_epoch_ = min(6, n_epochs)
        data = {"train_loss": np.linspace(1, 0, n_epochs)}
        data |= {column: rng.uniform(size=n_epochs) for column in columns}
        for column in columns:
            # Class 0 is the worst, the last class the best.
            data |= {f"{column}[{c}]": np.full(n_epochs, i / 40) for i, c in enumerate(self.classes_)}
        self.history_ = pd.DataFrame(data, index=pd.RangeIndex(1, n_epochs + 1, name="epoch"))


@pytest.fixture
def ax():
    return Figure(layout="constrained").subplots()


def texts(ax):
    return [text.get_text() for text in ax.texts]


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_training_is_solid_running_dotted_validation_dashed(ax):
    clf = TorchClassifier()
    display = AccuracyCurveDisplay.from_estimator(clf, ax=ax)
    styles = {key: line.get_linestyle() for key, line in display.lines_.items()}
    assert styles == {
        ("train", "exact", None): "-",
        ("train", "running", None): ":",
        ("valid", "exact", None): "--",
    }
    line = display.lines_["valid", "exact", None]
    assert line.get_xdata().tolist() == clf.history_.index.tolist()
    assert line.get_ydata().tolist() == clf.history_["valid_acc"].tolist()


def test_best_epoch_and_majority_class_are_marked(ax):
    display = AccuracyCurveDisplay.from_estimator(TorchClassifier(), ax=ax)
    assert display.best_epoch == 6
    assert display.majority == ("a rather long name of a class, number 02", 0.5)
    assert "best epoch 6" in texts(ax)
    assert legend(ax) == ["train", "train, running", "validation", "always a rather long…ber 02 (0.500)"]


@pytest.mark.parametrize("columns", [("train_acc_running",), ("train_acc", "train_acc_running")])
@pytest.mark.parametrize("per_class", [False, True])
def test_only_recorded_accuracies_are_drawn(ax, columns, per_class):
    clf = TorchClassifier(columns=columns)
    display = AccuracyCurveDisplay.from_estimator(clf, ax=ax, per_class=per_class)
    drawn = {key[1] for key in display.lines_}
    # With classes, running accuracies would make three lines per class: only the exact ones are drawn.
    assert drawn == (
        {"exact", "running"} if len(columns) == 2 and not per_class else {("running", "exact")[len(columns) - 1]}
    )


@pytest.mark.parametrize(("n_classes", "n_colors"), [(2, 2), (6, 6), (30, 6)])
def test_the_worst_classes_have_a_name_and_a_colour_each(ax, n_classes, n_colors):
    clf = TorchClassifier(n_classes)
    display = AccuracyCurveDisplay.from_estimator(clf, ax=ax, per_class=True)
    # Training and validation of the classes with a colour; only validation of the grey ones.
    assert len(display.lines_) == n_classes + n_colors + 2
    colors = [display.lines_["valid", "exact", label].get_color() for label in clf.classes_]
    assert len(set(colors[:n_colors])) == n_colors
    assert len(set(colors[n_colors:])) <= 1
    assert all(name.endswith(f"{i:02d}") for i, name in enumerate(legend(ax)[:n_colors]))
    assert ("24 classes with higher accuracy" in legend(ax)) == (n_classes == 30)


def test_how_many_classes_are_highlighted_can_be_chosen(ax):
    display = AccuracyCurveDisplay.from_estimator(TorchClassifier(9), ax=ax, per_class=True, n_highlighted=0)
    assert legend(ax)[0] == "9 classes with higher accuracy"
    with pytest.raises(ValueError, match=r"'n_highlighted' parameter .* range \[0, 7\]. Got 8 instead"):
        display.plot(ax=ax, n_highlighted=8)


def test_one_epoch_is_drawn_as_a_point(ax):
    display = AccuracyCurveDisplay.from_estimator(TorchClassifier(n_epochs=1), ax=ax, per_class=True)
    assert {line.get_marker() for line in display.lines_.values()} == {"o"}


def test_curves_need_a_history_with_accuracies(ax):
    with pytest.raises(ValueError, match=r"history_ has no accuracy: .*Columns: \['train_loss'\]"):
        AccuracyCurveDisplay.from_estimator(TorchClassifier(columns=()), ax=ax)
    with pytest.raises(NotFittedError):
        AccuracyCurveDisplay.from_estimator(LogisticRegression(), ax=ax)


Y_TRUE = ["good"] * 20 + ["bad"] * 20 + ["fair"] * 20
Y_PRED = ["good"] * 20 + ["bad"] * 2 + ["fair"] * 18 + ["fair"] * 12 + ["good"] * 8


def names(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_bars_are_sorted_from_the_worst_class_with_counts_beside_them(ax):
    display = PerClassAccuracyDisplay.from_predictions(Y_TRUE, Y_PRED, labels=["bad", "fair", "good", "none"], ax=ax)
    assert names(ax) == ["bad", "fair", "good", "none"]
    assert [bar.get_width() for bar in display.bars_][:3] == [0.1, 0.6, 1.0]
    assert [text.get_text() for text in display.text_] == ["2 of 20", "12 of 20", "20 of 20", "no samples"]
    assert ax.yaxis_inverted()  # the first bar is on top
    assert display.line_.get_xdata() == [34 / 60, 34 / 60]
    assert "0.567 overall (dashed), 34 of 60 samples" in ax.get_title(loc="left")


def test_whiskers_are_the_interval_of_the_table(ax):
    display = PerClassAccuracyDisplay.from_predictions(Y_TRUE, Y_PRED, confidence=0.8, ax=ax)
    table = per_class_accuracy_table(Y_TRUE, Y_PRED, confidence=0.8)
    pd.testing.assert_frame_equal(display.table, table)
    ends = [segment[:, 0].tolist() for segment in ax.collections[0].get_segments()]
    assert ends == table[["low", "high"]].iloc[:-1].to_numpy().tolist()


def test_a_class_whose_interval_is_below_overall_has_another_colour(ax):
    display = PerClassAccuracyDisplay.from_predictions(Y_TRUE, Y_PRED, ax=ax)
    colors = [bar.get_facecolor() for bar in display.bars_]
    assert colors[0] != colors[1] == colors[2]
    assert "orange: interval below overall" in ax.get_xlabel()


def test_bars_of_an_estimator_show_its_classes_and_any_other_in_y(ax):
    X = rng.normal(size=(60, 2))
    clf = LogisticRegression().fit(X, np.repeat(["a", "b", "c"], 20))
    display = PerClassAccuracyDisplay.from_estimator(clf, X[:30], ["a"] * 15 + ["zebra"] * 15, ax=ax)
    assert sorted(names(ax)) == ["a", "b", "c", "zebra"]
    assert display.table.loc["zebra", "accuracy"] == 0.0
    assert ax.get_title(loc="left").startswith("LogisticRegression: ")


def test_bars_of_a_cross_validation_have_a_dot_per_fold(ax):
    X = rng.normal(size=(60, 2))
    result = cross_val_per_class_accuracy(LogisticRegression(), X, np.repeat([1, 2], 30))
    display = PerClassAccuracyDisplay.from_cross_validation(result, name="logistic", ax=ax)
    dots = next(line for line in ax.lines if line.get_marker() == "o")
    order = [int(name) for name in names(ax)]
    assert dots.get_xdata().tolist() == result.folds[order].to_numpy().ravel().tolist()
    assert display.folds is result.folds
    assert "dots: folds" in ax.get_xlabel()


def test_keywords_reach_the_bars(ax):
    display = PerClassAccuracyDisplay.from_predictions(Y_TRUE, Y_PRED, ax=ax, bar_kwargs={"color": "k"})
    assert {bar.get_facecolor()[:3] for bar in display.bars_} == {(0.0, 0.0, 0.0)}


DRAW = [
    lambda **kw: AccuracyCurveDisplay.from_estimator(TorchClassifier(30), per_class=True, **kw),
    lambda **kw: PerClassAccuracyDisplay.from_predictions(Y_TRUE, Y_PRED, **kw),
]


@pytest.mark.parametrize("draw", DRAW)
def test_pyplot_is_untouched_when_axes_are_given(ax, draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it would raise
    display = draw(ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure


@pytest.mark.parametrize("draw", DRAW)
def test_a_new_figure_is_pyplots_and_holds_all_text(draw):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    display = draw()
    assert len(plt.get_fignums()) == len(before) + 1
    figure = display.figure_
    figure.canvas.draw()
    inside = figure.get_tightbbox(figure.canvas.get_renderer())
    plt.close(figure)
    width, height = figure.get_size_inches()
    assert inside.x0 >= 0
    assert inside.y0 >= 0
    assert inside.x1 <= width
    assert inside.y1 <= height


@pytest.mark.parametrize("n_classes", [2, 6, 30])
def test_names_of_classes_never_overlap(n_classes):
    import matplotlib.pyplot as plt

    labels = [f"a very long name of a job type, say number {i}" for i in range(n_classes)]
    display = PerClassAccuracyDisplay.from_predictions(labels, labels)
    display.figure_.canvas.draw()
    boxes = [label.get_window_extent() for label in display.ax_.get_yticklabels()]
    plt.close(display.figure_)
    assert all(upper.y0 > lower.y1 for upper, lower in pairwise(boxes))


@pytest.mark.parametrize("draw", DRAW)
def test_without_matplotlib_the_error_says_what_to_install(draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"needs matplotlib: pip install 'sktorch-acc\[plot\]'"):
        draw()
