"""Name the mistake behind a wrong accuracy, in anybody's loop.

`reading` turns outputs and targets into a `problem`, `reported` reads the printed figure; `formulas` is the
table of wrong formulas, computed in `averages`, `precision` and `comparisons`; `ranking` says how probable
each is; `explain` is the public function. Nothing here looks at a module or trains one.
"""

from sktorch_acc.doctor.explain import Explanation, explain_accuracy
from sktorch_acc.doctor.ranking import Candidate

__all__ = ["Candidate", "Explanation", "explain_accuracy"]
