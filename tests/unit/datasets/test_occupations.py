"""The table of occupations."""

import pandas as pd

from sktorch_acc.datasets import load_occupations

COUNTS = {"management": 55, "office": 97, "sales": 38, "services": 83, "technical": 105, "worker": 156}


def test_text_columns_are_categories():
    X, y = load_occupations(return_X_y=True)
    assert X.shape == (534, 10)
    assert y.name == "occupation"
    assert y.value_counts().to_dict() == COUNTS
    text = [name for name in X if isinstance(X[name].dtype, pd.CategoricalDtype)]
    assert text == ["ethnicity", "region", "gender", "sector", "union", "married"]
    assert not X.isna().any().any()


def test_the_bunch_has_everything():
    bunch = load_occupations()
    assert bunch.frame.shape == (534, 11)
    assert bunch.target_names.tolist() == sorted(COUNTS)
    assert bunch.feature_names == list(bunch.data.columns)
    assert "Berndt" in bunch.DESCR
    assert "Ethnicity and gender" in bunch.DESCR


def test_arrays_on_request():
    X, y = load_occupations(return_X_y=True, as_frame=False)
    assert X.shape == (534, 10)
    assert set(y) == set(COUNTS)
    assert load_occupations(as_frame=False).frame is None
