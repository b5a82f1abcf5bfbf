"""Checks of the folds of a cross-validation (A13, D8, G1, G2, G3); folds count from 0, as in ``split0_test_score``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sktorch_acc._rates import rates
from sktorch_acc._text import listed, more
from sktorch_acc.findings import Finding

Ints = npt.NDArray[np.int64]
Stage = Literal["fit", "predict", "score"]

_VISIBLE = 0.0005  # half a unit of the third decimal

# ------------------------------------------------------------------ A13: the mean over folds


@dataclass(frozen=True)
class FoldCounts:
    """Correct predictions and test samples of each fold.

    Parameters
    ----------
    correct, support : ndarray of shape (n_folds,), int64
        Correct predictions, and test samples.
    n_samples : int
        Samples of the data.
    n_tested : int
        How many of them are in at least one test set.
    """

    correct: Ints
    support: Ints
    n_samples: int
    n_tested: int


def check_mean_over_folds(counts: FoldCounts) -> Finding | None:
    """Report that the mean of the folds' accuracies is not the pooled accuracy (A13).

    Not reported if the test sets differ by one sample, as any splitter makes them of a remainder, or if the
    two accuracies agree in three decimals.
    """
    small, large = int(counts.support.min()), int(counts.support.max())
    mean = float(np.mean(rates(counts.correct, counts.support)))
    correct, tests = int(counts.correct.sum()), int(counts.support.sum())
    pooled = float(rates(correct, tests))
    if large - small <= 1 or abs(mean - pooled) < _VISIBLE:
        return None
    again = f" These {tests} predictions are for {counts.n_tested} samples." if counts.n_tested < tests else ""
    never = counts.n_samples - counts.n_tested
    never_tested = f" {never} of {counts.n_samples} samples are in no test set." if never else ""
    return Finding(
        "ACC-A13",
        "info",
        f"Mean of folds {mean:.4f}; pooled {correct}/{tests} = {pooled:.4f}: the test sets have {small} to {large} "
        f"samples, but the mean gives all folds the same weight.{again}{never_tested}",
        "State which of the two you report; in the pooled accuracy every test sample has the same weight.",
    )


# ------------------------------------------------------------------ D8, G1: classes and folds


def check_missing_classes(missing: Sequence[npt.NDArray[Any]]) -> Finding | None:
    """Warn of folds whose training set lacks a class, which they cannot predict (D8).

    Parameters
    ----------
    missing : sequence of ndarray
        For each fold, the labels without a training sample.
    """
    lacking = [fold for fold, labels in enumerate(missing) if len(labels)]
    if not lacking:
        return None
    absent = missing[lacking[0]]
    others = f" ({len(lacking)} of {len(missing)} folds lack a class)" if len(lacking) > 1 else ""
    return Finding(
        "ACC-D8",
        "warning",
        f"Fold {lacking[0]} was fitted without samples of {listed(absent)}, so it cannot predict "
        f"{'them' if len(absent) > 1 else 'it'}{others}.",
        "Use StratifiedKFold, StratifiedGroupKFold for data in groups, or fewer folds.",
    )


def check_stratified(name: str, cv: Any, mixin_too_late: bool, lacking: int, n_folds: int) -> Finding:
    """Report a classifier that scikit-learn does not recognise as one, so that an integer `cv` means KFold (G1).

    Parameters
    ----------
    name : str
        Its class.
    cv : int or None
        As it was given.
    mixin_too_late : bool
        Whether it has ClassifierMixin among its bases, but after BaseEstimator.
    lacking, n_folds : int
        Folds whose training set lacks a class, and all folds.
    """
    harm = f": {lacking} of {n_folds} folds are fitted without a class, and score 0 on it" if lacking else ""
    order = f"Write class {name}(ClassifierMixin, BaseEstimator): the mixin must come first."
    return Finding(
        "ACC-G1",
        "error" if lacking else "warning",
        f"scikit-learn does not recognise {name} as a classifier (is_classifier is False), so cv={cv} means "
        f"KFold({n_folds}), which splits the samples in their order, without stratification{harm}.",
        order if mixin_too_late else "Inherit from ClassifierMixin, before BaseEstimator, or pass StratifiedKFold.",
    )


# ------------------------------------------------------------------ G2: folds that fail


@dataclass(frozen=True)
class FailedFolds:
    """Folds that failed for the same reason.

    Parameters
    ----------
    stage : {"fit", "predict", "score"}
        What raised.
    scorers : tuple of str
        For ``"score"``, the scorers that raised.
    folds : tuple of int
        The folds.
    n_folds : int
        All folds.
    error : str
        Type of the exception and first line of its message, in the first of these folds.
    one_class : bool
        Whether each of them was fitted on samples of a single class.
    """

    stage: Stage
    scorers: tuple[str, ...]
    folds: tuple[int, ...]
    n_folds: int
    error: str
    one_class: bool = False


def failed_fold(fold: int, stage: Stage) -> Finding:
    """Report which fold raised, as a note for the exception (G2)."""
    return Finding("ACC-G2", "error", f"Fold {fold} failed in {stage}.", "audit_cross_validation looks at all folds.")


def check_failed_folds(failed: FailedFolds) -> Finding:
    """Report folds that failed, and what raised (G2)."""
    place: str = failed.stage
    if failed.stage == "score":
        one = len(failed.scorers) == 1
        place = f"the scorer {failed.scorers[0]!r}" if one else f"the scorers {listed(failed.scorers)}, or one of them,"
    return Finding(
        "ACC-G2",
        "error",
        f"Fold {failed.folds[0]} failed: {failed.error.rstrip('.')}. Raised by {place} in {len(failed.folds)} of "
        f"{failed.n_folds} folds.",
        _advice(failed) or "See the whole traceback: cross_validate(..., error_score='raise').",
    )


_TWO_CLASSES = ("precision", "recall", "f1", "jaccard")  # names of scorers with average='binary'

# Messages of scikit-learn, and what to do.
_KNOWN_CAUSES = (
    (
        r"average='binary'",
        "y has more than two classes: use average='macro', as in scoring='{name}_macro' or "
        "make_scorer({name}_score, average='macro').",
    ),
    (r"multi_class must be in", "y has more than two classes: use scoring='roc_auc_ovr' or 'roc_auc_ovo'."),
    (
        r"pos_label=.* is not a valid label|pos_label is not specified",
        "Pass the positive label, as in make_scorer(f1_score, pos_label='yes'), or encode y as 0 and 1.",
    ),
    (
        r"has none of the following attributes: .*predict_proba",
        "The scorer needs the scores or probabilities of the classes, which this estimator does not have: wrap it in "
        "CalibratedClassifierCV, or use a scorer of its predictions.",
    ),
    (r"Input X contains NaN", "Put a SimpleImputer before the estimator, in one pipeline, or drop these samples."),
    (r"could not convert string to float", "X holds text: encode it in the pipeline, for example with OneHotEncoder."),
    (
        r"Number of classes in y_true not equal|contain different number of classes",
        "The test set has other classes than the training set: use StratifiedKFold or fewer folds.",
    ),
    (r"All the \d+ fits failed", "The fits inside the search fail: audit its inner estimator."),
)


def _advice(failed: FailedFolds) -> str | None:
    if failed.one_class and re.search(r"\b(one|1) class", failed.error):
        which = "Each" if len(failed.folds) == failed.n_folds else "This"
        return f"{which} fold was fitted on one class: use StratifiedKFold, and check that y has two classes."
    name = next((scorer for scorer in failed.scorers if scorer in _TWO_CLASSES), "f1")
    known = (advice.replace("{name}", name) for words, advice in _KNOWN_CAUSES if re.search(words, failed.error))
    return next(known, None)


def check_nan_scores(names: Sequence[str], folds: Sequence[int], n_folds: int, absent: Sequence[Any]) -> Finding:
    """Report scores that are NaN although nothing raised (G2).

    Parameters
    ----------
    names : sequence of str
        The scores that are NaN in these folds.
    folds : sequence of int
        The folds.
    n_folds : int
        All folds.
    absent : sequence
        Labels without a test sample in the first of these folds.
    """
    what = f"score {names[0]!r} is" if len(names) == 1 else f"scores {listed(names)} are"
    why = f"; its test set has no samples of {listed(absent)}" if len(absent) else ""
    return Finding(
        "ACC-G2",
        "warning",
        f"Fold {folds[0]}'s {what} NaN, though nothing raised ({len(folds)} of {n_folds} folds){why}. "
        "A mean over all folds is NaN too.",
        "Use StratifiedKFold or fewer folds, or numpy.nanmean for the folds that have the class."
        if len(absent)
        else "Look at what the scorer computes for these samples.",
    )


# ------------------------------------------------------------------ G3: scores missing from the results


def check_score_names(names: Mapping[int, Sequence[str] | None]) -> Finding | None:
    """Report scores that only some folds have, and what scikit-learn does about them (G3).

    Parameters
    ----------
    names : mapping of int to sequence of str or None
        For each fold that was scored, the names of its scores; None for a number without a name.
    """
    numbers = [fold for fold, keys in names.items() if keys is None]
    if len(numbers) == len(names):
        return None
    first = min(names)
    if numbers:
        return _numbers_and_dicts(names, first, numbers)
    keys_of = {fold: list(keys or ()) for fold, keys in names.items()}
    every = dict.fromkeys(key for fold in [first, *names] for key in keys_of[fold])
    have = {key: [fold for fold, keys in keys_of.items() if key in keys] for key in every}
    extra = {key: folds for key, folds in have.items() if first not in folds}
    lack = {key: [fold for fold in names if fold not in folds] for key, folds in have.items()}
    lost = {key: folds for key, folds in lack.items() if folds and key not in extra}
    if not lost and not extra:
        return None
    where = [f"{key!r} is missing in {_folds(folds)}" for key, folds in lost.items()]
    where += [f"{key!r} is only in {_folds(folds)}" for key, folds in extra.items()]
    outcome = f"raises KeyError: {next(iter(lost))!r}" if lost else f"silently drops {listed(list(extra))}"
    return _unequal_names(f"{'; '.join(where[:5])}{more(where)}", f"takes the names of fold {first} and {outcome}")


def _numbers_and_dicts(names: Mapping[int, Any], first: int, numbers: list[int]) -> Finding:
    dicts = [fold for fold in names if fold not in numbers]
    returns = "returns an array of objects (a search raises TypeError)"
    outcome = returns if first in numbers else "raises TypeError: a number is not subscriptable"
    return _unequal_names(f"a number in {_folds(numbers)}, a dict in {_folds(dicts)}", outcome)


def _unequal_names(where: str, outcome: str) -> Finding:
    return Finding(
        "ACC-G3",
        "error",
        f"The scorer does not return the same names for every fold: {where}. scikit-learn {outcome}.",
        "Return the same keys for any samples, NaN where a score is undefined, as PerClassAccuracyScoring(y) does.",
    )


def _folds(folds: Sequence[int]) -> str:
    return f"fold {folds[0]}" if len(folds) == 1 else f"folds {listed(folds)}"
