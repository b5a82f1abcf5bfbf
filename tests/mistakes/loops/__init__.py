"""Common mistakes that show only while a loop runs, and correct counterparts: a file per topic."""

from tests.mistakes.loops import accuracies, gradients, graphs, kinds, metrics, modes, updates  # noqa: F401
from tests.mistakes.loops.common import CLEAN, MISTAKES, batches, count, parts, step

__all__ = ["CLEAN", "MISTAKES", "batches", "count", "parts", "step"]
