"""The wrong formulas, each one decorated function in the module of its kind.

Priors are relative frequencies, guessed from the threads that the catalogue cites and not measured. They rank
formulas that give the same figure, and weigh them against an accident. A second way to make the same mistake is a
formula of its own with a smaller prior.
"""

from sktorch_acc.doctor.explain.formulas import averages, classes, comparisons, precision, thresholds
from sktorch_acc.doctor.explain.formulas.formula import Formula, registered

__all__ = ["FORMULAS", "Formula", "averages", "classes", "comparisons", "precision", "thresholds"]

# In the order of the catalogue, which decides between equally probable formulas.
FORMULAS = tuple(sorted(registered, key=lambda f: ("AHBC".index(f.code[4]), int(f.code[5:]))))
