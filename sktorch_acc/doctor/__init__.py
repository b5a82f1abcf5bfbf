"""Name the mistake behind a wrong accuracy, in anybody's loop: three questions, a room for each.

*Which formula gives this figure?* `explaining`. *What is wrong with this module, its data and its training?*
`diagnosing`. *What does this loop do while it runs?* `auditing`.
"""

from sktorch_acc.doctor.audit.audit import LoopAudit, audit_loop
from sktorch_acc.doctor.diagnosis.diagnose import diagnose, overfit_check
from sktorch_acc.doctor.explain.explain import Explanation, explain_accuracy
from sktorch_acc.doctor.explain.ranking import Candidate
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
