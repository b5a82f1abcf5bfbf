"""Run the package of another commit and that of the working tree in separate processes.

Only `sktorch_acc` is taken from the other commit. The code that measures and compares (`benchmarks`, `tests`) is that
of the working tree for both, and so uses public names only.
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
    """Yield a temporary folder that contains only the package at a commit.

    This uses ``git archive`` instead of ``git worktree``, because an interrupt then leaves nothing in the repository.
    """
    archive = _archive(commit)
    with tempfile.TemporaryDirectory(prefix="sktorch-acc-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        yield Path(folder)


def _archive(commit: str) -> bytes:
    """Return the package at a commit as a tar file."""
    if commit.startswith("-"):  # git would read it as an option
        raise SystemExit(f"--against {commit}: this is not the name of a commit.")
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
    command = [sys.executable, "-P", "-m", module, *arguments]  # -P: do not import from the current folder
    return subprocess.Popen(command, env=environment, text=True, **pipes)


def check_import() -> None:
    """Check that a process started by `start` imports the package that it was started for.

    Raises
    ------
    ImportError
        If it imports another package.
    """
    import sktorch_acc

    wanted = Path(os.environ["PYTHONPATH"].split(os.pathsep)[0]).resolve()
    found = Path(sktorch_acc.__file__).resolve()
    if not found.is_relative_to(wanted):
        raise ImportError(f"The package in {wanted} is to be measured, but {found} was imported.")
