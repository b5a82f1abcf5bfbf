"""The synthetic employees: reproducible, with the accuracies of the docstring."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from sktorch_acc.datasets import make_job_types
from sktorch_acc.datasets.job_types import _job_probabilities


def logistic_regression():
    columns = make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (OneHotEncoder(), make_column_selector(dtype_include="category")),
    )
    return make_pipeline(columns, LogisticRegression(max_iter=1000))


@pytest.mark.parametrize("seed", range(10))
def test_a_logistic_regression_has_an_accuracy_of_75_to_85_percent(seed):
    X, y = make_job_types(random_state=seed)
    assert 0.75 <= cross_val_score(logistic_regression(), X, y, cv=5).mean() <= 0.85


def test_the_best_possible_rate_is_the_documented_one():
    X, y = make_job_types(200_000, random_state=0)
    age, income = X["age"].to_numpy(), X["income"].to_numpy()
    probabilities = _job_probabilities(age, X["city"].cat.codes.to_numpy(), income)
    best, drawn = probabilities.argmax(axis=1), y.cat.codes.to_numpy()
    assert probabilities.max(axis=1).mean() == pytest.approx(0.810, abs=0.002)
    assert (best == drawn).mean() == pytest.approx(0.810, abs=0.004)
    of_class = [(best == drawn)[drawn == c].mean() for c in range(3)]
    assert of_class == pytest.approx([0.853, 0.788, 0.785], abs=0.006)
    assert np.bincount(drawn) / len(drawn) == pytest.approx([0.35, 0.32, 0.33], abs=0.01)


def test_columns_and_labels():
    X, y = make_job_types(500, random_state=1)
    assert X.columns.tolist() == ["sex", "age", "city", "income"]
    assert set(X["sex"]) == {"F", "M"}
    assert set(X["city"]) == {"anaheim", "boulder", "concord"}
    assert X["age"].between(20, 65).all()
    assert (X["income"] >= 22_000).all()
    assert (X["income"] % 100 == 0).all()
    assert X["age"].dtype.kind == "i"
    assert [X[name].dtype.name for name in ("sex", "city")] == ["category", "category"]
    assert y.name == "job_type"
    assert y.cat.categories.tolist() == ["mgmt", "supp", "tech"]


def test_the_seed_determines_the_samples():
    X, y = make_job_types(random_state=3)
    again = make_job_types(random_state=np.random.RandomState(3))
    pd.testing.assert_frame_equal(X, again[0])
    pd.testing.assert_series_equal(y, again[1])
    assert not X.equals(make_job_types(random_state=4)[0])


def test_global_generator_is_not_changed():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    make_job_types()
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_arrays_hold_the_same_values():
    X, y = make_job_types(20, random_state=0)
    X_array, y_array = make_job_types(20, random_state=0, as_frame=False)
    assert X_array.dtype == y_array.dtype == object
    assert X_array.tolist() == X.to_numpy(dtype=object).tolist()
    assert y_array.tolist() == y.tolist()


@pytest.mark.parametrize("n_samples", [1, 2])
def test_few_samples(n_samples):
    X, y = make_job_types(n_samples, random_state=0)
    assert X.shape == (n_samples, 4)
    assert y.cat.categories.tolist() == ["mgmt", "supp", "tech"]


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match=r"n_samples must be an int in the range \[1, inf\)"):
        make_job_types(0)
