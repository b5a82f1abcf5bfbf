"""The long form of history_."""

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from sktorch_acc.metrics import per_class_history


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
