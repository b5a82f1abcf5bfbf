"""A file that replaces another one when it is complete, and the deletion of those that a killed process left behind.

The writer holds a lock on its temporary file, which the system releases when the process ends, however it ends. A
temporary file that can be locked therefore has no writer any more.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows: files are not locked, and those of a killed process stay
    fcntl = None  # type: ignore[assignment]

_DIGITS = 16  # random hexadecimal digits in the name of a temporary file


def replace_file(path: Path, parts: Iterable[bytes]) -> None:
    """Write a temporary file in the folder of `path`, flush it to disk, and rename it to `path`.

    Temporary files that killed processes left for the same path are deleted.
    """
    _delete_abandoned(path)
    with _temporary(path) as (new, file):
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileNotFoundError):
            shutil.copymode(path, new)
        if fcntl is None:  # an open file cannot be renamed there
            file.close()
        os.replace(new, path)
    _sync_folder(path.parent)


@contextmanager
def _temporary(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """Make a locked temporary file for `path`; after an error it is deleted."""
    new, file = _created(path)
    with file:
        try:
            yield new, file
        except BaseException:
            if fcntl is None:
                file.close()
            new.unlink(missing_ok=True)
            raise


def _created(path: Path) -> tuple[Path, IO[bytes]]:
    """Create and lock a temporary file: another one, if a process deletes the first before it is locked."""
    while True:
        new = path.with_name(f".{path.name}.{secrets.token_hex(_DIGITS // 2)}.tmp")
        file = open(new, "xb")  # noqa: SIM115 - closed by _temporary
        try:
            if _locked(file.fileno()) is not False and os.fstat(file.fileno()).st_nlink:
                return new, file
            file.close()
        except BaseException:
            file.close()
            new.unlink(missing_ok=True)
            raise


def _locked(descriptor: int) -> bool | None:
    """Lock an open file; return whether it worked, None where files cannot be locked."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return None
    return True


def _delete_abandoned(path: Path) -> None:
    """Delete the temporary files for `path` that no process writes; an error is no reason not to save."""
    if fcntl is None:
        return
    named = re.compile(re.escape(f".{path.name}.") + f"[0-9a-f]{{{_DIGITS}}}" + re.escape(".tmp"))
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if named.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                _delete_if_abandoned(entry.path)


def _delete_if_abandoned(path: str) -> None:
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if _locked(descriptor):
                os.unlink(path)
        finally:
            os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Flush a rename to disk, on systems where a folder can be opened."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
