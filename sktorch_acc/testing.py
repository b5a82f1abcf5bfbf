"""Checks to run on a `TorchClassifier` with a module of your own.

scikit-learn's checks test the estimator API. The checks of this library test what it adds: exact accuracies,
recording that does not change training, and outputs of the kind that the loss assumes.
"""

from __future__ import annotations

import copy
import pickle
import random
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest import SkipTest

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.utils import _safe_indexing
from sklearn.utils.estimator_checks import estimator_checks_generator
from torch import nn

from sktorch_acc._global_state import guarded_generators
from sktorch_acc.classifier import TorchClassifier

__all__ = ["check_torch_classifier", "torch_classifier_checks"]

_EPOCHS = 3
_WEIGHT_EQUIVALENCE = "check_sample_weight_equivalence_on_"  # dense_data and sparse_data


def check_torch_classifier(estimator: TorchClassifier, X: Any = None, y: Any = None) -> None:
    """Run all checks on an estimator, and report which of them fail.

    Parameters
    ----------
    estimator : TorchClassifier
        With the module to check. Only clones of it are fitted.
    X : array-like of shape (n_samples, ...) or None, default=None
        Samples for the library's own checks, for a module that takes images, tokens or a fixed number of
        columns; 30 to 200 samples are enough. scikit-learn's checks use their own tables, with any number
        of columns, and run only if X is None.
    y : array-like of shape (n_samples,) or None, default=None
        Labels of these samples, at least two of each class.

    Raises
    ------
    AssertionError
        If a check fails; the message names each failed check, with the reason.
    ValueError
        If only one of `X` and `y` is passed.

    See Also
    --------
    torch_classifier_checks : The same checks one by one.

    Examples
    --------
    >>> import numpy as np
    >>> from torch import nn
    >>> from sktorch_acc import TorchClassifier
    >>> from sktorch_acc.testing import check_torch_classifier
    >>> X = np.random.default_rng(0).normal(size=(40, 3))
    >>> check_torch_classifier(TorchClassifier(nn.Linear), X, np.where(X[:, 0] > 0, "cat", "dog"))
    """
    failures: list[tuple[str, BaseException]] = []
    for name, check in torch_classifier_checks(estimator, X, y):
        try:
            check()
        except SkipTest:
            continue
        except Exception as err:
            failures.append((name, err))
    if failures:
        lines = [f"- {name}: {type(err).__name__}: {_reason(err)}" for name, err in failures]
        message = f"{len(failures)} check(s) failed for {estimator!r}:\n" + "\n".join(lines)
        raise AssertionError(message) from failures[0][1]


def torch_classifier_checks(
    estimator: TorchClassifier, X: Any = None, y: Any = None
) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the checks for an estimator one by one, for example for ``pytest.mark.parametrize``.

    Parameters
    ----------
    estimator : TorchClassifier
        With the module to check.
    X, y : array-like or None, default=None
        As in `check_torch_classifier`.

    Yields
    ------
    name : str
        Name of the check; unique.
    check : callable
        Takes no arguments, and raises an error if the check fails (``unittest.SkipTest`` if it cannot be run).

    Raises
    ------
    ValueError
        If only one of `X` and `y` is passed.

    See Also
    --------
    check_torch_classifier : Run all checks, and report which of them fail.

    Notes
    -----
    scikit-learn's checks run without early stopping, which needs validation samples. Its two checks that
    weights equal repeated samples to 1e-7 are left out for modules that cannot pass them: those that compute in
    float32, and those with dropout or batch norm.

    Examples
    --------
    >>> from sktorch_acc import TorchClassifier
    >>> from sktorch_acc.testing import torch_classifier_checks
    >>> checks = dict(torch_classifier_checks(TorchClassifier(max_epochs=5)))
    >>> checks["check_train_acc_equals_score"]()
    """
    if (X is None) != (y is None):
        raise ValueError("X and y go together: pass both, or none.")
    if X is None:
        X, y = _default_rows(estimator)
        yield from _scikit_learn_checks(estimator, X, y)
    small = clone(estimator).set_params(max_epochs=min(estimator.max_epochs, _EPOCHS), random_state=0, verbose=0)
    y = np.asarray(y)
    for check in _OWN_CHECKS:
        if check is not check_two_halves_are_one_fit or _can_be_halved(estimator):
            yield check.__name__, partial(check, small, X, y)


def _reason(err: BaseException) -> str:
    """Return the first line of the message; for a bare ``assert`` the line of code."""
    first_line = next((line.strip() for line in str(err).splitlines() if line.strip()), None)
    return first_line or traceback.extract_tb(err.__traceback__)[-1].line or "no message"


def _default_rows(estimator: TorchClassifier) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return a table of 60 samples, with two classes for criteria on one column, else three."""
    criterion = estimator.criterion if isinstance(estimator.criterion, type) else type(estimator.criterion)
    n_classes = 2 if issubclass(criterion, (nn.BCELoss, nn.BCEWithLogitsLoss)) else 3
    return make_classification(  # type: ignore[no-any-return]
        60, 6, n_informative=4, n_redundant=0, n_classes=n_classes, n_clusters_per_class=1, random_state=0
    )


def _scikit_learn_checks(estimator: TorchClassifier, X: Any, y: Any) -> Iterator[tuple[str, Callable[[], None]]]:
    prepared = _on_all_rows(estimator).set_params(verbose=0)
    equivalent = _weights_can_equal_copies(prepared, X, y)
    seen: dict[str, int] = {}
    for fresh, check in estimator_checks_generator(prepared):
        name = check.func.__name__
        if name.startswith(_WEIGHT_EQUIVALENCE) and not equivalent:
            continue
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name}[{seen[name]}]", partial(check, fresh)


def _weights_can_equal_copies(estimator: TorchClassifier, X: Any, y: Any) -> bool:
    """Whether the module computes in float64, and in training each sample independently of the others."""
    module = copy.deepcopy(clone(estimator).set_params(max_epochs=1).fit(X, y).module_)
    dtype = next(p.dtype for p in module.parameters() if p.is_floating_point())
    rows = torch.as_tensor(X, dtype=dtype)
    with torch.no_grad():
        return dtype is torch.float64 and torch.equal(module.eval()(rows), module.train()(rows))


def _can_be_halved(estimator: TorchClassifier) -> bool:
    """Whether two short fits equal one long fit: schedules, stopping and callbacks start again in each."""
    return estimator.lr_scheduler is None and not estimator.early_stopping and not estimator.callbacks


# ------------------------------------------------------------ the checks, each on (estimator, X, y)


def check_train_acc_equals_score(estimator: TorchClassifier, X: Any, y: npt.NDArray[Any]) -> None:
    """Check that the recorded accuracy of the best epoch equals `score`, overall and for every class."""
    clf = _on_all_rows(estimator).set_params(train_accuracy="exact").fit(X, y)
    row = clf.history_.loc[clf.best_epoch_]
    _equal(row["train_acc"], clf.score(X, y), "history_.loc[best_epoch_, 'train_acc'] is not score(X, y)")
    predicted = clf.predict(X)
    for label in clf.classes_:
        rate = float((predicted[y == label] == label).mean())
        _equal(row[f"train_acc[{label}]"], rate, f"train_acc[{label}] is not the accuracy of label {label!r}")


def check_recording_is_neutral(estimator: TorchClassifier, X: Any, y: npt.NDArray[Any]) -> None:
    """Check that fits with and without recorded accuracy give the same weights, bit for bit."""
    plain = clone(estimator).set_params(train_accuracy=None).fit(X, y)
    for record in ("running", "exact"):
        recorded = clone(estimator).set_params(train_accuracy=record).fit(X, y)
        _same_module(plain, recorded, f"train_accuracy={record!r} changed")


def check_global_state_is_left_alone(estimator: TorchClassifier, X: Any, y: npt.NDArray[Any]) -> None:
    """Check that `fit` and `predict` change no generator, default dtype, thread count or gradient mode."""
    before = _global_state()
    clone(estimator).fit(X, y).predict(X)
    for name, value in _global_state().items():
        _equal(value, before[name], f"fit or predict changed {name}")


def check_same_seed_same_bits(estimator: TorchClassifier, X: Any, y: npt.NDArray[Any]) -> None:
    """Check that a fit with `random_state` does not depend on the global generators."""
    first = clone(estimator).fit(X, y)
    with guarded_generators(torch.device("cpu")):
        torch.manual_seed(1234)
        np.random.seed(1234)  # noqa: NPY002
        random.seed(1234)
        second = clone(estimator).fit(X, y)
    _same_module(first, second, "another state of the global generators changed")


def check_constructor_arguments_stay(estimator: TorchClassifier, X: Any, y: npt.NDArray[Any]) -> None:
    """Check that `fit` trains copies: a module instance given to the constructor keeps its weights."""
    clf = clone(estimator)
    before = clf.get_params()
    module = clf.module
    weights = copy.deepcopy(module.state_dict()) if isinstance(module, nn.Module) else {}
    clf.fit(X, y)
    after = clf.get_params()
    _equal(sorted(after), sorted(before), "fit changed the names of parameters")
    changed = [name for name in before if after[name] is not before[name]]
    _equal(changed, [], "fit changed constructor parameters")
    for name, value in weights.items():
        _require(torch.equal(module.state_dict()[name], value), f"fit trained the instance given as module: {name}")


def check_outputs_agree(estimator: TorchClassifier, X: Any, y: npt.NDArray[Any]) -> None:
    """Check that probabilities sum to 1, and that labels, probabilities and decision values agree."""
    clf = clone(estimator).fit(X, y)
    probabilities, decision, predicted = clf.predict_proba(X), clf.decision_function(X), clf.predict(X)
    n_rows, n_classes = len(y), len(clf.classes_)
    _equal(probabilities.shape, (n_rows, n_classes), "predict_proba has the wrong shape")
    _equal(decision.shape, (n_rows,) if n_classes == 2 else (n_rows, n_classes), "decision_function: wrong shape")
    _close(probabilities.sum(axis=1), 1, "probabilities do not sum to 1")
    chosen = probabilities[np.arange(n_rows), np.searchsorted(clf.classes_, predicted)]
    best = probabilities.max(axis=1)
    _close(chosen, best, "predict does not return the most probable label")
    by_decision = (decision > 0).astype(int) if n_classes == 2 else decision.argmax(axis=1)
    _equal(clf.classes_[by_decision].tolist(), predicted.tolist(), "decision_function disagrees with predict")
    with np.errstate(divide="ignore"):
        expected = np.log(probabilities)
    _close(clf.predict_log_proba(X), expected, "predict_log_proba is not the logarithm of predict_proba")


def check_rows_do_not_influence_each_other(estimator: TorchClassifier, X: Any, y: npt.NDArray[Any]) -> None:
    """Check that a sample gets the same probabilities alone, among others and in another order."""
    clf = clone(estimator).fit(X, y)
    together = clf.predict_proba(X)
    all_samples = np.arange(len(y))
    for chosen in (all_samples[::-1].copy(), all_samples[: len(y) // 2], *all_samples[:5].reshape(-1, 1)):
        among_others = clf.predict_proba(_safe_indexing(X, chosen))
        _close(among_others, together[chosen], "the probabilities of a sample depend on the other samples")


def check_every_kind_of_label(estimator: TorchClassifier, X: Any, y: npt.NDArray[Any]) -> None:
    """Check that strings, integers, objects and bools give the same model and are returned by `predict`."""
    codes = np.unique(y, return_inverse=True)[1]
    n_classes = int(codes.max()) + 1
    base = clone(estimator).fit(X, codes)
    names = np.array([f"label {chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(n_classes)])
    kinds = [names, names.astype(object), 3 + 4 * np.arange(n_classes)]
    if n_classes == 2:
        kinds.append(np.array([False, True]))
    for labels in kinds:
        clf = clone(estimator).fit(X, labels[codes])
        _equal(clf.classes_.tolist(), labels.tolist(), "classes_ are not the labels")
        _equal(clf.predict(X).tolist(), labels[base.predict(X)].tolist(), f"predict changes labels like {labels[0]!r}")
        _same_module(base, clf, f"labels like {labels[0]!r} changed")


def check_pickle_keeps_predictions(estimator: TorchClassifier, X: Any, y: npt.NDArray[Any]) -> None:
    """Check that an estimator pickled before or after `fit` predicts the same to the last bit."""
    clf = clone(estimator).fit(X, y)
    again = pickle.loads(pickle.dumps(clf))
    _require(np.array_equal(again.predict_proba(X), clf.predict_proba(X)), "a pickled estimator predicts differently")
    _require(again.history_.equals(clf.history_), "a pickled estimator has another history_")
    unfitted = pickle.loads(pickle.dumps(clone(estimator)))
    _same_module(clf, unfitted.fit(X, y), "pickling before fit changed")


def check_weights_of_0_and_1(estimator: TorchClassifier, X: Any, y: npt.NDArray[Any]) -> None:
    """Check that unit weights equal no weights and samples of weight 0 are not trained on, to the last bit."""
    on_all = _on_all_rows(estimator)
    base = clone(on_all).fit(X, y)
    _same_module(base, clone(on_all).fit(X, y, sample_weight=np.ones(len(y))), "unit weights changed")
    if on_all.class_weight is not None:
        return  # then the labels of samples of weight 0 are counted
    first = np.unique(y, return_index=True)[1]
    weights = np.tile([1.0, 2.0], len(y))[: len(y)]
    weights[np.setdiff1d(np.arange(0, len(y), 3), first)] = 0  # every label keeps a sample
    kept = np.flatnonzero(weights)
    weighted = clone(on_all).fit(X, y, sample_weight=weights)
    without = clone(on_all).fit(_safe_indexing(X, kept), y[kept], sample_weight=weights[kept])
    _same_module(weighted, without, "samples of weight 0 changed")


def check_two_halves_are_one_fit(estimator: TorchClassifier, X: Any, y: npt.NDArray[Any]) -> None:
    """Check that with `warm_start` fits of one and two epochs equal one fit of three, to the last bit."""
    halves = clone(estimator).set_params(warm_start=True, max_epochs=1).fit(X, y)
    halves.set_params(max_epochs=2).fit(X, y)
    whole = clone(estimator).set_params(warm_start=True, max_epochs=3).fit(X, y)
    _equal(halves.n_iter_, 3, "n_iter_ does not count on")
    _same_module(whole, halves, "stopping and continuing changed")


_OWN_CHECKS: tuple[Callable[[TorchClassifier, Any, npt.NDArray[Any]], None], ...] = (
    check_train_acc_equals_score,
    check_recording_is_neutral,
    check_global_state_is_left_alone,
    check_same_seed_same_bits,
    check_constructor_arguments_stay,
    check_outputs_agree,
    check_rows_do_not_influence_each_other,
    check_every_kind_of_label,
    check_pickle_keeps_predictions,
    check_weights_of_0_and_1,
    check_two_halves_are_one_fit,
)


# ------------------------------------------------------------ helpers of the checks


def _on_all_rows(estimator: TorchClassifier) -> TorchClassifier:
    """Return a clone that trains on all samples."""
    return clone(estimator).set_params(early_stopping=False, validation_fraction=None)  # type: ignore[no-any-return]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise AssertionError(message)


def _equal(actual: Any, expected: Any, message: str) -> None:
    _require(bool(actual == expected), f"{message}: {actual!r}, expected {expected!r}")


def _close(actual: Any, expected: Any, message: str) -> None:
    with np.errstate(invalid="ignore"):  # equal infinities
        largest = float(np.nanmax(np.abs(np.asarray(actual) - expected), initial=0.0))
    _require(np.allclose(actual, expected, rtol=1e-3, atol=1e-5), f"{message} (by up to {largest:.3g})")


def _same_module(expected: TorchClassifier, actual: TorchClassifier, what: str) -> None:
    """Compare parameters and buffers of two trained modules bit for bit."""
    theirs = actual.module_.state_dict()
    for name, value in expected.module_.state_dict().items():
        if isinstance(value, torch.Tensor):
            same = torch.equal(value, theirs[name])
            _require(same, f"{what} the trained weights (first in {name!r})")


def _global_state() -> dict[str, Any]:
    numpy_state = np.random.get_state()  # noqa: NPY002
    return {
        "torch's generator": torch.random.get_rng_state().tolist(),
        "numpy's generator": (numpy_state[1].tolist(), *numpy_state[2:]),  # type: ignore[index]
        "Python's generator": random.getstate(),
        "the default dtype": torch.get_default_dtype(),
        "the number of threads": torch.get_num_threads(),
        "the gradient mode": torch.is_grad_enabled(),
    }
