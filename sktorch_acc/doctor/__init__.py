"""Name the mistake behind a wrong accuracy, in anybody's loop.

Two questions. *Which formula gives this figure?* `reading` turns outputs and targets into a `problem`,
`reported` reads the printed figure; `formulas` is the table of wrong formulas, computed in `averages`,
`precision` and `comparisons`; `ranking` says how probable each is; `explain` is the public function.

*What is wrong with this module, its data and its training?* `subject` says who is examined, `guard` keeps
it as it was, `measure` runs it in the ways that tell mistakes apart, `examine` asks the checks, `memorise`
trains a copy on a few rows; `diagnose` holds the public functions.

*What does this loop do while it runs?* `hooks` are taken off again and change nothing; `watching` turns them into
counts, with `gradients`, `graphs`, `modes` and, for a metric object, `metering`; `figures` compares the counts with
what the loop reports; `audit` holds the public function.
"""

from sktorch_acc.doctor.audit import LoopAudit, audit_loop
from sktorch_acc.doctor.diagnose import diagnose, overfit_check
from sktorch_acc.doctor.explain import Explanation, explain_accuracy
from sktorch_acc.doctor.ranking import Candidate
from sktorch_acc.findings import Diagnosis

__all__ = [
    "Candidate",
    "Diagnosis",
    "Explanation",
    "LoopAudit",
    "audit_loop",
    "diagnose",
    "explain_accuracy",
    "overfit_check",
]
