"""Cross-validation that keeps the classes apart, and an audit of anybody's folds."""

from sktorch_acc.model_selection._audit import audit_cross_validation
from sktorch_acc.model_selection._per_class import PerClassCrossValidation, cross_val_per_class_accuracy

__all__ = ["PerClassCrossValidation", "audit_cross_validation", "cross_val_per_class_accuracy"]
