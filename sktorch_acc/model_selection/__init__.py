"""Cross-validation that keeps the classes apart."""

from sktorch_acc.model_selection._per_class import PerClassCrossValidation, cross_val_per_class_accuracy

__all__ = ["PerClassCrossValidation", "cross_val_per_class_accuracy"]
