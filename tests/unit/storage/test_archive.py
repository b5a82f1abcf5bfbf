"""The file: what is written, and every way in which it can be wrong."""

import io
import os
import pickle
import stat
import struct
import zipfile

import joblib
import pytest
import torch

from sktorch_acc import ModelFileError, inspect_model, load_model, save_model
from sktorch_acc.storage import archive, temporary
from sktorch_acc.storage.archive import NAMES, read_entries, write_entries
from tests.saved import loaded, parts, saved, small

EXPLODED = []


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self):
        return explode, ()


def explode():
    EXPLODED.append(True)


@pytest.fixture(scope="module")
def data():
    return saved(small())


@pytest.fixture(autouse=True)
def _nothing_explodes():
    yield
    assert not EXPLODED


def zipped(*entries, compression=zipfile.ZIP_STORED, comment=b""):
    """A zip of (name or ZipInfo, bytes), written by Python's own module."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as z:
        for name, content in entries:
            z.writestr(name, content)
        z.comment = comment
    return file.getvalue()


def contents(data):
    return [(name, content) for name, content in zip(NAMES, read_entries(io.BytesIO(data)), strict=True)]


def refused(data, message):
    for load in (load_model, inspect_model):
        with pytest.raises(ModelFileError, match=message):
            load(io.BytesIO(data))


# ------------------------------------------------------------ strangers in the archive


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("../evil.py", "'../evil.py', a path that leaves the archive"),
        ("a/../../evil.py", "a path that leaves the archive"),
        ("/etc/passwd", "a path that leaves the archive"),
        ("C:evil.py", "a path that leaves the archive"),
        ("\\\\host\\evil", "a path that leaves the archive"),
        ("model.pkl", "a pickle, which would run code"),
        ("readme.txt", "'readme.txt', which does not belong there"),
        ("manifest.json", "'manifest.json' 2 times"),
        ("weights.safetensors", "'weights.safetensors' 2 times"),
    ],
)
def test_another_entry_is_refused(data, name, message):
    refused(zipped(*contents(data), (name, pickle.dumps(Bomb()))), message)


def test_a_symbolic_link_is_refused(data):
    link = zipfile.ZipInfo(NAMES[1])
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    refused(zipped(contents(data)[0], (link, b"/etc/passwd")), "'weights.safetensors', a symbolic link")


@pytest.mark.parametrize("missing", [0, 1])
def test_a_missing_entry_is_named(data, missing):
    refused(zipped(contents(data)[1 - missing]), f"lacks.*{NAMES[missing]}")
    refused(zipped(), "lacks")


def test_a_bomb_is_refused_before_it_is_unpacked(data):
    bomb = zipped(contents(data)[0], (NAMES[1], bytes(10**8)), compression=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 200_000
    refused(bomb, r"compressed \(method 8\) from \d+ to \d+ bytes")


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_that_declares_ten_gigabytes_is_refused(data, name):
    at = data.rindex(name.encode()) - 46
    sizes = struct.pack("<2L", 0xFFFFFFF0, 0xFFFFFFF0)
    refused(data[: at + 20] + sizes + data[at + 28 :], "declare|at most")


def test_a_pickle_and_files_of_other_libraries_are_named_for_what_they_are(tmp_path):
    refused(pickle.dumps(Bomb()), "is a pickle, which runs code")
    joblib.dump(small(), tmp_path / "clf.joblib")
    refused((tmp_path / "clf.joblib").read_bytes(), "is a pickle, which runs code")
    torch.save(Bomb(), tmp_path / "clf.pt")
    refused((tmp_path / "clf.pt").read_bytes(), "'.*/data.pkl', a pickle")
    refused(b"\x93NUMPY....", "not a model file: it begins with")
    refused(b"", "not a model file")


def test_a_zip_that_another_tool_wrote_is_refused(data):
    refused(zipped(*contents(data)), "not as save_model writes it")
    refused(zipped(*contents(data), comment=b"hello"), "begins as a zip but does not end as one")
    refused(zipped(*reversed(contents(data))), "not as save_model writes it")
    refused(b"#!/bin/sh\n" + data, "directory cannot be read")
    refused(data + b"x", "begins as a zip but does not end as one")


# ------------------------------------------------------------ damage


def test_a_truncated_file_is_refused_wherever_it_ends(data):
    for length in [*range(0, len(data), 1024), *range(len(data) - 200, len(data))]:
        refused(data[:length], "truncated|not a model file")


def test_every_flipped_bit_is_noticed_in_headers_and_a_bit_of_every_byte_elsewhere(data):
    manifest, weights = read_entries(io.BytesIO(data))
    start = data.index(manifest)
    content = {*range(start, start + len(manifest)), *range(len(data) - 300 - len(weights), len(data) - 300)}
    for at in range(len(data)):
        for bit in [at % 8] if at in content else range(8):
            flipped = bytearray(data)
            flipped[at] ^= 1 << bit
            with pytest.raises(ModelFileError):
                read_entries(io.BytesIO(flipped))


def test_a_flipped_bit_says_which_part_is_damaged(data):
    manifest, weights = read_entries(io.BytesIO(data))
    for part, name in ((manifest, "manifest.json"), (weights, "weights.safetensors")):
        flipped = bytearray(data)
        flipped[data.index(part) + len(part) // 2] ^= 1
        refused(bytes(flipped), f"checksum of {name}")


@pytest.mark.parametrize("tail", [b"PK\5\6" + bytes(18), b"PK\5\6" + b"\xff" * 16 + b"\0\0"])
def test_an_end_that_points_nowhere_is_refused(data, tail):
    refused(data[:-22] + tail, "lacks|directory|complete")
    refused(tail, "lacks|directory|complete")


# ------------------------------------------------------------ writing


def test_weights_beyond_four_gigabytes_are_framed_as_zip64_says(tmp_path):
    sizes = (100, 5 * 2**30)
    headers, tail = archive._frame([archive._Entry(name, size, 7) for name, size in zip(NAMES, sizes, strict=True)])
    with open(tmp_path / "large", "wb") as file:  # sparse: it takes a few kilobytes
        for header, size in zip(headers, sizes, strict=True):
            file.write(header)
            file.seek(size, os.SEEK_CUR)
        file.write(tail)
    with zipfile.ZipFile(tmp_path / "large") as z:
        assert [(entry.filename, entry.file_size, entry.CRC) for entry in z.infolist()] == [
            (NAMES[0], 100, 7),
            (NAMES[1], 5 * 2**30, 7),
        ]
    with open(tmp_path / "large", "rb") as file:
        listed = archive._directory(file, os.path.getsize(tmp_path / "large"))
    assert [entry.size for entry in listed] == list(sizes)
    with pytest.raises(ModelFileError, match="checksum of manifest"):
        read_entries(tmp_path / "large")


def test_a_manifest_too_large_to_be_read_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MANIFEST", 10)
    with pytest.raises(ModelFileError, match=r"history_.*net_\.history\.clear\(\)"):
        write_entries(tmp_path / "x", (b"x" * 11, b""))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_failure_while_writing_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, broken):
    path = tmp_path / "model"
    save_model(small(), path)
    before = path.read_bytes()

    def full(*args):
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(temporary.os, broken, full)
        with pytest.raises(OSError, match="disk full"):
            save_model(small(random_state=1), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_reading_and_writing_leave_a_given_file_open(data):
    file = io.BytesIO()
    save_model(loaded(data), file)
    load_model(file)
    assert not file.closed
    assert parts(file.getvalue()) == parts(data)
