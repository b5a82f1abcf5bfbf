"""Curves of accuracy over the epochs of a fit."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from numbers import Integral
from typing import Any

import numpy as np
import pandas as pd

from sktorch_acc._text import shorten
from sktorch_acc.metrics import per_class_history
from sktorch_acc.metrics._history import long_history
from sktorch_acc.plots._style import CLASS_COLORS, GREY, INK, TRAIN, VALID, axes_for, despine, need_matplotlib

_NAMES = {
    ("train", "exact"): "train",
    ("train", "running"): "train, running",
    ("valid", "exact"): "validation",
}
_DASHES = {("train", "exact"): "-", ("train", "running"): ":", ("valid", "exact"): "--"}


@dataclass(eq=False, repr=False)
class AccuracyCurveDisplay:
    """Accuracy after each epoch: training solid, running dotted, validation dashed.

    Use :meth:`from_estimator` to create one.

    Parameters
    ----------
    curves : DataFrame
        Overall accuracies: columns `epoch`, `split`, `measure`, `accuracy`.
    class_curves : DataFrame, default=None
        Accuracies of the classes, as :func:`~sktorch_acc.metrics.per_class_history` returns them.
    best_epoch : int, default=None
        The epoch whose weights the estimator uses.
    majority : tuple of (label, float), default=None
        The most frequent class of the fitted samples and its share: the accuracy of always predicting it.
    estimator_name : str, default=None
        Name in the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the curves.
    figure_ : matplotlib Figure
        Figure of the axes.
    lines_ : dict of (split, measure, label) to matplotlib Line2D
        The curves; `label` is None for the overall ones.

    See Also
    --------
    sktorch_acc.metrics.per_class_history : The per-class accuracies.

    Examples
    --------
    >>> import pandas as pd
    >>> from matplotlib.figure import Figure
    >>> from sktorch_acc.plots import AccuracyCurveDisplay
    >>> curves = pd.DataFrame({"epoch": [1, 2], "split": "train", "measure": "exact", "accuracy": [0.5, 0.8]})
    >>> display = AccuracyCurveDisplay(curves, best_epoch=2, majority=("cat", 0.5))
    >>> list(display.plot(ax=Figure().subplots()).lines_)
    [('train', 'exact', None)]
    """

    curves: pd.DataFrame
    _: KW_ONLY
    class_curves: pd.DataFrame | None = None
    best_epoch: int | None = None
    majority: tuple[Any, float] | None = None
    estimator_name: str | None = None

    @classmethod
    def from_estimator(
        cls, clf: Any, *, ax: Any = None, per_class: bool = False, name: str | None = None, **plot_params: Any
    ) -> AccuracyCurveDisplay:
        """Draw the accuracies that a fitted estimator recorded; no data are needed.

        Parameters
        ----------
        clf : TorchClassifier
            Fitted, with accuracies in `history_`.
        ax : matplotlib Axes, default=None
            Axes to draw on; None: a new figure.
        per_class : bool, default=False
            Draw the curves of each class too, without the running ones if there are exact ones.
        name : str, default=None
            Name for the title; None: the estimator's class.
        **plot_params : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : AccuracyCurveDisplay
            With the curves drawn.

        Raises
        ------
        NotFittedError
            If `clf` is not fitted.
        ValueError
            If `clf` has no `history_`, or its `history_` has no accuracy.
        """
        need_matplotlib(f"{cls.__name__}.from_estimator")
        curves = long_history(clf, per_class=False).drop(columns="label")
        most = int(np.argmax(clf.class_count_))
        display = cls(
            curves,
            class_curves=per_class_history(clf) if per_class else None,
            best_epoch=int(clf.best_epoch_),
            majority=(clf.classes_[most], float(clf.class_count_[most] / np.sum(clf.class_count_))),
            estimator_name=type(clf).__name__ if name is None else name,
        )
        return display.plot(ax=ax, **plot_params)

    def plot(self, ax: Any = None, *, n_highlighted: int = 6) -> AccuracyCurveDisplay:
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; None: a new figure.
        n_highlighted : int, default=6
            Number of classes with a colour and a name, from 0 to 7: those with the lowest accuracy at
            the best epoch, on the validation samples if there are any. Of the other classes, only this
            accuracy is drawn, as a thin grey line.

        Returns
        -------
        display : AccuracyCurveDisplay
            Itself.

        Raises
        ------
        ValueError
            If `n_highlighted` is not in [0, 7]: more colours are hard to distinguish.
        """
        whole = isinstance(n_highlighted, Integral) and not isinstance(n_highlighted, bool)
        if not whole or not 0 <= n_highlighted <= len(CLASS_COLORS):
            raise ValueError(
                "The 'n_highlighted' parameter of AccuracyCurveDisplay.plot must be an int in the range "
                f"[0, {len(CLASS_COLORS)}]. Got {n_highlighted!r} instead."
            )
        self.ax_ = axes_for("AccuracyCurveDisplay.plot", ax, (8.4, 4.2))
        self.figure_ = self.ax_.figure
        self.lines_: dict[tuple[str, str, Any], Any] = {}
        if self.class_curves is not None:
            self._draw_classes(self.class_curves, n_highlighted)
        self._draw_overall()
        self._draw_marks()
        self._label(beside=ax is None)
        return self

    def _draw_overall(self) -> None:
        plain = self.class_curves is None
        for key, part in _curves_of(self.curves if plain else _exact_if_any(self.curves), "split", "measure"):
            color = (VALID if key[0] == "valid" else TRAIN) if plain else INK
            name = _NAMES[key] if plain else f"overall, {_NAMES[key]}"
            self._line((key[0], key[1], None), part, color=color, linewidth=2.0, zorder=4, label=name)

    def _draw_classes(self, curves: pd.DataFrame, n_highlighted: int) -> None:
        """Colour the classes with the lowest accuracy at the best epoch; draw the others in grey."""
        curves = _exact_if_any(curves)
        ranked = curves[curves["split"] == ("valid" if (curves["split"] == "valid").any() else "train")]
        order = self._worst_first(ranked)
        colors = dict(zip(order[:n_highlighted], CLASS_COLORS, strict=False))
        for key, part in _curves_of(curves, "split", "measure", "label"):
            if key[2] in colors:
                self._line(key, part, color=colors[key[2]], linewidth=1.5, zorder=3)
        for key, part in _curves_of(ranked, "split", "measure", "label"):
            if key[2] not in colors:
                self._line(key, part, color=GREY, linewidth=0.8, alpha=0.4, zorder=1)
        for label, color in colors.items():
            self.ax_.plot([], [], color=color, label=shorten(label, 26))
        if len(order) > len(colors):
            others = f"{len(order) - len(colors)} classes with higher accuracy"
            self.ax_.plot([], [], color=GREY, linewidth=0.8, alpha=0.7, label=others)

    def _worst_first(self, ranked: pd.DataFrame) -> list[Any]:
        """Order the classes by their accuracy at the best epoch; those without samples come last."""
        epoch = ranked["epoch"].max() if self.best_epoch is None else self.best_epoch
        at_best = ranked[ranked["epoch"] == epoch]
        return at_best.sort_values("accuracy", kind="stable")["label"].tolist()

    def _draw_marks(self) -> None:
        """Draw the best epoch, and the accuracy of always predicting the most frequent class."""
        if self.best_epoch is not None:
            self.ax_.axvline(self.best_epoch, color=GREY, linewidth=1, zorder=1)
            self.ax_.annotate(
                f"best epoch {self.best_epoch}", (self.best_epoch, 1), xycoords=("data", "axes fraction"),
                xytext=(0, 3), textcoords="offset points", ha="center", fontsize="small", color=INK,
            )  # fmt: skip
        if self.majority is not None:
            label, share = self.majority
            name = f"always {shorten(label, 20)} ({share:.3f})"
            self.ax_.axhline(share, color=GREY, linewidth=1, linestyle="-.", zorder=1, label=name)

    def _line(self, key: tuple[str, str, Any], part: pd.DataFrame, **style: Any) -> None:
        marker = "o" if len(part) == 1 else None  # a single point is not visible as a line
        (self.lines_[key],) = self.ax_.plot(
            part["epoch"], part["accuracy"], linestyle=_DASHES[key[:2]], marker=marker, markersize=4, **style
        )

    def _label(self, *, beside: bool) -> None:
        """Label axes and curves; the legend is beside the curves only in a figure of its own."""
        from matplotlib.ticker import MaxNLocator

        ax = self.ax_
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.set_xlabel("epoch", color=INK)
        ax.set_ylabel("accuracy", color=INK)
        if self.class_curves is not None:
            ax.set_ylim(-0.02, 1.02)
        first, last = self.curves["epoch"].min(), self.curves["epoch"].max()
        margin = 0.02 * (last - first) if last > first else 0.5
        ax.set_xlim(first - margin, last + margin)
        ax.grid(axis="y", color=GREY, alpha=0.25)
        despine(ax, "top", "right")
        if self.estimator_name is not None:
            ax.set_title(shorten(self.estimator_name, 40), loc="left", fontsize="medium", color=INK, pad=16)
        if beside:
            ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize="small", labelcolor=INK)
        else:
            ax.legend(loc="best", framealpha=0.8, fontsize="x-small", labelcolor=INK)


def _exact_if_any(long: pd.DataFrame) -> pd.DataFrame:
    """Leave out running accuracies unless there are no others: three lines per class are too many."""
    exact = long[long["measure"] == "exact"]
    return exact if (exact["split"] == "train").any() else long


def _curves_of(long: pd.DataFrame, *keys: str) -> list[tuple[Any, pd.DataFrame]]:
    """Split a long table into its curves, in order of first occurrence."""
    return list(long.groupby(list(keys), sort=False))
