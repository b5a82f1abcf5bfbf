"""The adapter to scikit-learn's callbacks: tasks of a fit, and what is made only if it is asked for."""

import numpy as np
import pandas as pd
import pytest
from sklearn.callback import ProgressBar

from sktorch_acc import TorchClassifier
from sktorch_acc.engine.train import train
from sktorch_acc.observers.sklearn_tasks import SklearnTasks, has_callbacks
from tests.fits import classes, examples, prepared, table


class Context:
    """A task that writes down what it is told."""

    def __init__(self, log, name, stop=False):
        self.log, self.name, self.stop = log, name, stop

    def subcontext(self, task_name, max_subtasks):
        return Context(self.log, task_name, self.stop)

    def call_on_fit_task_begin(self, **arguments):
        self.log.append(("begin", self.name, arguments))

    def call_on_fit_task_end(self, **arguments):
        self.log.append(("end", self.name, arguments))
        return self.stop if self.name == "epoch" else None


class Estimator:
    """As much of an estimator as the adapter asks for."""

    def __init__(self, stop=False):
        self.log, self.stop = [], stop

    def _init_callback_context(self, task_name, max_subtasks):
        self.max_subtasks = max_subtasks
        return Context(self.log, task_name, self.stop)


X, Y = table(), classes()


def told(*, X=X, y=Y, weights=None, stop=False, attributes=lambda fit: {}, **settings):
    estimator = Estimator(stop)
    observer = SklearnTasks(estimator, X, y, weights, attributes)
    fit = prepared(given=examples(), observers=[observer], **{"max_epochs": 2, **settings})
    train([fit])
    observer.published(fit)
    return estimator, fit


def test_a_fit_is_a_task_with_an_epoch_task_each():
    estimator, _ = told()
    assert [entry[:2] for entry in estimator.log] == [
        ("begin", "fit"),
        ("begin", "epoch"),
        ("end", "epoch"),
        ("begin", "epoch"),
        ("end", "epoch"),
        ("end", "fit"),
    ]
    assert estimator.max_subtasks == 2


@pytest.mark.parametrize(("stop", "epochs"), [(True, 1), (False, 3), (np.True_, 1)])
def test_an_epoch_at_which_a_callback_stops_is_the_last(stop, epochs):
    _, fit = told(stop=stop, max_epochs=3)
    assert fit.state.epoch == epochs


def arguments_of(estimator):
    return estimator.log[0][2]


def test_callbacks_get_what_was_given_to_fit():
    estimator, _ = told(weights=np.ones(20))
    arguments = arguments_of(estimator)
    assert arguments["estimator"] is estimator
    assert arguments["X"]() is X
    assert arguments["y"]() is Y
    assert arguments["metadata"]()["sample_weight"].tolist() == [1.0] * 20


def test_without_weights_there_is_no_metadata():
    assert arguments_of(told()[0])["metadata"]() is None


def test_with_a_hold_out_callbacks_get_the_fitted_samples_in_the_form_in_which_they_came():
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    weights = np.arange(20.0)
    estimator, fit = told(X=frame, y=Y.tolist(), weights=weights, validation_fraction=0.25)
    arguments = arguments_of(estimator)
    assert arguments["X"]().equals(frame.iloc[fit.kept])
    assert arguments["y"]() == Y[fit.kept].tolist()
    assert arguments["metadata"]()["sample_weight"].tolist() == weights[fit.kept].tolist()


def test_attributes_of_the_fitted_estimator_are_made_when_they_are_asked_for():
    made = []

    def attributes(fit):
        made.append(fit.state)
        return {"n_iter_": fit.state.epoch}

    estimator, fit = told(attributes=attributes)
    assert made == []
    asked = [entry[2]["reconstruction_attributes"] for entry in estimator.log if entry[0] == "end"]
    assert [ask() for ask in asked] == [{"n_iter_": 2}] * 3
    assert all(state is not fit.state for state in made)
    assert all(state.model.module is not fit.model.module for state in made)


def test_which_estimators_have_callbacks():
    clf = TorchClassifier()
    assert not has_callbacks(clf)
    assert has_callbacks(clf.set_callbacks(ProgressBar()))
    assert not has_callbacks(clf.set_callbacks())
    assert not has_callbacks(object())
