"""The command ``sktorch-acc``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sktorch_acc import __version__

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status.

    Parameters
    ----------
    arguments : sequence of str or None, default=None
        Command-line arguments; None: those of this process.

    Returns
    -------
    status : int
        0 on success.
    """
    parser = argparse.ArgumentParser(prog="sktorch-acc", description=__doc__)
    parser.add_argument("--version", action="version", version=f"sktorch-acc {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("demo", help="cross-validate a PyTorch module on a real table (under a minute)")
    parser.parse_args(arguments)
    from sktorch_acc.cli.demo import run_demo

    run_demo()
    return 0
