"""Temporary files: one that was left behind is deleted, one that is being written is not."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from sktorch_acc.storage import temporary
from sktorch_acc.storage.temporary import replace_file

fcntl = pytest.importorskip("fcntl")

ABANDONED = ".model.0123456789abcdef.tmp"
WRITER = """
import sys, time
from pathlib import Path
from sktorch_acc.storage.temporary import replace_file

def parts():
    yield b"a beginning"
    print("writing", flush=True)
    sys.stdin.read()
    yield b", and the end"

replace_file(Path(sys.argv[1]), parts())
"""


def writer_of(path):
    """Start a process that is in the middle of writing `path`."""
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "writing\n"
    return child


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_an_abandoned_file_of_the_same_path_is_deleted_and_others_are_kept(tmp_path):
    others = [
        ".model.0123456789abcdef.tmp.bak",
        ".model.0123456789ABCDEF.tmp",
        ".model.0123456789abcde.tmp",
        ".model2.0123456789abcdef.tmp",
        ".mXdel.0123456789abcdef.tmp",
        "model.0123456789abcdef.tmp",
    ]
    for name in (ABANDONED, *others):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".model.aaaaaaaaaaaaaaaa.tmp").mkdir()
    (tmp_path / ".model.bbbbbbbbbbbbbbbb.tmp").symlink_to(tmp_path / others[0])
    replace_file(tmp_path / "model", [b"1", b"2"])
    assert (tmp_path / "model").read_bytes() == b"12"
    kept = [*others, "model", ".model.aaaaaaaaaaaaaaaa.tmp", ".model.bbbbbbbbbbbbbbbb.tmp"]
    assert names(tmp_path) == sorted(kept)


def test_the_characters_of_a_name_are_no_pattern(tmp_path):
    (tmp_path / ".abb.0123456789abcdef.tmp").write_bytes(b"x")
    (tmp_path / ".a[b]*.0123456789abcdef.tmp").write_bytes(b"x")
    replace_file(tmp_path / "a[b]*", [b"1"])
    assert names(tmp_path) == [".abb.0123456789abcdef.tmp", "a[b]*"]


@pytest.mark.slow
def test_the_file_of_a_killed_writer_is_deleted_by_the_next_save(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"old")
    child = writer_of(path)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    assert path.read_bytes() == b"old"
    assert len(names(tmp_path)) == 2
    replace_file(path, [b"new"])
    assert names(tmp_path) == ["model"]
    assert path.read_bytes() == b"new"


@pytest.mark.slow
def test_the_file_of_a_writer_at_work_is_kept_and_both_saves_succeed(tmp_path):
    path = tmp_path / "model"
    child = writer_of(path)
    replace_file(path, [b"mine"])
    assert path.read_bytes() == b"mine"
    assert len(names(tmp_path)) == 2
    child.communicate("")
    assert child.returncode == 0
    assert names(tmp_path) == ["model"]
    assert path.read_bytes() == b"a beginning, and the end"


def test_two_threads_that_save_to_one_path_delete_nothing_of_each_other(tmp_path):
    path, errors = tmp_path / "model", []
    wanted = [b"a" * 1000, b"b" * 1000]

    def save(content):
        try:
            for _ in range(100):
                replace_file(path, [content[:500], content[500:]])
                assert path.read_bytes() in wanted
        except BaseException as err:
            errors.append(err)

    threads = [threading.Thread(target=save, args=(content,)) for content in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert names(tmp_path) == ["model"]


@pytest.mark.parametrize("deleted", [False, True])
def test_a_file_that_another_process_is_about_to_delete_is_not_used(tmp_path, monkeypatch, deleted):
    """The other process has locked it, or deleted it already, before its writer could lock it."""
    path, real, seen = tmp_path / "model", temporary._locked, []

    def locked(descriptor):
        (name,) = (name for name in names(tmp_path) if name.endswith(".tmp"))
        seen.append(name)
        if len(seen) > 1:
            return real(descriptor)
        with open(tmp_path / name, "r+b") as other:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            result = None if deleted else real(descriptor)
            os.unlink(tmp_path / name)
        return real(descriptor) if deleted else result

    monkeypatch.setattr(temporary, "_locked", locked)
    replace_file(path, [b"new"])
    assert len(set(seen)) == 2
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["model"]


def test_without_locks_a_file_is_written_and_none_is_deleted(tmp_path, monkeypatch):
    def unsupported(*args):
        raise OSError("no locks")

    monkeypatch.setattr(temporary.fcntl, "flock", unsupported)
    (tmp_path / ABANDONED).write_bytes(b"x")
    replace_file(tmp_path / "model", [b"new"])
    assert names(tmp_path) == [ABANDONED, "model"]
    monkeypatch.setattr(temporary, "fcntl", None)
    replace_file(tmp_path / "model", [b"newer"])
    assert names(tmp_path) == [ABANDONED, "model"]
    assert (tmp_path / "model").read_bytes() == b"newer"


def test_a_failure_leaves_the_old_file_alone_and_nothing_else(tmp_path, monkeypatch):
    def parts():
        yield b"a beginning"
        raise OSError("disk full")

    for module in (temporary.fcntl, None):
        monkeypatch.setattr(temporary, "fcntl", module)
        (tmp_path / "model").write_bytes(b"old")
        with pytest.raises(OSError, match="disk full"):
            replace_file(tmp_path / "model", parts())
        assert names(tmp_path) == ["model"]
        assert (tmp_path / "model").read_bytes() == b"old"
