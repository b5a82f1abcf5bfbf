"""Strict JSON: what is written is read back, and nothing else than strict JSON is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sktorch_acc import ModelFileError
from sktorch_acc.storage import strict_json
from sktorch_acc.storage.strict_json import parse, write

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


@given(VALUES)
def test_what_is_written_is_read_back_bit_for_bit(value):
    data = write(value)
    assert data.isascii()
    assert parse(data) == value
    assert write(parse(data)) == data


def test_it_is_json_for_every_other_reader_too():
    assert json.loads(write({"a": ["ä", 0.1, None]})) == {"a": ["ä", 0.1, None]}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": -float("inf")}])
def test_nan_and_infinity_are_not_written(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"NaN", "NaN is not a number of JSON"),
        (b"[-Infinity]", "-Infinity is not a number"),
        (b"1e400", "1e400 is too large for a float"),
        (b"-1e400", "too large for a float"),
        (b'{"a": {"b": 1, "b": 2}}', "'b' is a duplicate key"),
        (b"\xff", "not valid JSON"),
        (b"", "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
    ],
)
def test_what_is_no_strict_json_is_refused(text, message):
    with pytest.raises(ModelFileError, match=message):
        parse(text)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_depth_is_limited(opening):
    closing = {b"[": b"]", b'{"a":': b"}"}[opening]
    parse(opening * 200 + b"1" + closing * 200)
    with pytest.raises(ModelFileError, match="nested more than 200 levels deep"):
        parse(opening * 201 + b"1" + closing * 201)
    with pytest.raises(ModelFileError, match="not valid JSON"):
        parse(opening * 100_000)


def test_the_number_of_containers_is_limited_in_both_directions(monkeypatch):
    monkeypatch.setattr(strict_json, "_MAX_CONTAINERS", 3)
    three, four = [[], {}], [[], {}, []]
    assert parse(write(three)) == three
    with pytest.raises(ModelFileError, match="more than 3 lists and objects"):
        write(four)
    with pytest.raises(ModelFileError, match="more than 3 lists and objects"):
        parse(b"[[], {}, []]")
