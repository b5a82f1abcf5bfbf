"""What JSON must look like: every word of the small language, and what it refuses."""

import pytest

from sktorch_acc import ModelFileError
from sktorch_acc.storage.spec import check

DIGEST = "0123456789abcdef" * 4

CASES = {
    "text": (["", "a"], [None, 1, ["a"], b"a"]),
    "texts": ([[], ["a", "b"]], ["a", ["a", 1], None, ("a",)]),
    "count": ([0, 1, 2**63 - 1], [-1, 2**63, True, 1.0, "1", None]),
    "counts": ([[], [0, 1]], [0, [-1], [True], [0.0]]),
    "flag": ([True, False], [0, 1, None, "true"]),
    "number": ([0, -1, 0.5, 10**400], [True, None, "1"]),
    "list": ([[], [1, None]], [{}, None, "a"]),
    "object": ([{}, {"a": 1}], [[], None, "a"]),
    "strings by name": ([{}, {"a": "b"}], [{"a": 1}, [], None]),
    "digest": ([DIGEST], [DIGEST[:-1], DIGEST.upper(), DIGEST + "0", DIGEST + "\n", None, 1]),
}


@pytest.mark.parametrize(("spec", "value"), [(spec, value) for spec, (good, _) in CASES.items() for value in good])
def test_what_matches_passes(spec, value):
    check(value, spec, "x")
    check(value, f"{spec} or null", "x")
    check(None, f"{spec} or null", "x")


@pytest.mark.parametrize(("spec", "value"), [(spec, value) for spec, (_, bad) in CASES.items() for value in bad])
def test_what_does_not_match_is_refused_with_its_place(spec, value):
    with pytest.raises(ModelFileError, match=rf"^the place must be {spec} \(of JSON\), but is "):
        check(value, spec, "the place")


def test_an_object_has_exactly_the_entries_of_its_spec():
    spec = {"a": "count", "b": {"c": "text"}}
    check({"a": 1, "b": {"c": ""}}, spec, "x")
    for value, message in (
        ({"a": 1}, r"x must hold the entries \['a', 'b'\]. Missing or unknown: \['b'\]"),
        ({"a": 1, "b": {"c": ""}, "d": 1}, r"Missing or unknown: \['d'\]"),
        ({"a": 1, "b": {}}, r"x: b must hold the entries \['c'\]"),
        ({"a": 1, "b": {"c": 2}}, "x: b: c must be text"),
        ([], "Missing or unknown: list"),
        (None, "Missing or unknown: NoneType"),
    ):
        with pytest.raises(ModelFileError, match=message):
            check(value, spec, "x")


def test_a_long_value_is_shown_in_part():
    with pytest.raises(ModelFileError) as caught:
        check("x" * 1000, "count", "x")
    assert len(str(caught.value)) < 150
