"""Bars of per-class accuracy with intervals."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from sktorch_acc._text import shorten
from sktorch_acc.metrics import per_class_accuracy_table
from sktorch_acc.metrics._table import table_of_estimator
from sktorch_acc.plots._style import GREY, INK, TRAIN, VALID, axes_for, despine, need_matplotlib


class CrossValidated(Protocol):
    """The attributes of ``PerClassCrossValidation`` that are drawn."""

    @property
    def table(self) -> pd.DataFrame:
        """Per-class table over all test samples."""

    @property
    def folds(self) -> pd.DataFrame:
        """Accuracy by fold and class."""


@dataclass(eq=False, repr=False)
class PerClassAccuracyDisplay:
    """Accuracy of each class as bars, the worst class on top.

    Use :meth:`from_estimator`, :meth:`from_predictions` or :meth:`from_cross_validation` to create one.

    Parameters
    ----------
    table : DataFrame
        As returned by :func:`~sktorch_acc.metrics.per_class_accuracy_table`: one row per class, the
        last row overall.
    folds : DataFrame of shape (n_folds, n_classes + 1), default=None
        Accuracies of the folds of a cross-validation, with the labels of `table` as columns; they are
        drawn as dots.
    estimator_name : str, default=None
        Name in the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the bars.
    figure_ : matplotlib Figure
        Figure of the axes.
    bars_ : matplotlib BarContainer
        The bars, from the worst class to the best; classes without samples come last.
    text_ : list of matplotlib Text
        Correct predictions and support of each class, in the order of the bars.
    line_ : matplotlib Line2D
        Line at the overall accuracy.

    See Also
    --------
    sktorch_acc.metrics.per_class_accuracy_table : The values.
    sklearn.metrics.ConfusionMatrixDisplay : Which classes are confused with which.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sktorch_acc.plots import PerClassAccuracyDisplay
    >>> display = PerClassAccuracyDisplay.from_predictions(
    ...     ["cat", "cat", "dog"], ["cat", "dog", "dog"], ax=Figure().subplots()
    ... )
    >>> [text.get_text() for text in display.text_]
    ['1 of 2', '1 of 1']
    """

    table: pd.DataFrame
    _: KW_ONLY
    folds: pd.DataFrame | None = None
    estimator_name: str | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        labels: Any = None,
        confidence: float = 0.95,
        name: str | None = None,
        ax: Any = None,
        **plot_params: Any,
    ) -> PerClassAccuracyDisplay:
        """Predict `X` and draw the accuracy of each class.

        Parameters
        ----------
        estimator : classifier
            A fitted classifier or pipeline.
        X : array-like of shape (n_samples, ...)
            The features.
        y : array-like of shape (n_samples,)
            The true labels.
        labels : array-like of shape (n_classes,), default=None
            The classes to show; None: those of the estimator and any other in `y`.
        confidence : float, default=0.95
            Confidence level of the whiskers.
        name : str, default=None
            Name for the title; None: the estimator's class.
        ax : matplotlib Axes, default=None
            Axes to draw on; None: a new figure.
        **plot_params : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : PerClassAccuracyDisplay
            With the bars drawn.
        """
        need_matplotlib(f"{cls.__name__}.from_estimator")
        table = table_of_estimator(estimator, X, y, labels=labels, confidence=confidence)
        name = type(estimator).__name__ if name is None else name
        return cls(table, estimator_name=name).plot(ax=ax, **plot_params)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        *,
        labels: Any = None,
        confidence: float = 0.95,
        name: str | None = None,
        ax: Any = None,
        **plot_params: Any,
    ) -> PerClassAccuracyDisplay:
        """Draw the accuracy of each class from true and predicted labels.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
            The true labels.
        y_pred : array-like of shape (n_samples,)
            The predicted labels.
        labels : array-like of shape (n_classes,), default=None
            The classes to show; None: all that occur.
        confidence : float, default=0.95
            Confidence level of the whiskers.
        name : str, default=None
            Name for the title.
        ax : matplotlib Axes, default=None
            Axes to draw on; None: a new figure.
        **plot_params : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : PerClassAccuracyDisplay
            With the bars drawn.
        """
        need_matplotlib(f"{cls.__name__}.from_predictions")
        table = per_class_accuracy_table(y_true, y_pred, labels=labels, confidence=confidence)
        return cls(table, estimator_name=name).plot(ax=ax, **plot_params)

    @classmethod
    def from_cross_validation(
        cls, result: CrossValidated, *, name: str | None = None, ax: Any = None, **plot_params: Any
    ) -> PerClassAccuracyDisplay:
        """Draw the accuracy of each class over the test samples of all folds; one dot per fold.

        Parameters
        ----------
        result : PerClassCrossValidation
            From :func:`~sktorch_acc.model_selection.cross_val_per_class_accuracy`.
        name : str, default=None
            Name for the title.
        ax : matplotlib Axes, default=None
            Axes to draw on; None: a new figure.
        **plot_params : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : PerClassAccuracyDisplay
            With the bars drawn.
        """
        need_matplotlib(f"{cls.__name__}.from_cross_validation")
        return cls(result.table, folds=result.folds, estimator_name=name).plot(ax=ax, **plot_params)

    def plot(self, ax: Any = None, *, bar_kwargs: dict[str, Any] | None = None) -> PerClassAccuracyDisplay:
        """Draw the bars.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None: a new figure, with a height for all classes.
        bar_kwargs : dict, default=None
            Passed to ``matplotlib.axes.Axes.barh``; overrides the defaults.

        Returns
        -------
        display : PerClassAccuracyDisplay
            Itself.
        """
        rows = self.table.iloc[:-1].sort_values("accuracy", kind="stable")
        size = (7.6, 1.8 + 0.3 * max(len(rows), 2))
        self.ax_ = axes_for("PerClassAccuracyDisplay.plot", ax, size)
        self.figure_ = self.ax_.figure
        self._draw_bars(rows, bar_kwargs or {})
        self._draw_folds(rows)
        overall = self.table.iloc[-1]
        self.line_ = self.ax_.axvline(overall["accuracy"], color=INK, linewidth=1.2, linestyle="--", zorder=3)
        self._label(rows, overall)
        return self

    def _draw_bars(self, rows: pd.DataFrame, bar_kwargs: dict[str, Any]) -> None:
        """Draw bars, whiskers and counts; a class whose interval is below the overall accuracy is orange."""
        accuracy = rows["accuracy"].to_numpy()
        below = rows["high"].to_numpy() < self.table["accuracy"].iloc[-1]
        style = {"height": 0.68, "color": np.where(below, VALID, TRAIN), "alpha": 0.75, "zorder": 2}
        places = np.arange(len(rows))
        self.bars_ = self.ax_.barh(places, accuracy, **(style | bar_kwargs))
        self.ax_.hlines(places, rows["low"], rows["high"], color=INK, linewidth=1.4, zorder=4)
        for end in ("low", "high"):
            self.ax_.plot(rows[end], places, "|", color=INK, markersize=5, zorder=4)
        counts = zip(places, rows["correct"], rows["support"], strict=True)
        beside = {"xycoords": ("axes fraction", "data"), "xytext": (6, 0), "textcoords": "offset points"}
        text = {"va": "center", "color": INK, "fontsize": "small", "annotation_clip": False}
        self.text_ = [
            self.ax_.annotate(f"{correct} of {support}" if support else "no samples", (1, place), **beside, **text)
            for place, correct, support in counts
        ]

    def _draw_folds(self, rows: pd.DataFrame) -> None:
        if self.folds is None:
            return
        by_position = self.folds.to_numpy()[:, self.table.index.get_indexer(rows.index)]
        places = np.broadcast_to(np.arange(len(rows)), by_position.shape)
        self.ax_.plot(
            by_position.ravel(), places.ravel(), "o", markersize=3.5, color="white", markeredgecolor=INK,
            markeredgewidth=0.7, zorder=5, clip_on=False,
        )  # fmt: skip

    def _label(self, rows: pd.DataFrame, overall: pd.Series[Any]) -> None:
        ax = self.ax_
        ax.set_yticks(np.arange(len(rows)), [shorten(label, 32) for label in rows.index])
        ax.set_ylim(len(rows) - 0.4, -0.6)  # the worst class on top
        ax.set_xlim(0, 1)
        ax.grid(axis="x", color=GREY, alpha=0.25, zorder=0)
        despine(ax, "top", "right", "left")
        ax.tick_params(axis="y", length=0)
        notes = ["orange: interval below overall"] if (rows["high"] < overall["accuracy"]).any() else []
        notes += ["dots: folds"] if self.folds is not None else []
        note = f"\n({'; '.join(notes)})" if notes else ""
        ax.set_xlabel(f"accuracy within the class, with interval{note}", color=INK)
        name = "" if self.estimator_name is None else f"{shorten(self.estimator_name, 40)}: "
        counts = f"{overall['correct']} of {overall['support']} samples"
        title = f"{name}{overall['accuracy']:.3f} overall (dashed), {counts}"
        ax.set_title(title, loc="left", fontsize="medium", color=INK)
