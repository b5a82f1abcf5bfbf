"""PyTorch modules as scikit-learn classifiers, with an accuracy you can trust.

Names are loaded on first use, so that ``import sktorch_acc.metrics`` does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "AccuracyCounter": "counts",
    "AccuracyWarning": "exceptions",
    "Finding": "findings",
    "ModelFileError": "exceptions",
    "ModuleOutputError": "exceptions",
    "NonFiniteLossError": "exceptions",
    "SktorchAccError": "exceptions",
    "TorchClassifier": "classifier",
    "inspect_model": "persistence",
    "load_model": "persistence",
    "save_model": "persistence",
}

__all__ = ["__version__", *sorted(_HOME)]

if TYPE_CHECKING:
    from sktorch_acc.classifier import TorchClassifier as TorchClassifier
    from sktorch_acc.counts import AccuracyCounter as AccuracyCounter
    from sktorch_acc.exceptions import AccuracyWarning as AccuracyWarning
    from sktorch_acc.exceptions import ModelFileError as ModelFileError
    from sktorch_acc.exceptions import ModuleOutputError as ModuleOutputError
    from sktorch_acc.exceptions import NonFiniteLossError as NonFiniteLossError
    from sktorch_acc.exceptions import SktorchAccError as SktorchAccError
    from sktorch_acc.findings import Finding as Finding
    from sktorch_acc.persistence import inspect_model as inspect_model
    from sktorch_acc.persistence import load_model as load_model
    from sktorch_acc.persistence import save_model as save_model


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
