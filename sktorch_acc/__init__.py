"""PyTorch modules as scikit-learn classifiers, with an accuracy you can trust.

Names are loaded on first use, so that ``import sktorch_acc.metrics`` does not import torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "AccuracyCounter": "counts",
    "AccuracyCurveDisplay": "plots",
    "AccuracyWarning": "exceptions",
    "Diagnosis": "doctor",
    "Explanation": "doctor",
    "Finding": "findings",
    "LoopAudit": "doctor",
    "ModelFileError": "exceptions",
    "ModuleOutputError": "exceptions",
    "NonFiniteLossError": "exceptions",
    "PerClassAccuracy": "callbacks",
    "PerClassAccuracyDisplay": "plots",
    "PerClassAccuracyScoring": "metrics",
    "PerClassCrossValidation": "model_selection",
    "SktorchAccError": "exceptions",
    "TorchClassifier": "classifier",
    "TrainAccuracy": "callbacks",
    "audit_cross_validation": "model_selection",
    "audit_loop": "doctor",
    "classification_report": "metrics",
    "cross_val_per_class_accuracy": "model_selection",
    "diagnose": "doctor",
    "explain_accuracy": "doctor",
    "inspect_model": "persistence",
    "load_model": "persistence",
    "overfit_check": "doctor",
    "per_class_accuracy_score": "metrics",
    "per_class_accuracy_scorer": "metrics",
    "per_class_accuracy_scorers": "metrics",
    "per_class_accuracy_table": "metrics",
    "per_class_history": "metrics",
    "refit_by": "metrics",
    "save_model": "persistence",
    "show_versions": "_versions",
    "worst_class_accuracy_score": "metrics",
    "worst_class_accuracy_scorer": "metrics",
}

__all__ = ["__version__", *sorted(_HOME)]

if TYPE_CHECKING:
    from sktorch_acc._versions import show_versions as show_versions
    from sktorch_acc.callbacks import PerClassAccuracy as PerClassAccuracy
    from sktorch_acc.callbacks import TrainAccuracy as TrainAccuracy
    from sktorch_acc.classifier import TorchClassifier as TorchClassifier
    from sktorch_acc.counts import AccuracyCounter as AccuracyCounter
    from sktorch_acc.doctor import Diagnosis as Diagnosis
    from sktorch_acc.doctor import Explanation as Explanation
    from sktorch_acc.doctor import LoopAudit as LoopAudit
    from sktorch_acc.doctor import audit_loop as audit_loop
    from sktorch_acc.doctor import diagnose as diagnose
    from sktorch_acc.doctor import explain_accuracy as explain_accuracy
    from sktorch_acc.doctor import overfit_check as overfit_check
    from sktorch_acc.exceptions import AccuracyWarning as AccuracyWarning
    from sktorch_acc.exceptions import ModelFileError as ModelFileError
    from sktorch_acc.exceptions import ModuleOutputError as ModuleOutputError
    from sktorch_acc.exceptions import NonFiniteLossError as NonFiniteLossError
    from sktorch_acc.exceptions import SktorchAccError as SktorchAccError
    from sktorch_acc.findings import Finding as Finding
    from sktorch_acc.metrics import PerClassAccuracyScoring as PerClassAccuracyScoring
    from sktorch_acc.metrics import classification_report as classification_report
    from sktorch_acc.metrics import per_class_accuracy_score as per_class_accuracy_score
    from sktorch_acc.metrics import per_class_accuracy_scorer as per_class_accuracy_scorer
    from sktorch_acc.metrics import per_class_accuracy_scorers as per_class_accuracy_scorers
    from sktorch_acc.metrics import per_class_accuracy_table as per_class_accuracy_table
    from sktorch_acc.metrics import per_class_history as per_class_history
    from sktorch_acc.metrics import refit_by as refit_by
    from sktorch_acc.metrics import worst_class_accuracy_score as worst_class_accuracy_score
    from sktorch_acc.metrics import worst_class_accuracy_scorer as worst_class_accuracy_scorer
    from sktorch_acc.model_selection import PerClassCrossValidation as PerClassCrossValidation
    from sktorch_acc.model_selection import audit_cross_validation as audit_cross_validation
    from sktorch_acc.model_selection import cross_val_per_class_accuracy as cross_val_per_class_accuracy
    from sktorch_acc.persistence import inspect_model as inspect_model
    from sktorch_acc.persistence import load_model as load_model
    from sktorch_acc.persistence import save_model as save_model
    from sktorch_acc.plots import AccuracyCurveDisplay as AccuracyCurveDisplay
    from sktorch_acc.plots import PerClassAccuracyDisplay as PerClassAccuracyDisplay


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
