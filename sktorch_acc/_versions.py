"""Versions for bug reports."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("sktorch-acc", "torch", "scikit-learn", "skorch", "numpy", "pandas", "scipy", "matplotlib", "rich")


def show_versions() -> None:
    """Print the versions of Python, the packages and the accelerator, for a bug report.

    Examples
    --------
    >>> show_versions()  # doctest: +ELLIPSIS
    python ...
    """
    print(f"{'python':<13} {sys.version.split()[0]}, {platform.platform()}")
    for name in _PACKAGES:
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "not installed"
        print(f"{name:<13} {found}")
    import torch  # here, because importing this module must not import torch

    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else "none"
    print(f"{'accelerator':<13} {accelerator}; {torch.get_num_threads()} threads")
