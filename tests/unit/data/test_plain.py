"""Any array-like of numbers as plain numbers: in `fit`, in `predict`, in `score` and in `diagnose`."""

import datetime

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from torch import nn

from sktorch_acc import TorchClassifier, diagnose
from sktorch_acc.data.plain import numbers, plain

VALUES = np.random.default_rng(0).integers(-8, 8, (20, 3)).astype(np.float64)  # exact in every dtype below
LABELS = np.arange(20) % 2
MASK = VALUES > 6


def sparse_of(dtype):
    """A CSR matrix with values of any dtype; scipy's own constructor refuses many."""
    matrix = scipy.sparse.csr_array(VALUES)
    matrix.data = matrix.data.astype(dtype)
    return matrix


def days(unit="s"):
    return VALUES.astype(f"M8[{unit}]")


READ = {
    "big-endian float64": VALUES.astype(">f8"),
    "big-endian float32": VALUES.astype(">f4"),
    "big-endian int16": VALUES.astype(">i2"),
    "float16": VALUES.astype(np.float16),
    "long doubles": VALUES.astype(np.longdouble),
    "big-endian long doubles": VALUES.astype(np.dtype(np.longdouble).newbyteorder(">")),
    "sparse big-endian float64": sparse_of(">f8"),
    "sparse big-endian float32": sparse_of(">f4"),
    "sparse big-endian int32": sparse_of(">i4"),
    "sparse float16": sparse_of(np.float16),
    "sparse long doubles": sparse_of(np.longdouble),
    "sparse objects": sparse_of(object),
    "CSC of long doubles": scipy.sparse.csc_matrix(VALUES.astype(np.longdouble)),
    "COO of long doubles": scipy.sparse.coo_array(VALUES.astype(np.longdouble)),
    "objects": VALUES.astype(object),
    "a list": VALUES.tolist(),
    "nothing masked": np.ma.masked_array(VALUES),
    "nullable integers": pd.DataFrame(VALUES.astype(int)).astype("Int64"),
    "nullable floats": pd.DataFrame(VALUES).astype("Float64"),
    "a bfloat16 tensor": torch.tensor(VALUES).bfloat16(),
}

REFUSED = {
    "masked": (np.ma.masked_array(VALUES, MASK), r"Input X is masked in column \[1, 2\]: 4 values are missing"),
    "masked integers": (np.ma.masked_array(VALUES.astype(int), MASK), "Input X is masked"),
    "masked images": (np.ma.masked_array(VALUES, MASK).reshape(20, 3, 1), "Input X is masked: "),
    "a list of masked rows": ([np.ma.masked_array(*row) for row in zip(VALUES, MASK, strict=True)], "X is masked"),
    "dates": (days(), r"X holds dates or durations \(dtype datetime64\[s\]\)"),
    "durations": (VALUES.astype("m8[h]"), r"X holds dates or durations \(dtype timedelta64\[h\]\)"),
    "objects that are dates": (days("s").astype(object), "X holds dates or durations"),
    "a date among objects": (np.c_[VALUES.astype(object), [datetime.date(2026, 1, 1)] * 20], "X holds dates"),
    "a NumPy date among objects": (np.c_[VALUES.astype(object), list(days()[:, 0])], "X holds dates"),
    "a list of dates": (list(map(list, days())), "X holds dates or durations"),
    "masked arrays in nested lists": (
        [[np.ma.array(row, mask=hidden), np.ma.array(row)] for row, hidden in zip(VALUES, MASK, strict=True)],
        f"X is masked: {int(MASK.sum())} values are missing",
    ),
    "sparse durations": (sparse_of("m8[s]"), "X holds dates or durations"),
    "strings of variable width": (VALUES.astype(str).astype(np.dtypes.StringDType()), "Input X holds strings"),
    "nullable NA": (
        pd.DataFrame(VALUES).astype("Float64").mask(MASK),
        r"Input X contains NaN in column 1 \(2 rows\), 2",
    ),
    "nullable boolean NA": (pd.DataFrame(VALUES > 0).astype("boolean").mask(MASK), "Input X contains NaN in column"),
    "an object column of dates": (
        pd.DataFrame({"a": VALUES[:, 0], "day": pd.Series([np.datetime64("2026-01-01")] * 20, dtype=object)}),
        r"X has 1 column\(s\) that are not numeric: \['day'\]",
    ),
    "periods": (pd.DataFrame({"a": pd.period_range("2026", periods=20)}), "X must hold numbers. Got values of dtype"),
    "too large for float64": (np.full((20, 3), np.longdouble("1e4000")), "Input X contains infinity"),
}
CASES = pytest.mark.parametrize(("X", "message"), REFUSED.values(), ids=REFUSED)


@pytest.fixture(scope="module")
def clf():
    return TorchClassifier(max_epochs=2, random_state=0).fit(VALUES, LABELS)


@pytest.mark.parametrize("X", READ.values(), ids=READ)
def test_every_container_of_the_same_values_gives_the_same_fit_and_predictions(X, clf):
    module = nn.Linear(3, 2).double()
    with torch.no_grad():
        module.weight.fill_(0.5)
    expected = TorchClassifier(module, max_epochs=2, random_state=0).fit(VALUES, LABELS)
    got = TorchClassifier(module, max_epochs=2, random_state=0).fit(X, LABELS)
    assert torch.equal(got.module_.weight, expected.module_.weight)
    assert np.array_equal(clf.predict_proba(X), clf.predict_proba(VALUES))
    assert clf.score(X, LABELS) == clf.score(VALUES, LABELS)
    for subject in (clf, module):
        assert diagnose(subject, X, LABELS).codes == diagnose(subject, VALUES, LABELS).codes


@CASES
def test_values_that_are_missing_or_no_numbers_are_refused_in_fit(X, message):
    with pytest.raises(ValueError, match=message):
        TorchClassifier(nn.Linear(3, 2), max_epochs=1).fit(X, LABELS)
    with pytest.raises(ValueError, match=message):
        TorchClassifier(max_epochs=1, validation_fraction=None).partial_fit(X, LABELS, classes=[0, 1])


@CASES
def test_values_that_are_missing_or_no_numbers_are_refused_after_fit(X, message, clf):
    X = X.to_numpy() if isinstance(X, pd.DataFrame) else X
    message = message if np.shape(X)[1:] == (3,) and "column" not in message else "X "
    for call in (clf.predict, lambda X: clf.score(X, LABELS)):
        with pytest.raises(ValueError, match=message):
            call(X)
    if type(X) is np.ndarray and X.dtype.kind == "f":
        assert diagnose(clf, X, LABELS).codes == ["ACC-D5"]
    else:
        with pytest.raises(ValueError, match=message):
            diagnose(clf, X, LABELS)
    with pytest.raises(ValueError, match="X_val"):
        TorchClassifier(max_epochs=1, validation_fraction=None).fit(VALUES, LABELS, X_val=X, y_val=LABELS)


@pytest.mark.parametrize("case", ["masked", "dates", "durations", "a NumPy date among objects", "sparse durations"])
def test_a_module_alone_is_not_examined_on_them(case):
    X, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        diagnose(nn.Linear(3, 2), X, LABELS)


def test_masked_targets_of_a_module_are_refused():
    with pytest.raises(ValueError, match="y is masked in 1 samples"):
        diagnose(nn.Linear(3, 2), VALUES, np.ma.masked_array(LABELS, np.arange(20) == 3))


def test_nested_lists_are_read_alike_in_fit_and_in_predict():
    X = VALUES.reshape(20, 3, 1)
    clf = TorchClassifier(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), max_epochs=1).fit(X.tolist(), LABELS)
    assert np.array_equal(clf.predict_proba(X.tolist()), clf.predict_proba(X))


def test_missing_objects_are_missing_numbers():
    assert np.array_equal(numbers([[1, None], [pd.NA, 2.5]]), [[1, np.nan], [np.nan, 2.5]], equal_nan=True)
    assert numbers(np.array([[1, 2]], dtype=object)).dtype == np.float64
    with pytest.raises(ValueError, match="X must hold numbers, but its dtype is object"):
        numbers(np.array([["a"]], dtype=object))


def test_what_is_plain_is_not_copied():
    matrix = scipy.sparse.csr_array(VALUES)
    assert plain(VALUES) is VALUES
    assert plain(matrix) is matrix
    masked = np.ma.masked_array(VALUES)
    assert np.shares_memory(plain(masked), masked)
    assert type(plain(masked)) is np.ndarray


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_a_tensor_of_a_dtype_without_arithmetic_is_refused(dtype, clf):
    X = torch.tensor(VALUES).to(dtype)
    for call in (clf.predict, lambda X: TorchClassifier(max_epochs=1).fit(X, LABELS)):
        with pytest.raises(TypeError, match=r"X is a torch tensor of dtype torch.float8.*pass X.float\(\)"):
            call(X)
