"""scikit-learn's callbacks: progress, accuracies equal to those of `ScoringMonitor`, stopping, teardown."""

import numpy as np
import pytest
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import make_classification
from sklearn.metrics import make_scorer, recall_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktorch_acc import NonFiniteLossError, TorchClassifier
from tests.modules import DropNorm

X, INDICES = make_classification(60, 6, n_informative=4, n_classes=3, random_state=0)
X = X.astype("float32")
Y = np.array(["fox", "cat", "dog"])[INDICES]


class Recorder:
    """A callback that records its calls."""

    def __init__(self, stop_after=None):
        self.events, self.stop_after = [], stop_after

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(("begin", context.task_name))

    def on_fit_task_end(self, estimator, context):
        self.events.append(("end", context.task_name))
        return context.task_name == "epoch" and context.task_id + 1 == self.stop_after


def classifier(**settings):
    return TorchClassifier(DropNorm, **{"max_epochs": 3, "batch_size": 16, "lr": 0.02, "random_state": 0, **settings})


def test_a_fit_is_a_task_with_an_epoch_task_each():
    recorder = Recorder()
    classifier(max_epochs=2).set_callbacks(recorder).fit(X, Y)
    epoch = [("begin", "epoch"), ("end", "epoch")]
    assert recorder.events == ["setup", ("begin", "fit"), *epoch, *epoch, ("end", "fit"), "teardown"]


@pytest.mark.parametrize(
    "settings", [{}, {"validation_fraction": 0.2}, {"early_stopping": True, "validation_fraction": 0.2}]
)
def test_the_scoring_monitor_gives_the_same_accuracies_every_epoch_and_class(settings):
    scoring = {"train_acc": "accuracy"}
    for label in ("cat", "dog", "fox"):
        scoring[f"train_acc[{label}]"] = make_scorer(recall_score, labels=[label], average="macro")
    monitor = ScoringMonitor(scoring=scoring)
    clf = classifier(max_epochs=8, **settings).set_callbacks(monitor).fit(X, Y)
    log = monitor.get_logs().data_as_pandas
    log = log[log["task_name"] == "epoch"]
    assert len(log) == clf.n_iter_
    for name in scoring:
        assert log[name].tolist() == clf.history_[name].tolist()


def test_the_monitor_sees_frames_as_they_were_given():
    import pandas as pd

    frame = pd.DataFrame(X, columns=list("abcdef"))
    monitor = ScoringMonitor(scoring="accuracy")
    clf = classifier().set_callbacks(monitor).fit(frame, Y)  # warnings are errors: none about feature names
    log = monitor.get_logs().data_as_pandas
    assert log.loc[log["task_name"] == "epoch", "accuracy"].tolist() == clf.history_["train_acc"].tolist()


def test_a_callback_can_stop_the_fit():
    clf = classifier(max_epochs=9).set_callbacks(Recorder(stop_after=2)).fit(X, Y)
    assert clf.n_iter_ == clf.best_epoch_ == 2


class Explodes(DropNorm):
    def forward(self, X):
        self.calls = getattr(self, "calls", 0) + 1
        return super().forward(X) * (np.inf if self.calls > 8 else 1.0)


def test_teardown_comes_also_when_a_fit_fails():
    recorder = Recorder()
    clf = TorchClassifier(Explodes, max_epochs=5, batch_size=16).set_callbacks(recorder)
    with pytest.raises(NonFiniteLossError):
        clf.fit(X, Y)
    assert recorder.events[-1] == "teardown"
    assert not hasattr(clf, "classes_")


class Counts(ProgressBar):
    """Counts the tasks that the progress bar is told of (a bar is drawn from these)."""

    epochs = 0

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            type(self).epochs += 1
        return super().on_fit_task_end(estimator, context)


@pytest.mark.parametrize(
    ("estimator", "parameter"),
    [(classifier(), "lr"), (make_pipeline(StandardScaler(), classifier()), "torchclassifier__lr")],
    ids=["alone", "in a pipeline"],
)
def test_under_a_search_the_bar_of_each_candidates_fit_advances_by_epoch(estimator, parameter, capsys):
    Counts.epochs = 0
    search = GridSearchCV(estimator, {parameter: [0.01, 0.1]}, cv=2, error_score="raise")
    search.set_callbacks(Counts(max_propagation_depth=None)).fit(X, Y)
    assert Counts.epochs == (2 * 2 + 1) * 3


@pytest.mark.slow
def test_the_bar_is_drawn_under_a_search_in_two_processes(capfd):
    search = GridSearchCV(classifier(), {"lr": [0.01, 0.1]}, cv=2, n_jobs=2, error_score="raise")
    search.set_callbacks(ProgressBar()).fit(X, Y)
    assert "TorchClassifier" in capfd.readouterr().out


def test_snapshots_are_made_only_if_asked_for(monkeypatch):
    from sktorch_acc.engine.state import TrainingState

    calls = []
    original = TrainingState.snapshot
    monkeypatch.setattr(TrainingState, "snapshot", lambda self: calls.append(1) or original(self))
    classifier().set_callbacks(Recorder()).fit(X, Y)
    assert calls == []
    classifier().set_callbacks(ScoringMonitor(scoring="accuracy")).fit(X, Y)
    assert len(calls) >= 3


def test_a_module_that_keeps_a_graph_can_be_monitored():
    class KeepsGraph(DropNorm):
        def forward(self, X):
            z = super().forward(X)
            if self.training:
                self.auxiliary = z.mean()
            return z

    monitor = ScoringMonitor(scoring="accuracy")
    clf = TorchClassifier(KeepsGraph, max_epochs=2, random_state=0).set_callbacks(monitor).fit(X, Y)
    log = monitor.get_logs().data_as_pandas
    assert log.loc[log["task_name"] == "epoch", "accuracy"].tolist() == clf.history_["train_acc"].tolist()
