"""Choose the candidate of a search by a score that is NaN in some folds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


def refit_by(name: str) -> RefitBy:
    """Return a `refit` for searches that ignores folds without the class.

    scikit-learn's ``refit="acc[tech]"`` averages over all folds. If one fold has no sample of
    the class, its score is NaN, so is every mean, all candidates get rank 1, and the first one is
    refitted.

    Parameters
    ----------
    name : str
        Name of the score, such as ``"acc[tech]"``; ``"score"`` if the search has only one.

    Returns
    -------
    refit : callable
        Takes `cv_results_` and returns the index of the best candidate: the highest mean over the
        folds that have the class, the first on ties. A fold lacks the class if every candidate
        has NaN there. A candidate that has NaN where another has a score failed in that fold and
        is never chosen. The callable can be pickled.

    Raises
    ------
    ValueError
        When the search calls it: if `cv_results_` has no score of that name, no fold has the class,
        or every candidate failed in a fold that has it.

    Notes
    -----
    ``GridSearchCV`` and ``RandomizedSearchCV`` use it. The successive-halving searches choose by
    their own rule and ignore any `refit` callable.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sktorch_acc.metrics import per_class_accuracy_scorers, refit_by
    >>> X, y = load_iris(return_X_y=True)
    >>> search = GridSearchCV(
    ...     LogisticRegression(max_iter=1000),
    ...     {"C": [0.01, 1.0]},
    ...     scoring=per_class_accuracy_scorers(y),
    ...     refit=refit_by("acc[1]"),
    ... )
    >>> search.fit(X, y).best_params_
    {'C': 1.0}
    """
    if not isinstance(name, str):
        raise ValueError(f"The 'name' parameter of refit_by must be a str such as 'acc[tech]'. Got {name!r} instead.")
    return RefitBy(name)


@dataclass(frozen=True)
class RefitBy:
    """The callable that :func:`refit_by` returns."""

    name: str

    def __call__(self, cv_results: dict[str, Any]) -> int:
        """Return the index of the best candidate."""
        scores = self._scores(cv_results)
        folds = ~np.isnan(scores).all(axis=0)  # those that have the class
        if not folds.any():
            raise ValueError(
                f"No fold has a score for {self.name!r}: no test fold holds a sample of that class. "
                "Use StratifiedKFold, fewer folds, or another score."
            )
        means = scores[:, folds].mean(axis=1)  # NaN for a candidate that failed in such a fold
        if np.isnan(means).all():
            raise ValueError(
                f"Every candidate has NaN for {self.name!r} in a fold where another candidate has a score: "
                "their fits failed. Run the search with error_score='raise' to see why."
            )
        return int(np.nanargmax(means))

    def _scores(self, cv_results: dict[str, Any]) -> npt.NDArray[np.float64]:
        """Collect the test scores, of shape (n_candidates, n_folds)."""
        suffix = f"_test_{self.name}"
        n_folds = sum(key.startswith("split") and key.endswith(suffix) for key in cv_results)
        if n_folds == 0:
            names = [key.removeprefix("mean_test_") for key in cv_results if key.startswith("mean_test_")]
            raise ValueError(f"cv_results_ has no score named {self.name!r}. Its scores: {names}.")
        return np.column_stack([np.asarray(cv_results[f"split{i}{suffix}"], float) for i in range(n_folds)])
