"""The wrong formulas: each is one decorated function, in the module of its kind.

The priors are relative frequencies, estimated from the threads that the catalogue cites and not measured. They rank
formulas that give the same value, and weigh a formula against a coincidence. A second way to make the same error is a
formula of its own, with a smaller prior.
"""

from sktorch_acc.doctor.explain.formulas import (  # noqa: F401 (the formulas register themselves)
    averages,
    classes,
    comparisons,
    precision,
    thresholds,
)
from sktorch_acc.doctor.explain.formulas.formula import registered

# Equally probable formulas are ranked in the order of the catalogue.
FORMULAS = tuple(sorted(registered, key=lambda f: ("AHBC".index(f.code[4]), int(f.code[5:]))))
