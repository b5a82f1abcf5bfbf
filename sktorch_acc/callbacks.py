"""Callbacks for `TorchClassifier` and for a plain skorch net."""

from sktorch_acc.engine.recording import PerClassAccuracy, TrainAccuracy

__all__ = ["PerClassAccuracy", "TrainAccuracy"]
