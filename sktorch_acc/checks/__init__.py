"""Every check of the library, once each: pure functions from facts to a `Finding` or None.

Every function without an underscore is a check, or facts for one. Nothing is run here: `engine.probe` gathers the facts before epoch 1 and raises, the doctor gathers them
from anybody's module and reports.
"""
