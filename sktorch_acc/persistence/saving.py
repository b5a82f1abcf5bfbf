"""Convert a fitted estimator to a manifest and tensors; raise an error for parts that could not be loaded again."""

from __future__ import annotations

import functools
import hashlib
import platform
from dataclasses import asdict
from typing import Any

import numpy as np
import safetensors
import sklearn
import torch
from torch import nn

from sktorch_acc._pickling import own_version
from sktorch_acc.classifier import TorchClassifier
from sktorch_acc.engine.state import TrainingState
from sktorch_acc.exceptions import ModelFileError
from sktorch_acc.observers.sklearn_tasks import has_callbacks
from sktorch_acc.persistence.epochs import epochs_to_json
from sktorch_acc.persistence.labels import labels_to_json
from sktorch_acc.persistence.manifest import manifest_to_bytes
from sktorch_acc.persistence.trial import REFIT, built_again, recorded_outputs
from sktorch_acc.persistence.weights import frozen_names, tensors_of
from sktorch_acc.storage.names import is_named, name_of
from sktorch_acc.storage.tensors import pack, table_of
from sktorch_acc.storage.values import Writer

_KNOWN = {
    *("_nested", "_state", "_net", "_skl_callbacks", "_metadata_request", "n_features_in_", "feature_names_in_"),
    *("classes_", "class_count_", "n_iter_", "best_epoch_", "history_"),
}


def contents(clf: TorchClassifier, with_optimizer: bool) -> tuple[bytes, bytes]:
    """Return the two parts of the model file of a fitted estimator: manifest and weights.

    Raises
    ------
    ModelFileError
        If a part of the estimator cannot be stored.
    """
    state = clf._state
    model = state.model
    params = clf.get_params(deep=False)
    _refuse_extras(clf, params)
    module = _module_entry(params.pop("module"), model.module)
    _check_callbacks(params["callbacks"], clf)
    writer = Writer()
    parameters = {name: writer.encode(value, name) for name, value in params.items()}
    epochs, counts = epochs_to_json(state.rows)
    tensors = {**tensors_of(model.module, "module."), **tensors_of(model.criterion, "criterion."), **counts}
    again = built_again(clf)
    probe, outputs = recorded_outputs(clf, tensors)
    tensors |= outputs
    optimizer = _optimizer_state(state, again, writer) if with_optimizer else None
    record = writer.encode(list(clf.net_.history), "net_.history") if params["callbacks"] and clf.callbacks_ else None
    tensors |= writer.tensors
    weights = pack(tensors)
    manifest = dict(
        versions=_versions(),
        module=module,
        parameters=parameters,
        **_facts(clf),
        training=_training(state, writer, continued=with_optimizer and state.continued),
        epochs=epochs,
        callback_record=record,
        requests=_requests(clf),
        optimizer=optimizer,
        tensors=table_of(tensors),
        frozen=frozen_names(model.module),
        weights={"size": len(weights), "sha256": hashlib.sha256(weights).hexdigest()},
        extensions=probe,
    )
    return manifest_to_bytes(manifest), weights


# ------------------------------------------------------------ what is stored


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "sktorch-acc": own_version(),
        "torch": torch.__version__,
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
        "safetensors": safetensors.__version__,
    }


def _facts(clf: TorchClassifier) -> dict[str, Any]:
    """Return what `fit` learned about X and y."""
    names = getattr(clf, "feature_names_in_", None)
    model = clf._state.model
    return {
        "classes": labels_to_json(clf.classes_),
        "class_count": [int(count) for count in clf.class_count_],
        "n_features": int(clf.n_features_in_),
        "feature_names": None if names is None else [str(name) for name in names],
        "schema": model.schema.to_state(),
        "output": asdict(model.spec),
    }


def _training(state: TrainingState, writer: Writer, *, continued: bool) -> dict[str, Any]:
    return {
        "device": str(state.model.device),
        "dtype": str(state.model.dtype).removeprefix("torch."),
        "seed": state.seed,
        "lr": writer.encode(state.lr, "lr"),
        "n_threads": state.model.n_threads,
        "best_epoch": state.best_epoch,
        "continued": continued,
    }


def _requests(clf: TorchClassifier) -> dict[str, dict[str, Any]]:
    """Return the metadata requests (``set_fit_request`` and so on)."""
    if "_metadata_request" not in vars(clf):
        return {}
    routing = clf.get_metadata_routing()
    methods = [name for name in ("fit", "partial_fit", "score") if hasattr(routing, name)]
    return {name: dict(getattr(routing, name).requests) for name in methods}


def _optimizer_state(state: TrainingState, again: torch.optim.Optimizer, writer: Writer) -> dict[str, Any]:
    if state.optimizer is None:
        raise ModelFileError(
            "with_optimizer=True, but this estimator has no optimizer any more: it was loaded without one. Save with "
            "with_optimizer=False; partial_fit then starts with a new optimizer."
        )
    if type(state.optimizer) is not type(again):
        raise ModelFileError(
            f"optimizer is no longer {type(state.optimizer).__name__}, whose state is to be stored. {REFIT}"
        )
    encoded: dict[str, Any] = writer.encode(state.optimizer.state_dict(), "the state of the optimizer")
    return encoded


# ------------------------------------------------------------ what cannot be stored


def _refuse_extras(clf: TorchClassifier, params: dict[str, Any]) -> None:
    """Raise an error for what only a pickle stores: a subclass, callbacks of scikit-learn, other attributes."""
    if type(clf) is not TorchClassifier:
        raise ModelFileError(
            f"save_model stores a TorchClassifier, not its subclass {type(clf).__name__}, which load_model could not "
            "build. Pickle it, or move what the subclass adds into the module."
        )
    if has_callbacks(clf):
        raise ModelFileError(
            "The estimator has callbacks of scikit-learn (set_callbacks), whose state a model file cannot hold. "
            "Call clf.set_callbacks() before saving."
        )
    extra = sorted(set(vars(clf)) - set(params) - _KNOWN)
    if extra:
        raise ModelFileError(
            f"The estimator has attributes that fit did not set: {extra[:5]}, which a model file cannot hold. Delete "
            f"them (del clf.{extra[0]}) and keep them elsewhere."
        )


def _module_entry(module: Any, trained: nn.Module) -> dict[str, Any]:
    """Return the kind of the parameter `module`, and the name of the class or function that `load_model` needs."""
    if module is None:
        return {"kind": "bundled", "name": None}
    if isinstance(module, nn.Module):
        return {"kind": "instance", "name": name_of(type(trained))}
    kind = "class" if isinstance(module, type) else "function" if is_named(module) else "object"
    target = module
    while isinstance(target, functools.partial):
        kind, target = "partial", target.func
    if not is_named(target):
        target = type(target)
    name = name_of(target)
    if name is None:
        raise ModelFileError(
            "module is a lambda, which cannot be stored by name. Write it as a function with def and fit again, or "
            "pass the class and its arguments as module__<name>."
        )
    return {"kind": kind, "name": name}


def _check_callbacks(callbacks: Any, clf: TorchClassifier) -> None:
    """Raise an error for callbacks with a state."""
    for i, item in enumerate(callbacks or []):
        callback = item[1] if isinstance(item, (tuple, list)) else item
        if not (callback is None or isinstance(callback, type)):
            raise ModelFileError(
                f"callbacks[{i}] is an instance of {type(callback).__name__}, whose state a model file cannot hold. "
                f"{_WITHOUT}"
            )
    for name, callback in clf.callbacks_ if callbacks else []:
        state = sorted(set(vars(callback)) - set(callback.get_params(deep=False)))
        if state:
            raise ModelFileError(
                f"The callback {name!r} has a state, which a model file cannot hold: {state[:5]}. {_WITHOUT}"
            )


_WITHOUT = (
    "Predictions do not depend on callbacks: call clf.set_params(callbacks=None) before saving, and set them again "
    "after loading."
)
