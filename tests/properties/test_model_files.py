"""Mutated model files: the documented error, or a model that is whole; nothing else happens."""

import copy
import io
import json
import sys
from contextlib import suppress

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sktorch_acc import ModelFileError, TorchClassifier, inspect_model, load_model
from tests.saved import TwoLayers, joined, parts, saved, small, table, three_classes

X, Y = table(), three_classes()
CLASSIFIERS = [
    small(),
    small(TwoLayers, y=np.array(["a", "b", "c"])[Y]),
    TorchClassifier(random_state=0).partial_fit(X, Y, classes=[0, 1, 2]),
]
FILES = [saved(clf, with_optimizer=clf is CLASSIFIERS[2]) for clf in CLASSIFIERS]
WHOLE = [parts(data) for data in FILES]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.sampled_from(["os:system", "torch.nn.Linear", "torch.optim.SGD", "value.0", "module.layers.0.weight", "nan"]),
)
tags = st.sampled_from(["$name", "$tensor", "$array", "$tuple", "$dict", "$float", "$device", "$dtype", "$pickle", "a"])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(tags, inner, max_size=2), max_leaves=6
)


def places(value, path=()):
    """Every place in a JSON object."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


PLACES = [list(places(manifest)) for manifest, _ in WHOLE]
# A dictionary of a file's own making must not grow without bounds, nor be slow: constructors take numbers from it.
SETTINGS = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
events = []


def watch(event, arguments):
    forbidden = event in ("import", "subprocess.Popen", "os.system", "pickle.find_class", "os.remove", "os.rename")
    writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wxa+")
    if watching and (forbidden or writes):
        events.append((event, arguments))


watching = False
sys.addaudithook(watch)


def survives(data):
    """Load and inspect a file; only a ModelFileError may come out, and what loads must predict."""
    global watching
    events.clear()
    watching = True
    try:
        try:
            clf = load_model(io.BytesIO(data), allow=[TwoLayers])
        except ModelFileError as err:
            clf, message = None, str(err)
        try:
            inspect_model(io.BytesIO(data))
        except ModelFileError:
            assert clf is None
    finally:
        watching = False
    assert not events
    assert clf is not None or 20 < len(message) < 3000
    return clf


@pytest.fixture(scope="module", autouse=True)
def _warm():
    """What loading imports lazily for itself is imported now."""
    repr(torch.zeros(2))
    for data in FILES:
        load_model(io.BytesIO(data), allow=[TwoLayers])


@SETTINGS
@given(st.integers(0, 2), st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 255)), min_size=1, max_size=4))
def test_a_file_with_changed_bytes_is_refused(which, changes):
    data = bytearray(FILES[which])
    for at, mask in changes:
        data[at % len(data)] ^= mask
    if bytes(data) != FILES[which]:
        assert survives(bytes(data)) is None


@SETTINGS
@given(st.integers(0, 2), st.integers(0, 10**6), st.binary(max_size=40), st.integers(0, 10**4))
def test_a_file_with_bytes_put_in_the_place_of_others_is_refused(which, at, piece, cut):
    data = FILES[which]
    at %= len(data)
    spoiled = data[:at] + piece + data[at + cut :]
    if spoiled != data:
        assert survives(spoiled) is None


@SETTINGS
@given(st.integers(0, 2), st.integers(0, 10**6), values, st.booleans())
def test_a_manifest_with_another_value_is_refused_or_harmless(which, place, value, remove):
    manifest, weights = copy.deepcopy(WHOLE[which])
    *path, last = PLACES[which][place % len(PLACES[which])]
    parent = manifest
    for key in path:
        parent = parent[key]
    if remove:
        del parent[last]
    else:
        parent[last] = value
    clf = survives(joined(manifest, weights))
    if clf is not None:
        with suppress(ValueError):  # a changed schema may refuse these rows
            assert np.isfinite(clf.predict_proba(X)).all()


@SETTINGS
@given(st.integers(0, 2), st.data())
def test_weights_with_another_header_are_refused_or_harmless(which, data):
    manifest, weights = WHOLE[which]
    length = int.from_bytes(weights[:8], "little")
    header = json.loads(weights[8 : 8 + length])
    name = data.draw(st.sampled_from(sorted(header)))
    part = data.draw(st.sampled_from(["dtype", "shape", "data_offsets"]))
    header[name][part] = data.draw(values | st.lists(st.integers(0, 2**63), max_size=3))
    text = json.dumps(header).encode()
    spoiled = len(text).to_bytes(8, "little") + text + weights[8 + length :]
    listed = data.draw(st.booleans())
    tensors = {**manifest["tensors"]}
    if listed and part == "shape":
        tensors[name] = {**tensors[name], "shape": header[name]["shape"]}
    clf = survives(joined({**manifest, "tensors": tensors}, spoiled))
    assert clf is None or clf.predict_proba(X).shape == (len(X), 3)


@SETTINGS
@given(st.integers(0, 2), st.data())
def test_whatever_the_weights_are_they_are_only_numbers(which, data):
    manifest, weights = WHOLE[which]
    length = 8 + int.from_bytes(weights[:8], "little")
    at = data.draw(st.integers(length, len(weights) - 1))
    spoiled = weights[:at] + data.draw(st.binary(min_size=1, max_size=1)) + weights[at + 1 :]
    without_outputs = {**manifest, "extensions": {}}  # which would give other weights away
    clf = survives(joined(without_outputs, spoiled))
    assert clf is not None
    assert clf.n_iter_ == CLASSIFIERS[which].n_iter_
