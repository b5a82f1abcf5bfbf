"""Per-class accuracy of any classifier: scores, table, report, scorers (no torch in here)."""

from sktorch_acc.metrics._history import per_class_history
from sktorch_acc.metrics._refit import refit_by
from sktorch_acc.metrics._report import classification_report
from sktorch_acc.metrics._scorers import (
    PerClassAccuracyScoring,
    per_class_accuracy_scorer,
    per_class_accuracy_scorers,
    worst_class_accuracy_scorer,
)
from sktorch_acc.metrics._scores import per_class_accuracy_score, worst_class_accuracy_score
from sktorch_acc.metrics._table import per_class_accuracy_table

__all__ = [
    "PerClassAccuracyScoring",
    "classification_report",
    "per_class_accuracy_score",
    "per_class_accuracy_scorer",
    "per_class_accuracy_scorers",
    "per_class_accuracy_table",
    "per_class_history",
    "refit_by",
    "worst_class_accuracy_score",
    "worst_class_accuracy_scorer",
]
