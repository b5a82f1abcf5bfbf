"""Labels through JSON: dtype, order and every bit."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal

from sktorch_acc import ModelFileError
from sktorch_acc.persistence.labels import labels_from_json, labels_to_json

dtypes = st.one_of(
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    hnp.boolean_dtypes(),
    hnp.unicode_string_dtypes(endianness="?"),
    hnp.datetime64_dtypes(max_period="D", min_period="us", endianness="?"),
    hnp.timedelta64_dtypes(max_period="D", min_period="us", endianness="?"),
)


@st.composite
def classes(draw):
    dtype = draw(dtypes)
    elements = {"allow_nan": False, "allow_infinity": False} if dtype.kind == "f" else None
    found = np.unique(draw(hnp.arrays(dtype, st.integers(1, 20), elements=elements)))
    return found[~np.isnat(found)] if dtype.kind in "mM" else found


@given(classes())
def test_labels_of_any_dtype_come_back(labels):
    if len(labels) == 0:
        return
    again = labels_from_json(**json.loads(json.dumps(labels_to_json(labels))))
    assert again.dtype == labels.dtype
    assert_array_equal(again, labels)


@given(st.sets(st.text(), min_size=1))
def test_objects_that_are_texts_come_back(texts):
    labels = np.array(sorted(texts), dtype=object)
    again = labels_from_json(**json.loads(json.dumps(labels_to_json(labels))))
    assert again.dtype == object
    assert again.tolist() == labels.tolist()


@pytest.mark.parametrize(
    "labels",
    [np.array([(1, 2)], dtype=object)[0], np.array([1 + 2j]), np.array([b"x"]), np.array([1], dtype=np.longdouble)],
    ids=["objects of other types", "complex", "bytes", "long double"],
)
def test_labels_that_json_cannot_hold_are_refused(labels):
    labels = np.array([object()]) if labels.dtype == object else labels
    with pytest.raises(ModelFileError, match="Fit on labels that are strings"):
        labels_to_json(labels)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("<i8", [True]),
        ("|b1", [1]),
        ("<f4", [0.1, 0.2]),
        ("<f8", [1e400]),
        ("<i2", [2**15]),
        ("<U2", ["abc"]),
        ("|O", [None]),
        ("|O", ["a", 1]),
        ("|O", [[1]]),
        ("<M8[s]", ["2026-01-01"]),
        ("<M8[s]", [-(2**63)]),
        ("<U999999", ["a"] * 200),
    ],
)
def test_values_that_are_no_labels_of_their_dtype_are_refused(dtype, values):
    with pytest.raises(ModelFileError, match=r"classes in manifest\.json"):
        labels_from_json(dtype, values)
