"""Scorers of single classes, for everything in scikit-learn that takes `scoring=`.

`_BaseScorer` is private to scikit-learn. It is used here because scikit-learn shares predictions
between the scorers of a dict, and routes weights, only for its instances. Nothing else in the library
uses it; `tests/integration/test_per_class_scoring.py` fails if it changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import make_scorer
from sklearn.metrics._scorer import _BaseScorer

from sktorch_acc._text import listed
from sktorch_acc.labels import as_labels, is_among, sorted_union, unique_labels
from sktorch_acc.metrics._counts import count
from sktorch_acc.metrics._estimators import refuse_other_kinds
from sktorch_acc.metrics._scores import per_class_accuracy_score, worst_class_accuracy_score
from sktorch_acc.metrics._targets import LabelPair, encode_pair

worst_class_accuracy_scorer = make_scorer(worst_class_accuracy_score)
"""Scorer of the smallest accuracy of any class; classes without samples in a fold are ignored.

It is one shared object: copy it (``copy.deepcopy``) before ``set_score_request``.
"""


def per_class_accuracy_scorer(label: Any) -> PerClassAccuracyScorer:
    """Return a scorer of the accuracy within one class.

    Parameters
    ----------
    label : str, int or bool
        The class.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y, sample_weight=None)`` returns a float in [0, 1], or NaN if `y` has
        no sample of the class. It can be pickled, and requests `sample_weight` by
        ``set_score_request`` as scikit-learn's scorers do.

    Raises
    ------
    ValueError
        When called: if the label is in neither `y` nor the estimator's `classes_` nor its predictions.

    See Also
    --------
    per_class_accuracy_scorers : One such scorer for each class.

    Examples
    --------
    Which column is most important for class 2?

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.inspection import permutation_importance
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktorch_acc.metrics import per_class_accuracy_scorer
    >>> X, y = load_iris(return_X_y=True, as_frame=True)
    >>> clf = LogisticRegression(max_iter=1000).fit(X, y)
    >>> scorer = per_class_accuracy_scorer(2)
    >>> scorer(clf, X, y)
    0.98
    >>> drop = permutation_importance(clf, X, y, scoring=scorer, random_state=0).importances_mean
    >>> X.columns[drop.argmax()]
    'petal length (cm)'
    """
    wanted = as_labels([label], "label")
    return PerClassAccuracyScorer(wanted[0], wanted)


def per_class_accuracy_scorers(labels: Any, *, prefix: str = "acc") -> dict[str, PerClassAccuracyScorer]:
    """Return a scorer for each class, for `scoring=` of searches and ``cross_validate``.

    Parameters
    ----------
    labels : array-like of shape (n,)
        The classes; repeats are allowed, so `y` itself can be passed.
    prefix : str, default="acc"
        Prefix of the names.

    Returns
    -------
    scorers : dict of str to callable
        ``{"acc[mgmt]": scorer, ...}`` in the sorted order of the classes. The names depend
        only on `labels`, never on a fold; a fold without samples of a class scores NaN for it. The
        scorers share one prediction.

    Raises
    ------
    ValueError
        If `labels` is empty, has missing or continuous values, or mixes strings and numbers.
        When a scorer is called: if its label is in neither `y` nor the estimator's classes, unless
        `labels` covers all classes that are (the fold then only lacks the class).

    See Also
    --------
    PerClassAccuracyScoring : All classes in one callable.
    refit_by : Choose a candidate by one of these scores if some folds lack the class.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_validate
    >>> from sktorch_acc.metrics import per_class_accuracy_scorers
    >>> X, y = load_iris(return_X_y=True)
    >>> scoring = per_class_accuracy_scorers(y)
    >>> scores = cross_validate(LogisticRegression(max_iter=1000), X, y, scoring=scoring)
    >>> scores["test_acc[2]"].tolist()
    [0.9, 1.0, 1.0, 1.0, 1.0]
    """
    wanted = unique_labels(labels)
    return {_key(prefix, label): PerClassAccuracyScorer(label, wanted) for label in wanted}


class PerClassAccuracyScoring:
    """Score all classes with one callable.

    Parameters
    ----------
    labels : array-like of shape (n,)
        The classes; repeats are allowed, so `y` itself can be passed.
    prefix : str, default="acc"
        Prefix of the names.

    Attributes
    ----------
    names : list of str
        The names of the scores, in the sorted order of the classes.

    Raises
    ------
    ValueError
        As in :func:`per_class_accuracy_scorers`.

    See Also
    --------
    per_class_accuracy_scorers : The same scores as a dict, to which other scorers can be added.

    Notes
    -----
    Called as ``scoring(estimator, X, y, sample_weight=None)`` it predicts once and returns a dict of
    float, with the same keys for any data; NaN for a class without samples.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktorch_acc.metrics import PerClassAccuracyScoring
    >>> X, y = load_iris(return_X_y=True)
    >>> scoring = PerClassAccuracyScoring(y)
    >>> scoring(LogisticRegression(max_iter=1000).fit(X, y), X, y)
    {'acc[0]': 1.0, 'acc[1]': 0.94, 'acc[2]': 0.98}
    """

    def __init__(self, labels: Any, *, prefix: str = "acc") -> None:
        self._labels = unique_labels(labels)
        self._prefix = prefix
        # Holds the weight requests, in the form that scikit-learn routes.
        self._routing = PerClassAccuracyScorer(self._labels[0], self._labels)

    @property
    def names(self) -> list[str]:
        """The names of the scores, in the sorted order of the classes."""
        return [_key(self._prefix, label) for label in self._labels]

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> dict[str, float]:
        """Predict `X` and score each class."""
        pair = _read(estimator, y, estimator.predict(X), self._labels, self._labels, sample_weight)
        return dict(zip(self.names, count(pair, pair.weight).accuracy.tolist(), strict=True))

    def __repr__(self) -> str:
        return f"PerClassAccuracyScoring({listed(self._labels)})"

    def set_score_request(self, **requests: Any) -> PerClassAccuracyScoring:
        """Request weights, as for scikit-learn's scorers; metadata routing must be enabled.

        Parameters
        ----------
        **requests : {True, False, None, str}
            ``sample_weight=True`` requests the weights, a str requests them under another name.

        Returns
        -------
        scoring : PerClassAccuracyScoring
            Itself.
        """
        self._routing.set_score_request(**requests)
        return self

    def get_metadata_routing(self) -> Any:
        """Return the weight requests for scikit-learn's metadata routing.

        Returns
        -------
        routing : MetadataRequest
            The requests.
        """
        return self._routing.get_metadata_routing()

    def _accept_sample_weight(self) -> bool:
        # Called by searches when metadata routing is disabled.
        return True


class PerClassAccuracyScorer(_BaseScorer):
    """The scorer that :func:`per_class_accuracy_scorer` returns.

    Parameters
    ----------
    label : scalar
        The class.
    labels : ndarray of shape (n_classes,)
        All classes that were requested together with it.
    """

    def __init__(self, label: Any, labels: npt.NDArray[Any]) -> None:
        # scikit-learn reads from the signature that weights are accepted; `_score` computes the one class.
        super().__init__(per_class_accuracy_score, 1, {})
        self._label = label
        self._labels = labels

    def __repr__(self) -> str:
        return f"per_class_accuracy_scorer({np.asarray(self._label).item()!r})"

    def _score(self, method_caller: Callable[..., Any], estimator: Any, X: Any, y_true: Any, **kwargs: Any) -> float:
        y_pred = method_caller(estimator, "predict", X)
        wanted = np.asarray([self._label], dtype=self._labels.dtype)
        pair = _read(estimator, y_true, y_pred, wanted, self._labels, **kwargs)
        return float(count(pair, pair.weight).accuracy[0])


def _read(
    estimator: Any,
    y_true: Any,
    y_pred: Any,
    wanted: npt.NDArray[Any],
    declared: npt.NDArray[Any],
    sample_weight: Any = None,
) -> LabelPair:
    """Encode the labels, and refuse a wanted label that is in neither `y` nor the estimator's classes.

    One exception: if the declared labels cover all classes of `y` and the estimator, the fold lacks
    the class both in training and in test.
    """
    refuse_other_kinds(estimator)
    pair = encode_pair(y_true, y_pred, wanted, sample_weight)
    absent = wanted[np.bincount(np.append(pair.true, pair.pred), minlength=len(wanted))[: len(wanted)] == 0]
    if len(absent) == 0:
        return pair
    named = {"y": pair.classes[~is_among(pair.classes, absent)]}
    if getattr(estimator, "classes_", None) is not None:
        named["classes_"] = as_labels(estimator.classes_, "classes_")
    known = sorted_union(named)
    unknown = absent[~is_among(absent, known)]
    if len(unknown) and not is_among(known, declared).all():
        raise ValueError(
            f"Cannot score {listed(unknown)}: neither y nor the estimator has such a class. They have {listed(known)}."
        )
    return pair


def _key(prefix: str, label: Any) -> str:
    return f"{prefix}[{label}]"
