"""PyTorch modules as scikit-learn classifiers, with an accuracy you can trust.

Names are loaded on first use, so that ``import sktorch_acc.metrics`` does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "AccuracyCurveDisplay": "plots",
    "AccuracyWarning": "exceptions",
    "Finding": "findings",
    "ModuleOutputError": "exceptions",
    "NonFiniteLossError": "exceptions",
    "PerClassAccuracyDisplay": "plots",
    "PerClassAccuracyScoring": "metrics",
    "PerClassCrossValidation": "model_selection",
    "SktorchAccError": "exceptions",
    "classification_report": "metrics",
    "cross_val_per_class_accuracy": "model_selection",
    "per_class_accuracy_score": "metrics",
    "per_class_accuracy_scorer": "metrics",
    "per_class_accuracy_scorers": "metrics",
    "per_class_accuracy_table": "metrics",
    "per_class_history": "metrics",
    "refit_by": "metrics",
    "worst_class_accuracy_score": "metrics",
    "worst_class_accuracy_scorer": "metrics",
}

__all__ = ["__version__", *sorted(_HOME)]

if TYPE_CHECKING:
    from sktorch_acc.exceptions import (
        AccuracyWarning,
        ModuleOutputError,
        NonFiniteLossError,
        SktorchAccError,
    )
    from sktorch_acc.findings import Finding
    from sktorch_acc.metrics import (
        PerClassAccuracyScoring,
        classification_report,
        per_class_accuracy_score,
        per_class_accuracy_scorer,
        per_class_accuracy_scorers,
        per_class_accuracy_table,
        per_class_history,
        refit_by,
        worst_class_accuracy_score,
        worst_class_accuracy_scorer,
    )
    from sktorch_acc.model_selection import (
        PerClassCrossValidation,
        cross_val_per_class_accuracy,
    )
    from sktorch_acc.plots import (
        AccuracyCurveDisplay,
        PerClassAccuracyDisplay,
    )


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
