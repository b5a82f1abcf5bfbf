"""Find the error behind a wrong accuracy, also in training loops without this library.

`explain`: which formula gives this accuracy? `diagnosis`: what is wrong with this module, its data and its
training? `audit`: what does this loop do while it runs?
"""

from sktorch_acc.doctor.audit.audit import LoopAudit as LoopAudit
from sktorch_acc.doctor.audit.audit import audit_loop as audit_loop
from sktorch_acc.doctor.diagnosis.diagnose import diagnose as diagnose
from sktorch_acc.doctor.diagnosis.diagnose import overfit_check as overfit_check
from sktorch_acc.doctor.explain.explain import Explanation as Explanation
from sktorch_acc.doctor.explain.explain import explain_accuracy as explain_accuracy
from sktorch_acc.doctor.explain.ranking import Candidate as Candidate
from sktorch_acc.findings import Diagnosis as Diagnosis
