"""The adapter to scikit-learn's callback protocol, which is experimental and used in this module only.

A fit is the root task ``fit``; each epoch is a subtask ``epoch``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sklearn.callback import CallbackSupportMixin as CallbackSupportMixin
from sklearn.utils import _safe_indexing

from sktorch_acc.engine.history import EpochRow
from sktorch_acc.engine.observer import Observer
from sktorch_acc.engine.state import Fit


def has_callbacks(estimator: Any) -> bool:
    """Whether callbacks were set on the estimator, by the user or by a meta-estimator."""
    return bool(getattr(estimator, "_skl_callbacks", None))


class SklearnTasks(Observer):
    """Run scikit-learn's callbacks in a fit.

    Parameters
    ----------
    estimator : TorchClassifier
        The estimator that is fitted.
    X, y, sample_weight : object
        The arguments of `fit`.
    attributes : callable
        Takes a fit and returns the fitted attributes of the estimator.
    """

    def __init__(
        self, estimator: Any, X: Any, y: Any, sample_weight: Any, attributes: Callable[[Fit], dict[str, Any]]
    ) -> None:
        self._estimator, self._given, self._attributes = estimator, (X, y, sample_weight), attributes
        self._arguments: dict[str, Any] = {}
        self._root: Any = None
        self._epoch: Any = None

    def fit_begin(self, fit: Fit) -> None:
        """Begin the root task. Data that are expensive to compute are passed as functions."""
        X, y, sample_weight = self._given

        def fitted(values: Any) -> Any:
            return values if values is None or fit.kept is None else _safe_indexing(values, fit.kept)

        self._arguments = {
            "estimator": self._estimator,
            "X": lambda: fitted(X),
            "y": lambda: fitted(y),
            "metadata": lambda: None if sample_weight is None else {"sample_weight": fitted(sample_weight)},
        }
        self._root = self._estimator._init_callback_context(task_name="fit", max_subtasks=fit.settings.max_epochs)
        self._root.call_on_fit_task_begin(**self._arguments)

    def epoch_begin(self, fit: Fit, epoch: int) -> None:
        """Begin the task of an epoch."""
        self._epoch = self._root.subcontext(task_name="epoch", max_subtasks=0)
        self._epoch.call_on_fit_task_begin(**self._arguments)

    def epoch_end(self, fit: Fit, row: EpochRow) -> bool:
        """End the task of an epoch; return whether a callback requests to stop."""
        return self._close(self._epoch, fit)

    def published(self, fit: Fit) -> None:
        """End the root task; the estimator is fitted."""
        self._close(self._root, fit)

    def _close(self, task: Any, fit: Fit) -> bool:
        def attributes_now() -> dict[str, Any]:
            return self._attributes(replace(fit, state=fit.state.snapshot()))

        return bool(task.call_on_fit_task_end(**self._arguments, reconstruction_attributes=attributes_now))
