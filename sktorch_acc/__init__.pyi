"""The public names: where they are, for type checkers and for the lazy loading in __init__.py."""

from ._versions import show_versions as show_versions
from .callbacks import PerClassAccuracy as PerClassAccuracy
from .callbacks import TrainAccuracy as TrainAccuracy
from .classifier import TorchClassifier as TorchClassifier
from .counts import AccuracyCounter as AccuracyCounter
from .doctor import Diagnosis as Diagnosis
from .doctor import Explanation as Explanation
from .doctor import LoopAudit as LoopAudit
from .doctor import audit_loop as audit_loop
from .doctor import diagnose as diagnose
from .doctor import explain_accuracy as explain_accuracy
from .doctor import overfit_check as overfit_check
from .exceptions import AccuracyWarning as AccuracyWarning
from .exceptions import ModelFileError as ModelFileError
from .exceptions import ModuleOutputError as ModuleOutputError
from .exceptions import NonFiniteLossError as NonFiniteLossError
from .exceptions import SktorchAccError as SktorchAccError
from .findings import Finding as Finding
from .metrics import PerClassAccuracyScoring as PerClassAccuracyScoring
from .metrics import classification_report as classification_report
from .metrics import per_class_accuracy_score as per_class_accuracy_score
from .metrics import per_class_accuracy_scorer as per_class_accuracy_scorer
from .metrics import per_class_accuracy_scorers as per_class_accuracy_scorers
from .metrics import per_class_accuracy_table as per_class_accuracy_table
from .metrics import per_class_history as per_class_history
from .metrics import refit_by as refit_by
from .metrics import worst_class_accuracy_score as worst_class_accuracy_score
from .metrics import worst_class_accuracy_scorer as worst_class_accuracy_scorer
from .model_selection import PerClassCrossValidation as PerClassCrossValidation
from .model_selection import audit_cross_validation as audit_cross_validation
from .model_selection import cross_val_per_class_accuracy as cross_val_per_class_accuracy
from .persistence import inspect_model as inspect_model
from .persistence import load_model as load_model
from .persistence import save_model as save_model
from .plots import AccuracyCurveDisplay as AccuracyCurveDisplay
from .plots import PerClassAccuracyDisplay as PerClassAccuracyDisplay

__version__: str
