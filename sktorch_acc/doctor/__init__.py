"""Find the error behind a wrong accuracy, also in training loops without this library.

`explain`: which formula gives this accuracy? `diagnosis`: what is wrong with this module, its data and its
training? `audit`: what does this loop do while it runs?
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
