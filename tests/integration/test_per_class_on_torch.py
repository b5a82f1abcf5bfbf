"""The per-class scores, scorers, cross-validation and plots on `TorchClassifier`."""

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.callback import ScoringMonitor
from sklearn.datasets import make_classification
from sklearn.metrics import recall_score
from sklearn.model_selection import GridSearchCV, cross_validate

from sktorch_acc import (
    AccuracyCurveDisplay,
    PerClassAccuracyDisplay,
    PerClassAccuracyScoring,
    TorchClassifier,
    cross_val_per_class_accuracy,
    per_class_accuracy_scorers,
    per_class_history,
    refit_by,
)
from tests.modules import DropNorm

mpl.use("Agg")

X, INDICES = make_classification(90, 6, n_informative=4, n_classes=3, random_state=0)
X = X.astype("float32")
Y = np.array(["mgmt", "supp", "tech"])[INDICES]


def classifier(**settings):
    return TorchClassifier(DropNorm, **{"max_epochs": 5, "batch_size": 32, "lr": 0.02, "random_state": 0, **settings})


def test_the_table_of_the_estimator_agrees_with_its_history():
    clf = classifier().fit(X, Y)
    table = clf.per_class_accuracy(X, Y)
    last = clf.history_.loc[clf.best_epoch_]
    assert table.loc["overall", "accuracy"] == last["train_acc"]
    for label in clf.classes_:
        assert table.loc[label, "accuracy"] == last[f"train_acc[{label}]"]
    assert table["support"].tolist()[:-1] == clf.class_count_.tolist()


def test_a_label_unseen_in_fit_has_a_row_with_accuracy_zero():
    clf = classifier().fit(X, Y)
    y = Y.astype(object)
    y[:4] = "intern"
    table = clf.per_class_accuracy(X, y)
    assert table.loc["intern", ["support", "correct", "accuracy"]].tolist() == [4, 0, 0.0]


def test_the_long_history_has_every_accuracy():
    clf = classifier(validation_fraction=0.2).fit(X, Y)
    long = per_class_history(clf)
    assert len(long) == 5 * 3 * 3
    row = long[(long.epoch == 5) & (long.split == "valid") & (long.label == "tech")]
    assert row["accuracy"].item() == clf.history_.loc[5, "valid_acc[tech]"]


@pytest.mark.parametrize("scoring", [per_class_accuracy_scorers(Y), PerClassAccuracyScoring(Y)])
def test_scorers_in_cross_validation(scoring):
    result = cross_validate(classifier(), X, Y, cv=3, scoring=scoring, return_estimator=True, return_indices=True)
    fold, rows = result["estimator"][0], result["indices"]["test"][0]
    expected = recall_score(Y[rows], fold.predict(X[rows]), average=None)
    keys = [key for key in result if key.startswith("test_acc[")]
    assert [result[key][0] for key in keys] == expected.tolist()


def test_pooled_cross_validation():
    result = cross_val_per_class_accuracy(classifier(), X, Y, cv=3)
    assert result.table.loc["overall", "support"] == 90
    assert result.confusion.to_numpy().sum() == 90


def test_a_search_refit_by_a_class():
    search = GridSearchCV(
        classifier(), {"lr": [1e-6, 0.02]}, cv=3, scoring=per_class_accuracy_scorers(Y), refit=refit_by("acc[tech]")
    ).fit(X, Y)
    means = search.cv_results_["mean_test_acc[tech]"]
    assert means[search.best_index_] == means.max()


def test_the_monitor_takes_the_scorer_of_all_classes():
    monitor = ScoringMonitor(scoring=PerClassAccuracyScoring(Y))
    clf = classifier().set_callbacks(monitor).fit(X, Y)
    log = monitor.get_logs().data_as_pandas
    log = log[log["task_name"] == "epoch"]
    for label in clf.classes_:
        assert log[f"acc[{label}]"].tolist() == clf.history_[f"train_acc[{label}]"].tolist()


def test_the_displays_draw_what_was_recorded():
    clf = classifier(validation_fraction=0.2).fit(X, Y)
    curves = AccuracyCurveDisplay.from_estimator(clf, per_class=True)
    assert curves.figure_ is not None
    bars = PerClassAccuracyDisplay.from_estimator(clf, X, Y)
    assert bars.ax_ is not None
