"""Cross-validation with the accuracy of each class, and an audit of a cross-validation."""

from sktorch_acc.model_selection._audit import audit_cross_validation
from sktorch_acc.model_selection._per_class import PerClassCrossValidation, cross_val_per_class_accuracy

__all__ = ["PerClassCrossValidation", "audit_cross_validation", "cross_val_per_class_accuracy"]
