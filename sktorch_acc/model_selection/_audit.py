"""`audit_cross_validation`: run a cross-validation and report problems of its folds and scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, is_classifier
from sklearn.metrics import check_scoring

from sktorch_acc._rates import rates
from sktorch_acc._text import shorten
from sktorch_acc.checks.folds import (
    FailedFolds,
    check_failed_folds,
    check_mean_over_folds,
    check_missing_classes,
    check_nan_scores,
    check_score_names,
    check_stratified,
)
from sktorch_acc.findings import Diagnosis, Finding, errors_first
from sktorch_acc.model_selection._counting import refuse_non_classifier
from sktorch_acc.model_selection._folds import Folds, run_folds
from sktorch_acc.model_selection._recording import RecordingClassifier, RecordingScorer


def audit_cross_validation(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    groups: Any = None,
    cv: Any = None,
    scoring: Any = None,
    n_jobs: int | None = None,
    params: dict[str, Any] | None = None,
) -> Diagnosis:
    """Run a cross-validation and report problems of its folds and scores.

    The arguments are those of ``sklearn.model_selection.cross_validate``. An exception in a fold is
    recorded, and the other folds are run.

    Parameters
    ----------
    estimator : classifier
        Any scikit-learn classifier, pipeline or search. It is cloned for each fold, and not changed.
    X : array-like of shape (n_samples, ...)
        The features.
    y : array-like of shape (n_samples,)
        The labels.
    groups : array-like of shape (n_samples,), default=None
        For group splitters, such as ``GroupKFold``; with metadata routing, pass them in `params`.
    cv : int, splitter, iterable of (train, test) or None, default=None
        None: five stratified folds.
    scoring : str, callable, list, tuple, dict or None, default=None
        None: the estimator's own ``score``. A callable returns a number or a dict of numbers.
    n_jobs : int or None, default=None
        Number of folds to fit in parallel.
    params : dict, default=None
        Passed to ``fit``, arrays with one value per sample indexed by the fold; routed to ``fit``, the
        scorers and the splitter if metadata routing is enabled.

    Returns
    -------
    diagnosis : Diagnosis
        With `findings`, `codes` and `to_frame`. Folds are numbered from 0. The codes:

        - ``"ACC-G2"``: ``fit``, ``predict`` or a scorer raised in a fold, or a score is NaN;
        - ``"ACC-G3"``: a scorer returns different names in different folds;
        - ``"ACC-G1"``: the estimator has no classifier tag, so an integer `cv` does not stratify;
        - ``"ACC-D8"``: a fold was fitted without a class;
        - ``"ACC-A13"``: the folds have different sizes, and the mean of their accuracies is not the
          share of correct predictions. Only if one of the scores is the accuracy.

    Raises
    ------
    TypeError
        If `estimator` is not a classifier.
    RuntimeError
        If it cannot be cloned (scikit-learn's error).
    ValueError
        If `y` does not hold class labels, or where ``cross_validate`` raises before the first fold.

    See Also
    --------
    cross_val_per_class_accuracy : The accuracy of each class, pooled over the folds.
    diagnose : Report problems of a module, its data and its training.

    Notes
    -----
    Each fold is fitted and scored once, and predicts its test samples once more.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sktorch_acc.model_selection import audit_cross_validation
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = LogisticRegression(max_iter=1000)
    >>> print(audit_cross_validation(clf, X, y))
    Diagnosis of LogisticRegression, 5 folds over 150 rows: nothing found.
    >>> print(audit_cross_validation(clf, X, y, scoring="f1"))
    Diagnosis of LogisticRegression, 5 folds over 150 rows: 1 finding.
    <BLANKLINE>
      [ACC-G2] error: Fold 0 failed: ValueError: Target is multiclass but average='binary'. Please ...
        -> y has more than two classes: use average='macro', as in scoring='f1_macro' or ...
    """
    refuse_non_classifier(estimator)
    several = tuple(scoring) if isinstance(scoring, list | tuple | set | dict) else ()
    scorer = check_scoring(estimator, scoring, raise_exc=False)
    recording = RecordingScorer(scorer, _name(scoring), several)
    recorded, folds = run_folds(
        RecordingClassifier(estimator), X, y, recording, groups=groups, cv=cv, n_jobs=n_jobs, params=params
    )
    found = [
        *_failures(recorded, folds),
        *_nan_scores(recorded, folds),
        check_score_names(_names(recorded)),
        _classes(estimator, cv, folds),
        _mean(recorded, folds),
    ]
    subject = f"{type(estimator).__name__}, {len(recorded)} folds over {len(folds.labels)} rows"
    return Diagnosis(errors_first(finding for finding in found if finding is not None), subject)


def _name(scoring: Any) -> str:
    """Return the name of a scorer of one number."""
    if scoring is None or isinstance(scoring, str):
        return scoring or "score"
    return shorten(getattr(scoring, "__name__", None) or repr(scoring), 80)


# ------------------------------------------------------------------ arguments of the checks


def _failures(recorded: Iterable[RecordingClassifier], folds: Folds) -> Iterator[Finding]:
    """Report each failure once, by stage and type of the exception; scorers that fail alike together."""
    failures = [failure for fitted in recorded for failure in dict.fromkeys(fitted.failures_)]
    places = _grouped(((f.stage, f.scorer or "", f.error.partition(":")[0]), f) for f in failures)
    alike = _grouped(
        ((stage, found[0].error, tuple(f.fold for f in found)), scorer) for (stage, scorer, _), found in places.items()
    )
    for (stage, error, where), scorers in alike.items():
        one_class = all(len(np.unique(folds.labels[folds.train[fold]])) == 1 for fold in where)
        yield check_failed_folds(FailedFolds(stage, tuple(scorers), where, len(folds.train), error, one_class))


def _nan_scores(recorded: Iterable[RecordingClassifier], folds: Folds) -> Iterator[Finding]:
    """Report the scores that are NaN, those of the same folds together."""
    scores = [(name, fitted.fold, score) for fitted in recorded for name, score in _scores(fitted).items()]
    where = _grouped((name, fold) for name, fold, score in scores if score != score)
    alike = _grouped((tuple(nan_folds), name) for name, nan_folds in where.items())
    for these, names in alike.items():
        yield check_nan_scores(names, these, len(folds.train), folds.absent(folds.test[these[0]]).tolist())


def _grouped(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, list[Any]]:
    """Return the values of each key, in order of first occurrence."""
    groups: dict[Any, list[Any]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def _scores(fitted: RecordingClassifier) -> dict[str, Any]:
    """Return the scores of a fold by name; a single number is named as in ``test_score``."""
    if isinstance(fitted.scores_, dict):
        return fitted.scores_
    return {} if fitted.scores_ is None else {"score": fitted.scores_}


def _names(recorded: Iterable[RecordingClassifier]) -> dict[int, tuple[str, ...] | None]:
    """Return the names of the scores of each fold in which nothing failed."""
    scored = [fitted for fitted in recorded if fitted.scores_ is not None and not fitted.failures_]
    return {fitted.fold: tuple(fitted.scores_) if isinstance(fitted.scores_, dict) else None for fitted in scored}


def _classes(estimator: Any, cv: Any, folds: Folds) -> Finding | None:
    """Check that every fold is fitted on all classes; if not, the split may lack stratification."""
    missing = [folds.absent(rows) for rows in folds.train]
    if is_classifier(estimator) or len(np.unique(folds.labels)) < 2 or not (cv is None or isinstance(cv, Integral)):
        return check_missing_classes(missing)
    bases = type(_innermost(estimator)).mro()
    both = ClassifierMixin in bases and BaseEstimator in bases
    too_late = both and bases.index(BaseEstimator) < bases.index(ClassifierMixin)
    lacking = sum(len(labels) > 0 for labels in missing)
    return check_stratified(bases[0].__name__, cv, too_late, lacking, len(missing))


def _innermost(estimator: Any) -> Any:
    """Return the last step of a pipeline, or the estimator of a search: the tags are those of this one."""
    while (inner := getattr(estimator, "steps", None) or getattr(estimator, "estimator", None)) is not None:
        estimator = inner[-1][1] if isinstance(inner, list) else inner
    return estimator


def _mean(recorded: list[RecordingClassifier], folds: Folds) -> Finding | None:
    """Compare mean and pooled accuracy, if one of the scores is the accuracy of every fold."""
    parts = [part for fitted in recorded for part in fitted.counts_]
    if len(parts) < len(recorded):
        return None
    counts = folds.counts(parts)
    scores = [_scores(fitted) for fitted in recorded]
    accuracies = rates(counts.correct, counts.support).tolist()
    is_accuracy = (all(fold.get(name) == a for fold, a in zip(scores, accuracies, strict=True)) for name in scores[0])
    return check_mean_over_folds(counts) if any(is_accuracy) else None
