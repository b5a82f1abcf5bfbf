"""The adapter to scikit-learn's callback protocol, which is experimental: all of it is here.

Tasks: one root ``fit``, and an ``epoch`` under it for each pass over the rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.callback import CallbackSupportMixin

from sktorch_acc.engine.history import EpochRow

__all__ = ["CallbackSupportMixin", "EpochTasks", "has_callbacks"]


def has_callbacks(estimator: Any) -> bool:
    """Whether callbacks were set on the estimator, or propagated to it by a meta-estimator."""
    return bool(getattr(estimator, "_skl_callbacks", None))


class EpochTasks:
    """Tell scikit-learn's callbacks about a fit and its epochs.

    Parameters
    ----------
    estimator : TorchClassifier
        The estimator that is fitted.
    n_epochs : int
        Epochs that the fit will have at most.
    X, y : callable
        Return the fitted rows and their labels, as they were given to `fit`.
    metadata : dict or None
        Metadata of the fitted rows, such as ``sample_weight``.
    snapshot : callable
        Returns the attributes with which a copy of the estimator predicts as it would now; called only if
        a callback asks for ``fitted_estimator``.
    """

    def __init__(
        self,
        estimator: Any,
        n_epochs: int,
        *,
        X: Callable[[], Any],
        y: Callable[[], Any],
        metadata: Callable[[], Any],
        snapshot: Callable[[], dict[str, Any]],
    ) -> None:
        self._estimator, self._snapshot = estimator, snapshot
        self._data = {"X": X, "y": y, "metadata": metadata}
        self._root = estimator._init_callback_context(task_name="fit", max_subtasks=n_epochs)
        self._root.call_on_fit_task_begin(estimator=estimator, **self._data)
        self._epoch: Any = None

    def begin_epoch(self, epoch: int) -> None:
        """Open the task of an epoch."""
        self._epoch = self._root.subcontext(task_name="epoch", max_subtasks=0)
        self._epoch.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def end_epoch(self, row: EpochRow) -> bool:
        """Close the task of an epoch; whether a callback asked to stop."""
        return bool(
            self._epoch.call_on_fit_task_end(
                estimator=self._estimator, reconstruction_attributes=self._snapshot, **self._data
            )
        )

    def close(self) -> None:
        """Close the root task: the fit is done and the estimator fitted."""
        self._root.call_on_fit_task_end(
            estimator=self._estimator, reconstruction_attributes=self._snapshot, **self._data
        )
