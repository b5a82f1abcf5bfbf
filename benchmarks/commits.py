"""The package of another commit beside the one at hand: each is imported by processes of its own.

Only `sktorch_acc` comes from the other commit. What measures and compares it (`benchmarks`, `tests`) comes from
the working tree for both, so it may use the public interface alone.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["TREE", "check_import", "package_of", "start"]

TREE = Path(__file__).parents[1]
_PACKAGE = "sktorch_acc"


@contextmanager
def package_of(commit: str) -> Iterator[Path]:
    """Yield a temporary folder that holds the package as it was at a commit, and nothing else.

    ``git archive`` rather than ``git worktree``: an interrupt leaves nothing behind in the repository.
    """
    archive = _archive(commit)
    with tempfile.TemporaryDirectory(prefix="sktorch-acc-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        yield Path(folder)


def _archive(commit: str) -> bytes:
    """Return the package at a commit as a tar file."""
    if commit.startswith("-"):  # git would read it as an option
        raise SystemExit(f"--against {commit}: not the name of a commit.")
    command = ["git", "-C", str(TREE), "archive", "--format=tar", commit, _PACKAGE]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        raise SystemExit("--against needs git to read the other commit, but there is no git on the PATH.") from None
    if done.returncode:
        reason = done.stderr.decode().strip()
        raise SystemExit(
            f"--against {commit}: git found no {_PACKAGE} at this commit ({reason}). Name a commit that `git log` "
            "lists; a shallow clone holds the newest only (git fetch --unshallow)."
        )
    return done.stdout


def start(package: Path, module: str, *arguments: str, **pipes: Any) -> subprocess.Popen[str]:
    """Start a module of the working tree in a process that imports the package in a folder."""
    paths = [str(package), str(TREE), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", module, *arguments]  # -P: the folder it is started in is not searched
    return subprocess.Popen(command, env=environment, text=True, **pipes)


def check_import() -> None:
    """Make sure that a process started by `start` imports the package it was started for.

    Raises
    ------
    ImportError
        If it imports another.
    """
    import sktorch_acc

    wanted = Path(os.environ["PYTHONPATH"].split(os.pathsep)[0]).resolve()
    found = Path(sktorch_acc.__file__).resolve()
    if not found.is_relative_to(wanted):
        raise ImportError(f"{found} was imported, but the package of {wanted} is to be measured.")
