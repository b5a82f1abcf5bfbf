"""The per-class columns of a fitted estimator's `history_`, in long form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

# history_ column -> (split, measure), in the order in which curves are listed and drawn.
CURVES = {
    "train_acc": ("train", "exact"),
    "train_acc_running": ("train", "running"),
    "valid_acc": ("valid", "exact"),
}


def per_class_history(clf: Any) -> pd.DataFrame:
    """Return the accuracy of each class after each epoch, in long form.

    Parameters
    ----------
    clf : estimator
        A fitted estimator with `history_` and `classes_`, such as ``TorchClassifier``.

    Returns
    -------
    history : DataFrame
        Sorted by epoch. Columns:

        - `epoch` (int64): from 1;
        - `split` (str): ``"train"`` (the fitted samples) or ``"valid"`` (the validation samples);
        - `measure` (str): ``"exact"``, measured with the weights at the end of the epoch, or
          ``"running"``, measured batch by batch while they were being updated;
        - `label`: the class, as in `classes_`;
        - `accuracy` (float64): within-class accuracy in [0, 1], NaN for a class without samples.

    Raises
    ------
    NotFittedError
        If `clf` is not fitted.
    ValueError
        If `clf` has no `history_`, or its `history_` has no per-class accuracy.

    See Also
    --------
    sktorch_acc.plots.AccuracyCurveDisplay : The same accuracies as curves.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> import pandas as pd
    >>> from sktorch_acc.metrics import per_class_history
    >>> index = pd.Index([1, 2], name="epoch")
    >>> history = pd.DataFrame({"train_acc[cat]": [0.5, 0.75], "train_acc[dog]": [0.25, 1.0]}, index=index)
    >>> per_class_history(SimpleNamespace(history_=history, classes_=["cat", "dog"]))
       epoch  split measure label  accuracy
    0      1  train   exact   cat      0.50
    1      1  train   exact   dog      0.25
    2      2  train   exact   cat      0.75
    3      2  train   exact   dog      1.00
    """
    return long_history(clf, per_class=True).sort_values("epoch", kind="stable", ignore_index=True)


def long_history(clf: Any, *, per_class: bool) -> pd.DataFrame:
    """Return one row per accuracy of each class, curve by curve, or per overall accuracy, with the label None."""
    history = _history_of(clf)
    names = {f"[{label}]": i for i, label in enumerate(clf.classes_)} if per_class else {"": 0}
    labels = pd.Series(list(clf.classes_) if per_class else [None])
    parts = [_curves(history, column, names, labels) for column in CURVES]
    if all(part.empty for part in parts):
        raise ValueError(
            f"history_ has no {'per-class accuracy' if per_class else 'accuracy'}: fitted with "
            f"train_accuracy=None. Columns: {list(history.columns)}. Fit with train_accuracy='exact' or 'running'."
        )
    return pd.concat([part for part in parts if not part.empty], ignore_index=True)


def _curves(history: pd.DataFrame, column: str, names: dict[str, int], labels: pd.Series[Any]) -> pd.DataFrame:
    """Return one row per name and epoch of a column of `history_`, for the names that it has."""
    split, measure = CURVES[column]
    at = history.columns.get_indexer(pd.Index([column + name for name in names]))
    known = at >= 0
    of_name = np.fromiter(names.values(), dtype=np.int64)[known]
    return pd.DataFrame(
        {
            "epoch": np.tile(history.index.to_numpy(), len(of_name)),
            "split": split,
            "measure": measure,
            "label": labels.take(of_name.repeat(len(history))).to_numpy(),
            "accuracy": history.iloc[:, at[known]].to_numpy().T.reshape(-1),
        }
    )


def _history_of(clf: Any) -> pd.DataFrame:
    """Return `history_` of a fitted estimator, or raise with what to pass instead."""
    history = getattr(clf, "history_", None)
    if isinstance(history, pd.DataFrame):
        return history
    check_is_fitted(clf)
    raise ValueError(
        f"{type(clf).__name__} has no history_ of epochs. Pass a fitted TorchClassifier; for a Pipeline its last step, "
        "pipeline[-1]; for a search its best_estimator_."
    )
