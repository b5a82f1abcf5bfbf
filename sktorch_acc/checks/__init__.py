"""Every check of the library, once each: pure functions from facts to a `Finding` or None.

Nothing is run here: `engine.probe` gathers the facts before epoch 1 and raises, the doctor gathers them
from anybody's module and reports.
"""
