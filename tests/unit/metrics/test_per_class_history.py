"""The long form of history_."""

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from sktorch_acc.metrics import per_class_history
from sktorch_acc.metrics._history import CURVES, long_history


class Fitted:
    """The attributes of a fitted estimator that the function reads."""

    def __init__(self, classes, **columns):
        self.classes_ = np.array(classes)
        n = len(next(iter(columns.values())))
        self.history_ = pd.DataFrame(columns, index=pd.RangeIndex(1, n + 1, name="epoch"))


def test_every_recorded_accuracy_is_one_row_sorted_by_epoch():
    clf = Fitted(
        ["a", "b"],
        **{
            "train_acc": [0.5, 0.6],
            "train_acc[a]": [0.1, 0.2],
            "train_acc[b]": [0.3, 0.4],
            "train_acc_running[a]": [0.0, 0.1],
            "train_acc_running[b]": [0.2, 0.3],
            "valid_acc[a]": [0.5, 0.6],
            "valid_acc[b]": [np.nan, 0.8],
        },
    )
    long = per_class_history(clf)
    assert long.columns.tolist() == ["epoch", "split", "measure", "label", "accuracy"]
    assert long["epoch"].tolist() == [1] * 6 + [2] * 6
    first = [tuple(row) for row in long.iloc[:6, 1:].itertuples(index=False)]
    assert first[:5] == [
        ("train", "exact", "a", 0.1),
        ("train", "exact", "b", 0.3),
        ("train", "running", "a", 0.0),
        ("train", "running", "b", 0.2),
        ("valid", "exact", "a", 0.5),
    ]
    assert np.isnan(first[5][-1])


@pytest.mark.parametrize("classes", [[0, 1], [False, True], [0.0, 2.0]])
def test_labels_are_the_values_of_classes_(classes):
    clf = Fitted(classes, **{f"train_acc[{label}]": [0.5] for label in np.array(classes)})
    assert per_class_history(clf)["label"].tolist() == classes


def test_a_fit_that_recorded_no_accuracy_is_an_error_that_says_what_to_do():
    clf = Fitted(["a"], train_loss=[0.5], lr=[0.1])
    with pytest.raises(
        ValueError, match=r"no per-class accuracy.*Columns: \['train_loss', 'lr'\].*train_accuracy='exact'"
    ):
        per_class_history(clf)


def test_an_estimator_without_epochs_is_an_error():
    X, y = np.eye(4), [0, 1, 0, 1]
    with pytest.raises(NotFittedError):
        per_class_history(LogisticRegression())
    with pytest.raises(ValueError, match=r"LogisticRegression has no history_.*pipeline\[-1\].*best_estimator_"):
        per_class_history(LogisticRegression().fit(X, y))


def slow_history(clf, per_class):
    """One frame for each curve of each class, joined."""
    names = {f"[{label}]": label for label in clf.classes_} if per_class else {"": None}
    parts = []
    for column, (split, measure) in CURVES.items():
        for name, label in names.items():
            if column + name in clf.history_:
                values = {"epoch": clf.history_.index.to_numpy(), "split": split, "measure": measure, "label": label}
                parts.append(pd.DataFrame({**values, "accuracy": clf.history_[column + name].to_numpy()}))
    return pd.concat(parts, ignore_index=True)


CLASSES = {
    "integers": [3, 5, 8],
    "small integers": np.array([3, 5], dtype=np.int8),
    "unsigned": np.array([3, 5], dtype=np.uint64),
    "strings": ["cat", "dog"],
    "objects": np.array(["cat", "dog"], dtype=object),
    "bools": [False, True],
    "floats": np.array([0.0, 1.0], dtype=np.float32),
    "dates": np.array(["2025", "2026"], dtype="M8[Y]"),
    "many": np.arange(300),
}


@pytest.mark.parametrize("classes", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("curves", [["train_acc"], list(CURVES), ["valid_acc", "train_acc"]], ids=len)
@pytest.mark.parametrize("first", [0, 1])
def test_the_long_form_is_that_of_one_frame_for_each_class(classes, curves, first):
    rng = np.random.default_rng(0)
    clf = Fitted(classes, train_loss=rng.random(4))
    columns = [f"{curve}[{label}]" for curve in curves for label in clf.classes_[first:]]
    columns += curves
    table = pd.DataFrame(rng.random((4, len(columns))), columns=columns, index=clf.history_.index)
    table.iloc[1, 0] = np.nan
    clf.history_ = pd.concat([clf.history_, table], axis=1)
    for per_class in (True, False):
        pd.testing.assert_frame_equal(
            long_history(clf, per_class=per_class), slow_history(clf, per_class), check_exact=True
        )
    expected = slow_history(clf, True).sort_values("epoch", kind="stable", ignore_index=True)
    pd.testing.assert_frame_equal(per_class_history(clf), expected, check_exact=True)


def test_the_number_of_frames_does_not_grow_with_the_classes(monkeypatch):
    made, build = [], pd.DataFrame.__init__

    def counting(self, *args, **kwargs):
        made.append(self)
        build(self, *args, **kwargs)

    n_frames = []
    for n_classes in (3, 600):
        clf = Fitted(range(n_classes), **{f"train_acc[{label}]": [0.5] for label in range(n_classes)})
        with monkeypatch.context() as patched:
            patched.setattr(pd.DataFrame, "__init__", counting)
            per_class_history(clf)
        n_frames.append(len(made))
        made.clear()
    assert n_frames[0] == n_frames[1]
