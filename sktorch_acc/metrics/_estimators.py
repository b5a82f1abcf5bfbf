"""What estimators are accepted: classifiers only, as numbers of clusters may equal labels by chance."""

from __future__ import annotations

from typing import Any

from sklearn.utils import get_tags


def refuse_other_kinds(estimator: Any) -> None:
    """Refuse regressors, clusterers, outlier detectors and the like, also in a pipeline or a search.

    Estimators that report no kind are accepted.

    Raises
    ------
    TypeError
        If the tags of the estimator name another kind than a classifier.
    """
    kind = get_tags(estimator).estimator_type if hasattr(estimator, "__sklearn_tags__") else None
    if kind in (None, "classifier"):
        return
    name = kind.replace("_", " ")
    article = "an" if name[0] in "aeiou" else "a"
    raise TypeError(
        f"estimator must be a classifier. Got {type(estimator).__name__}, {article} {name}: what it predicts are not "
        "the class labels of y."
    )
