"""Model files: a zip archive of JSON and safetensors, from which no code is run.

`saving` stores a fitted estimator and `loading` builds one. `trial` builds when saving what `loading` will build, with
`rebuilding`, and `probe` compares outputs for a few rows. `manifest` declares the entries of the JSON, `version_1`
converts those of the older format, and `epochs`, `labels` and `weights` convert parts of a model to JSON or tensors
and back. The archive, strict JSON and single values are in `sktorch_acc.storage`. For pickles see
`TorchClassifier.__getstate__`.
"""

from sktorch_acc.persistence.models import inspect_model, load_model, save_model

__all__ = ["inspect_model", "load_model", "save_model"]
