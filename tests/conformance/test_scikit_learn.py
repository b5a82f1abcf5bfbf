"""scikit-learn's own checks, all of them, with nothing in ``expected_failed_checks``."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_param_validation,
    estimator_checks_generator,
    parametrize_with_checks,
)
from torch import nn

from sktorch_acc import TorchClassifier
from tests.modules import Doubles, Floats, OneDouble

# Warnings in `fit` that are errors elsewhere would fail many checks; each has its own test.
pytestmark = pytest.mark.filterwarnings("default::sktorch_acc.AccuracyWarning")


@parametrize_with_checks([TorchClassifier(), TorchClassifier(Doubles)])
def test_every_check_passes(estimator, check):
    check(estimator)


@parametrize_with_checks([TorchClassifier(OneDouble, criterion=nn.BCEWithLogitsLoss, lr=0.2, max_epochs=30)])
def test_every_check_for_binary_classifiers_passes_with_one_logit(estimator, check):
    check(estimator)


BEYOND_FLOAT32 = (
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
)


FLOAT32_CHECKS = [
    pytest.param(estimator, check, id=check.func.__name__)
    for estimator, check in estimator_checks_generator(TorchClassifier(Floats))
    if check.func.__name__ not in BEYOND_FLOAT32
]


@pytest.mark.parametrize(("estimator", "check"), FLOAT32_CHECKS)
def test_a_float32_module_passes_every_check_but_the_two_beyond_its_precision(estimator, check):
    check(estimator)


@pytest.mark.parametrize("sparse", [False, True])
def test_weights_equal_repetition_for_a_float32_module(sparse):
    """The comparison of scikit-learn's two checks, at 1e-5 instead of float64's 1e-7."""
    from scipy.sparse import csr_array

    rng = np.random.default_rng(0)
    X = rng.standard_normal((15, 10))
    y = rng.integers(0, 3, size=15)
    weight = rng.integers(0, 5, size=15)
    repeated = np.repeat(np.arange(15), weight)
    convert = csr_array if sparse else np.asarray
    weighted = clone(TorchClassifier(Floats, random_state=0)).fit(convert(X), y, sample_weight=weight)
    plain = clone(TorchClassifier(Floats, random_state=0)).fit(convert(X[repeated]), y[repeated])
    assert_allclose(weighted.predict_proba(X), plain.predict_proba(X), rtol=1e-5)


@pytest.mark.parametrize("check", [check_dataframe_column_names_consistency, check_param_validation])
def test_the_two_checks_that_check_estimator_leaves_out(check):
    check("TorchClassifier", TorchClassifier())


def test_the_exam_has_64_questions():
    names = [check.func.__name__ for _, check in estimator_checks_generator(TorchClassifier())]
    assert len(names) >= 64
