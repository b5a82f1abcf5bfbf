"""Build an estimator from a verified manifest and verified tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import sklearn
import torch
from torch import nn

from sktorch_acc._global_state import isolated
from sktorch_acc.classifier import TorchClassifier
from sktorch_acc.data import FeatureSchema, Labels
from sktorch_acc.engine.build import build_criterion, build_optimizer
from sktorch_acc.engine.interrupts import Interrupts
from sktorch_acc.engine.model import Model
from sktorch_acc.engine.settings import FitSettings
from sktorch_acc.engine.state import TrainingState
from sktorch_acc.exceptions import AccuracyWarning, ModelFileError
from sktorch_acc.modules import MLP
from sktorch_acc.outputs import output_spec
from sktorch_acc.persistence.epochs import epochs_from_json
from sktorch_acc.persistence.labels import labels_from_json
from sktorch_acc.persistence.probe import check_outputs
from sktorch_acc.persistence.rebuilding import name_of_module, rebuilt_module
from sktorch_acc.persistence.weights import build_and_fill
from sktorch_acc.storage.names import Names
from sktorch_acc.storage.tensors import Tensors
from sktorch_acc.storage.values import Reader, number

_DTYPES = ("float16", "bfloat16", "float32", "float64")
# The argument of `load_model` that a message proposes, by kind. `allow` can hold classes and functions only.
_PROPOSED = {
    "class": "module={}",
    "function": "module={}",
    "instance": "module={}(...)",
    "object": "module={}(...)",
    "partial": "module=functools.partial({}, ...)",
}
_METHODS = ("fit", "partial_fit", "score")
# In the state of torch's optimizers these values are scalars, and all others have the shape of their parameter. The
# optimizers in _OTHER_SHAPES are exceptions: their steps use no fused kernels and check shapes themselves.
_SCALARS = ("step", "eta", "mu", "mu_product")
_OTHER_SHAPES = ("LBFGS", "Adafactor")


def rebuild(
    manifest: SimpleNamespace, tensors: Tensors, module: Any, allow: Iterable[Any], device: torch.device
) -> TorchClassifier:
    """Return the estimator of a model file.

    Parameters
    ----------
    manifest, tensors : SimpleNamespace, mapping of str to Tensor
        The two parts of the file, verified.
    module : nn.Module class, factory, instance or None
        The argument of `load_model`.
    allow : iterable of classes and functions
        What names in the file may refer to.
    device : torch.device
        Device of the module.

    Returns
    -------
    clf : TorchClassifier
        Fitted.

    Raises
    ------
    ModelFileError
        If entries of the file are invalid or contradict each other, or if `module` or `allow` lacks a class.
    """
    names = Names([*allow, module] if isinstance(module, type) else allow)
    reader = Reader(tensors, names)
    params = {name: reader.decode(value, name) for name, value in manifest.parameters.items()}
    params["module"] = _chosen_module(manifest, module, names)
    if isinstance(params["module"], nn.Module):  # it is built already
        params = {name: value for name, value in params.items() if not name.startswith("module__")}
    try:
        clf = TorchClassifier(**params)
        clf._validate_params()
        with Interrupts().watching() as interrupts, isolated(device), interrupts.interruptible():
            state = _state(clf, manifest, tensors, reader, device)
        _set_requests(clf, manifest.requests)
    except (ModelFileError, AccuracyWarning):  # the latter where warnings are errors
        raise
    except Exception as err:
        raise ModelFileError(f"The estimator cannot be built from the parameters in the file: {err}") from err
    _publish(clf, manifest, state, reader)
    return clf


def _chosen_module(manifest: SimpleNamespace, module: Any, names: Names) -> Any:
    """Return the parameter `module` of the estimator; None for the bundled MLP."""
    kind, name = manifest.module["kind"], manifest.module["name"]
    if kind == "bundled":
        if module is not None:
            raise ModelFileError(
                "The file holds the bundled MLP (module=None), but load_model got a module. Leave module=None."
            )
        return None
    if kind not in _PROPOSED or name is None:
        raise ModelFileError(f"manifest.json: module must name a class or a factory, but is {manifest.module!r:.80}.")
    found = module
    if module is None and kind in ("class", "function"):
        found = MLP if name == "sktorch_acc.modules.MLP" else names.allowed(name)
    if found is None:
        what = _PROPOSED[kind].format(name.rpartition(":")[2].rpartition(".")[2])
        raise ModelFileError(
            f"The model was trained with the {kind} {name!r}, which load_model does not import. If you trust it, "
            f"import it and call load_model(path, {what})."
        )
    return found


# ------------------------------------------------------------ the training state


def _state(
    clf: TorchClassifier, manifest: SimpleNamespace, tensors: Tensors, reader: Reader, device: torch.device
) -> TrainingState:
    _check_training(manifest)
    settings = FitSettings.of(clf.get_params(deep=False), clf._nested)
    schema, labels = _schema(manifest), Labels(labels_from_json(**manifest.classes))
    criterion = build_and_fill(
        lambda: build_criterion(settings.criterion, settings.part("criterion")),
        _part(tensors, "criterion."),
        "the criterion",
        own=_is_of_torch(settings.criterion),
    )
    spec = output_spec(criterion, settings.output, len(labels.classes))
    if manifest.output != asdict(spec):
        raise ModelFileError(
            f"manifest.json: the stored outputs are {manifest.output}, but criterion, output and classes of the file "
            f"give {asdict(spec)}."
        )
    dtype = _computing_dtype(manifest, device)
    module = rebuilt_module(settings, schema, spec, dtype, _part(tensors, "module."), manifest.frozen)
    n_threads, cpu = manifest.training["n_threads"], torch.device("cpu")
    model = Model(module, criterion.to(dtype), spec, schema, labels, cpu, dtype, n_threads)
    _check_probe(manifest, settings, model, tensors)
    if device.type != "cpu":
        module.to(dtype)
    return _training_state(settings, model.to(device), manifest, tensors, reader)


def _check_training(manifest: SimpleNamespace) -> None:
    n_threads, continued = manifest.training["n_threads"], manifest.training["continued"]
    if n_threads < 1 or (continued and manifest.optimizer is None):
        raise ModelFileError(
            "manifest.json: training must not have n_threads below 1, nor continued=true with no optimizer, but has "
            f"n_threads={n_threads}, continued={continued}."
        )


def _check_probe(manifest: SimpleNamespace, settings: FitSettings, model: Model, tensors: Tensors) -> None:
    """Compare the outputs of the module with those saved, if the file has some."""
    entry = manifest.extensions.get("probe")
    if entry is None:
        return
    saved_in = replace(model, dtype=getattr(torch, manifest.training["dtype"]))
    check_outputs(saved_in, entry, tensors, name_of_module(settings))


def _training_state(
    settings: FitSettings, model: Model, manifest: SimpleNamespace, tensors: Tensors, reader: Reader
) -> TrainingState:
    """Return the training state, with the state of the optimizer if it was stored."""
    training = manifest.training
    lr = number(training["lr"])
    optimizer = build_optimizer(settings, lr, model)
    if manifest.optimizer is not None:
        stored = reader.decode(manifest.optimizer, "the state of the optimizer")
        _check_optimizer_state(stored, optimizer)
        optimizer.load_state_dict(stored)
    rows = epochs_from_json(manifest.epochs, tensors, model.spec.n_classes)
    return TrainingState(
        model=model,
        built_from=settings,
        optimizer=optimizer if manifest.optimizer is not None else None,
        seed=training["seed"],
        lr=lr,
        continued=training["continued"],
        rows=rows,
        epoch=rows[-1].epoch if rows else 0,
        best_epoch=training["best_epoch"],
    )


def _part(tensors: Tensors, prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _is_of_torch(cls: Any) -> bool:
    return str(getattr(cls, "__module__", "")).startswith("torch.nn.")


def _schema(manifest: SimpleNamespace) -> FeatureSchema:
    schema = FeatureSchema.from_state(manifest.schema)
    if schema.dtype not in ("float32", "float64") or not schema.row_shape or schema.row_shape[0] != manifest.n_features:
        raise ModelFileError(
            f"manifest.json: the schema {manifest.schema} does not fit samples of {manifest.n_features} features."
        )
    names = manifest.feature_names
    if names is not None and len(names) != manifest.n_features:
        raise ModelFileError(f"manifest.json has {len(names)} feature_names for {manifest.n_features} features.")
    return schema


def _computing_dtype(manifest: SimpleNamespace, device: torch.device) -> torch.dtype:
    name = manifest.training["dtype"]
    if name not in _DTYPES:
        raise ModelFileError(f"manifest.json: dtype must be one of {_DTYPES}, but is {name[:20]!r}.")
    dtype: torch.dtype = torch.float32 if device.type != "cpu" else getattr(torch, name)
    return dtype


def _check_optimizer_state(state: Any, optimizer: torch.optim.Optimizer) -> None:
    """Raise an error for state of other shapes than the parameters: fused kernels do not check them."""
    own = optimizer.state_dict()["param_groups"]
    groups = state.get("param_groups") if type(state) is dict else None
    if (
        type(groups) is not list
        or not all(type(group) is dict for group in groups)
        or [group.get("params") for group in groups] != [group["params"] for group in own]
        or any(set(mine) - set(group) for mine, group in zip(own, groups, strict=True))
        or type(state.get("state")) is not dict
    ):
        raise ModelFileError("The state of the optimizer does not fit the parameters of the module.")
    shapes = [tuple(p.shape) for group in optimizer.param_groups for p in group["params"]]
    for index, values in state["state"].items():
        if type(index) is not int or not 0 <= index < len(shapes) or type(values) is not dict:
            raise ModelFileError(f"The state of the optimizer names parameter {str(index)[:20]}, which does not exist.")
        if type(optimizer).__name__ in _OTHER_SHAPES or not type(optimizer).__module__.startswith("torch.optim"):
            continue
        for name, value in values.items():
            expected = () if name in _SCALARS else shapes[index]
            if isinstance(value, torch.Tensor) and tuple(value.shape) != expected:
                raise ModelFileError(
                    f"The state {str(name)[:20]!r} of the optimizer has shape {tuple(value.shape)}, but {expected} is "
                    "expected for its parameter."
                )


# ------------------------------------------------------------ the estimator


def _set_requests(clf: TorchClassifier, requests: Mapping[str, Any]) -> None:
    with sklearn.config_context(enable_metadata_routing=True):
        for method, wanted in requests.items():
            if method not in _METHODS or type(wanted) is not dict:
                raise ModelFileError(f"manifest.json: metadata can be requested for {_METHODS}, not {method[:20]!r}.")
            if wanted:
                getattr(clf, f"set_{method}_request")(**wanted)


def _publish(clf: TorchClassifier, manifest: SimpleNamespace, state: TrainingState, reader: Reader) -> None:
    """Set the fitted attributes."""
    classes = state.model.labels.classes
    if len(manifest.class_count) != len(classes):
        raise ModelFileError(f"manifest.json has {len(manifest.class_count)} class counts for {len(classes)} classes.")
    clf.n_features_in_ = manifest.n_features
    if manifest.feature_names is not None:
        clf.feature_names_in_ = np.array(manifest.feature_names, dtype=object)
    clf._state = state
    clf._net = _net(state, manifest, reader)
    clf.classes_ = classes
    clf.class_count_ = np.array(manifest.class_count, dtype=np.int64)
    clf.n_iter_ = state.epoch
    clf.best_epoch_ = state.best_epoch


def _net(state: TrainingState, manifest: SimpleNamespace, reader: Reader) -> Any:
    """Return the net with the record of the callbacks; None for a model without callbacks."""
    if manifest.callback_record is None:
        return None
    record = reader.decode(manifest.callback_record, "net_.history")
    if not state.built_from.callbacks or not all(
        type(row) is dict and type(row.get("batches")) is list for row in record
    ):
        raise ModelFileError("manifest.json: callback_record must be a list of objects with their batches.")
    from sktorch_acc.observers.skorch_net import net_of

    try:
        net = net_of(state)
    except (TypeError, ValueError) as err:
        raise ModelFileError(f"The callbacks cannot be built from the parameters in the file: {err}") from err
    net.history.clear()
    net.history.extend(record)
    return net
