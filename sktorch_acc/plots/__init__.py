"""Plots of accuracies, with scikit-learn's conventions for Displays (matplotlib is required)."""

from sktorch_acc.plots._curves import AccuracyCurveDisplay
from sktorch_acc.plots._per_class import PerClassAccuracyDisplay

__all__ = ["AccuracyCurveDisplay", "PerClassAccuracyDisplay"]
