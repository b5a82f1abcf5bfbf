"""Models in files: one zip of JSON and safetensors, written atomically, loaded without running anything it names.

`archive` frames the file, `manifest` says what the JSON must look like, `values`, `labels` and `names` turn
Python values into JSON and back, `weights` fills modules from tensors, `saving` and `loading` take an
estimator apart and put it together. Pickle is not here: see `TorchClassifier.__getstate__`.
"""

from sktorch_acc.persistence.models import inspect_model, load_model, save_model

__all__ = ["inspect_model", "load_model", "save_model"]
