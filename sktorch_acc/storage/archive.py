"""The file format: a zip archive of two entries, of which every byte is verified.

The entries are not compressed, so that reading a file takes no more memory than its size. The names, sizes and
checksums of the entries determine all other bytes. The reader computes these bytes and compares them, so that a file
with another entry, path, link or comment, or with a changed bit, is refused.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sktorch_acc.exceptions import ModelFileError
from sktorch_acc.storage.temporary import replace_file

NAMES = ("manifest.json", "weights.safetensors")
MAX_MANIFEST = 64 * 2**20
Source = str | os.PathLike[str] | IO[bytes]

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_MAX_DIRECTORY = 64 * 2**10  # bytes; that of a model file takes 130
_FULL = 0xFFFFFFFF  # means that the value is in the zip64 record
_DATE = 1 << 5 | 1  # 1980-01-01: the same content gives the same file
_MODE = (stat.S_IFREG | 0o644) << 16


@dataclass(frozen=True)
class _Entry:
    name: str
    size: int
    crc: int
    stored_size: int = 0
    method: int = 0
    flags: int = 0
    mode: int = 0


def _frame(entries: Sequence[_Entry]) -> tuple[list[bytes], bytes]:
    """Return the header before each entry, and the bytes after the last entry."""
    headers, directory, offset = [], b"", 0
    for entry in entries:
        name, large = entry.name.encode(), entry.size >= _FULL
        version, size = (45, _FULL) if large else (20, entry.size)
        extra = struct.pack("<2H2Q", 1, 16, entry.size, entry.size) if large else b""
        # version, flags, method (stored), time, date, crc, sizes, lengths of name and extra
        shared = (version, 0, 0, 0, _DATE, entry.crc, size, size, len(name), len(extra))
        headers.append(_LOCAL.pack(b"PK\3\4", *shared) + name + extra)
        central = _CENTRAL.pack(b"PK\1\2", 3 << 8 | version, *shared, 0, 0, 0, _MODE, offset)
        directory += central + name + extra
        offset += len(headers[-1]) + entry.size
    count, size, start = len(entries), len(directory), offset
    end64 = b""
    if offset >= _FULL:
        end64 = _END64.pack(b"PK\6\6", _END64.size - 12, 3 << 8 | 45, 45, 0, 0, count, count, size, offset)
        end64 += _LOCATOR.pack(b"PK\6\7", 0, offset + size, 1)
        start = _FULL
    return headers, directory + end64 + _END.pack(b"PK\5\6", 0, 0, count, count, size, start, 0)


# ------------------------------------------------------------ writing


def write_entries(target: Source, contents: Sequence[bytes]) -> None:
    """Write the contents of the two entries, in the order of `NAMES`.

    A path is replaced atomically: after a crash it holds the old file or the new one.

    Raises
    ------
    ModelFileError
        If the manifest is larger than `read_entries` accepts.
    OSError
        If the file cannot be written.
    """
    if len(contents[0]) > MAX_MANIFEST:
        raise ModelFileError(
            f"The manifest would take {len(contents[0])} bytes, but at most {MAX_MANIFEST} can be loaded. Large parts "
            "are classes_, history_ and what callbacks recorded in net_.history; clf.net_.history.clear() deletes the "
            "latter."
        )
    entries = [_Entry(name, len(data), zlib.crc32(data)) for name, data in zip(NAMES, contents, strict=True)]
    headers, tail = _frame(entries)
    parts = [part for pair in zip(headers, contents, strict=True) for part in pair]
    if isinstance(target, (str, os.PathLike)):
        replace_file(Path(os.path.realpath(target)), [*parts, tail])
    else:
        for part in [*parts, tail]:
            target.write(part)


# ------------------------------------------------------------ reading


def read_entries(source: Source) -> tuple[bytes, bytes]:
    """Return the manifest and the weights of a file, with every byte verified.

    Raises
    ------
    ModelFileError
        If the file is not as `write_entries` writes it; the message says what is wrong.
    OSError
        If the file cannot be read.
    """
    with _opened(source) as file:
        size = file.seek(0, os.SEEK_END)
        entries = _directory(file, size)
        _check_entries(entries)
        entries.sort(key=lambda entry: NAMES.index(entry.name))
        content_size = sum(entry.size for entry in entries)
        headers, tail = _frame(entries) if content_size < size else ([], b"")
        if sum(map(len, headers)) + content_size + len(tail) != size:
            raise ModelFileError(
                f"The file has {size} bytes, but the sizes that it declares do not add up to that: "
                f"{', '.join(f'{entry.name} {entry.size}' for entry in entries)}. {_AGAIN}"
            )
        file.seek(0)
        manifest, weights = (_read_entry(file, *pair) for pair in zip(entries, headers, strict=True))
        if file.read(len(tail)) != tail:
            raise ModelFileError(f"The directory at the end of the file is not as save_model writes it. {_AGAIN}")
    return manifest, weights


_AGAIN = "It is damaged, or save_model did not write it: save the model again."


@contextmanager
def _opened(source: Source) -> Any:
    """Open a path; yield a binary file as it is."""
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            yield file
    else:
        yield source


def _read_exactly(file: IO[bytes], start: int, size: int) -> bytes:
    if start < 0:
        raise ModelFileError(f"This is not a complete model file. {_AGAIN}")
    file.seek(start)
    data = file.read(size)
    if len(data) != size:
        raise ModelFileError(f"The file ends before byte {start + size}: it is truncated. Copy or save it again.")
    return data


def _directory(file: IO[bytes], size: int) -> list[_Entry]:
    """Return the entries that the directory of the zip lists, unverified."""
    end_at = size - _END.size
    end = _read_exactly(file, end_at, _END.size) if end_at >= 0 else b""
    if end[:4] != b"PK\5\6" or end[-2:] != b"\0\0":
        file.seek(0)
        raise ModelFileError(_not_an_archive(file.read(8)))
    _, _, _, _, _, length, start, _ = _END.unpack(end)
    if start == _FULL:
        record_at = end_at - _LOCATOR.size - _END64.size
        *_, length, start = _END64.unpack(_read_exactly(file, record_at, _END64.size))
    if length > _MAX_DIRECTORY or start + length > size:
        raise ModelFileError(
            f"The zip's directory declares {length} bytes at byte {start} of {size}; that of a model file takes about "
            f"130. {_AGAIN}"
        )
    data, entries, at = _read_exactly(file, start, length), [], 0
    while at < length:
        entry, at = _central(data, at)
        entries.append(entry)
    return entries


def _not_an_archive(beginning: bytes) -> str:
    if beginning[:1] == b"\x80":
        return (
            "The file is a pickle, which runs code when it is loaded: load_model does not unpickle. If you trust it, "
            "load it with joblib.load(path) and save the estimator with save_model."
        )
    if beginning[:2] == b"PK":
        return "The file begins as a zip but does not end as one: it is truncated or damaged. Copy or save it again."
    return f"The file is not a model file: it begins with {beginning!r}. Pass a file that save_model wrote."


def _central(data: bytes, at: int) -> tuple[_Entry, int]:
    """Return the entry of the directory at an offset, and the offset of the next entry."""
    if data[at : at + 4] != b"PK\1\2" or at + _CENTRAL.size > len(data):
        raise ModelFileError(f"The zip's directory cannot be read from its byte {at} on. {_AGAIN}")
    fields = _CENTRAL.unpack_from(data, at)
    _, _, _, flags, method, _, _, crc, stored, size, name_length, extra_length, comment_length, _, _, mode, _ = fields
    start = at + _CENTRAL.size
    stop = start + name_length + extra_length + comment_length
    extra = data[start + name_length : start + name_length + extra_length]
    if size == _FULL and len(extra) == 20:
        _, _, size, stored = struct.unpack("<2H2Q", extra)
    name = data[start : start + name_length].decode("utf-8", "backslashreplace")
    return _Entry(name, size, crc, stored, method, flags, mode >> 16), stop


def _check_entries(entries: Sequence[_Entry]) -> None:
    """Raise an error unless the directory lists the two entries, each once, as uncompressed regular files."""
    names = [entry.name for entry in entries]
    for entry in entries:
        fault = _fault(entry)
        if fault:
            raise ModelFileError(f"The file holds {entry.name!r}, {fault}. {_ONLY}")
        if names.count(entry.name) > 1:
            raise ModelFileError(f"The file holds {entry.name!r} {names.count(entry.name)} times. {_ONLY}")
    missing = [name for name in NAMES if name not in names]
    if missing:
        raise ModelFileError(f"The file lacks {missing}. {_ONLY}")
    size = entries[names.index(NAMES[0])].size
    if size > MAX_MANIFEST:
        raise ModelFileError(f"manifest.json declares {size} bytes; at most {MAX_MANIFEST} are read.")


_ONLY = f"A model file holds {NAMES[0]} and {NAMES[1]}, each once. save_model did not write this file."


def _fault(entry: _Entry) -> str | None:
    """Describe what is wrong with an entry; None if it is valid."""
    parts = entry.name.replace("\\", "/").split("/")
    if ".." in parts or parts[0] == "" or ":" in parts[0]:
        return "a path that leaves the archive"
    if stat.S_ISLNK(entry.mode):
        return "a symbolic link"
    if entry.name.endswith((".pkl", ".pickle", ".joblib")):
        return "a pickle, which would run code"
    if entry.name not in NAMES:
        return "which does not belong there"
    if entry.flags & 1:
        return "which is encrypted"
    if entry.method:
        return f"which is compressed (method {entry.method}) from {entry.size} to {entry.stored_size} bytes"
    if entry.stored_size != entry.size:
        return f"which declares two sizes, {entry.size} and {entry.stored_size} bytes"
    return None


def _read_entry(file: IO[bytes], entry: _Entry, header: bytes) -> bytes:
    if file.read(len(header)) != header:
        raise ModelFileError(f"The header of {entry.name} is not as save_model writes it. {_AGAIN}")
    data = file.read(entry.size)
    if len(data) != entry.size or zlib.crc32(data) != entry.crc:
        raise ModelFileError(f"The checksum of {entry.name} does not fit its {entry.size} bytes: it is damaged.")
    return data
