"""Put an estimator together from a verified manifest and verified tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import sklearn
import torch
from torch import nn

from sktorch_acc._global_state import isolated
from sktorch_acc._params import split_nested
from sktorch_acc.classifier import TorchClassifier
from sktorch_acc.data import FeatureSchema, Labels
from sktorch_acc.engine.build import build_criterion, build_module
from sktorch_acc.engine.session import Session
from sktorch_acc.exceptions import ModelFileError
from sktorch_acc.modules import MLP
from sktorch_acc.outputs import output_spec
from sktorch_acc.persistence.labels import labels_from_json
from sktorch_acc.persistence.manifest import Manifest
from sktorch_acc.persistence.names import Names
from sktorch_acc.persistence.values import Reader, number
from sktorch_acc.persistence.weights import Tensors, build_and_fill, fill, settle_lazy_layers

__all__ = ["history_of", "rebuild"]

_DTYPES = ("float16", "bfloat16", "float32", "float64")
# How the caller gives the module back; what is more than a name cannot be found among `allow`.
_GIVE_BACK = {
    "class": "module={}",
    "function": "module={}",
    "instance": "module={}(...)",
    "object": "module={}(...)",
    "partial": "module=functools.partial({}, ...)",
}
_METHODS = ("fit", "partial_fit", "score")
# State of torch's optimizers that is one number per parameter; all other state has the parameter's shape, but for
# the state of these two, whose steps are no fused kernels and check shapes themselves.
_SCALARS = ("step", "eta", "mu", "mu_product")
_OTHER_SHAPES = ("LBFGS", "Adafactor")


def rebuild(
    manifest: Manifest, tensors: Tensors, module: Any, allow: Iterable[Any], device: torch.device
) -> TorchClassifier:
    """Return the estimator that a file describes.

    Parameters
    ----------
    manifest, tensors : Manifest, mapping of str to Tensor
        The two verified parts of the file.
    module : nn.Module class, factory, instance or None
        What the caller gave to build the module with.
    allow : iterable of classes and functions
        What names in the file may stand for.
    device : torch.device
        Where the module is to be.

    Raises
    ------
    ModelFileError
        If the file contradicts itself, or needs what the caller did not give.
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
        with isolated(device):
            session = _session(clf, manifest, tensors, reader, device)
        _set_requests(clf, manifest.requests)
    except ModelFileError:
        raise
    except Exception as err:
        raise ModelFileError(f"The estimator cannot be built from the parameters in the file: {err}") from err
    _publish(clf, manifest, session)
    return clf


def _chosen_module(manifest: Manifest, module: Any, names: Names) -> Any:
    """Return the constructor's `module`: the caller's, or None for the bundled one."""
    kind, name = manifest.module["kind"], manifest.module["name"]
    if kind == "bundled":
        if module is not None:
            raise ModelFileError(
                "The file holds the bundled MLP (module=None), but load_model got a module. Leave module=None."
            )
        return None
    if kind not in _GIVE_BACK or name is None:
        raise ModelFileError(f"manifest.json: module must name a class or a factory, but is {manifest.module!r:.80}.")
    found = module
    if module is None and kind in ("class", "function"):
        found = MLP if name == "sktorch_acc.modules.MLP" else names.allowed(name)
    if found is None:
        what = _GIVE_BACK[kind].format(name.rpartition(":")[2].rpartition(".")[2])
        raise ModelFileError(
            f"The model was trained with the {kind} {name!r}, which a model file cannot import. If you know it and "
            f"want it, import it yourself and call load_model(path, {what})."
        )
    return found


# ------------------------------------------------------------ the session


def _session(
    clf: TorchClassifier, manifest: Manifest, tensors: Tensors, reader: Reader, device: torch.device
) -> Session:
    params, nested = clf.get_params(deep=False), clf._nested
    schema, labels = _schema(manifest), Labels(labels_from_json(**manifest.classes))
    n_classes = len(labels.classes)
    criterion = build_and_fill(
        lambda: build_criterion(params["criterion"], split_nested(nested, "criterion")),
        _part(tensors, "criterion."),
        "the criterion",
        own=_is_of_torch(params["criterion"]),
    )
    spec = output_spec(criterion, params["output"], n_classes)
    if manifest.meaning != {"kind": spec.kind, "one_column": spec.one_column, "n_classes": n_classes}:
        raise ModelFileError(
            f"manifest.json says that outputs mean {manifest.meaning}, but its criterion, output and classes make that "
            f"{spec}."
        )
    dtype = _computing_dtype(manifest, device)
    module = _filled_module(clf, schema, spec.n_classes, spec.one_column is True, _part(tensors, "module."))
    _restore_frozen(module, manifest.frozen)
    settle_lazy_layers(module, schema.row_shape, torch.int64 if schema.integers else dtype)
    if device.type != "cpu":
        module.to(dtype)
    session = Session.restored(params, nested, schema, labels, device, dtype, module, criterion)
    _restore_training(session, manifest, reader)
    return session


def _part(tensors: Tensors, prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _is_of_torch(cls: Any) -> bool:
    return str(getattr(cls, "__module__", "")).startswith("torch.nn.")


def _schema(manifest: Manifest) -> FeatureSchema:
    schema = FeatureSchema.from_state(manifest.door)
    if schema.dtype not in ("float32", "float64") or not schema.row_shape or schema.row_shape[0] != manifest.n_features:
        raise ModelFileError(
            f"manifest.json: the door {manifest.door} does not fit rows of {manifest.n_features} features."
        )
    names = manifest.feature_names
    if names is not None and len(names) != manifest.n_features:
        raise ModelFileError(f"manifest.json has {len(names)} feature_names for {manifest.n_features} features.")
    return schema


def _computing_dtype(manifest: Manifest, device: torch.device) -> torch.dtype:
    name = manifest.training["dtype"]
    if name not in _DTYPES:
        raise ModelFileError(f"manifest.json: dtype must be one of {_DTYPES}, but is {name[:20]!r}.")
    dtype: torch.dtype = torch.float32 if device.type != "cpu" else getattr(torch, name)
    return dtype


def _filled_module(
    clf: TorchClassifier, schema: FeatureSchema, n_classes: int, one_column: bool, stored: dict[str, torch.Tensor]
) -> nn.Module:
    given = split_nested(clf._nested, "module")
    bundled = clf.module is None
    chosen = MLP if bundled else clf.module
    if bundled and (len(schema.row_shape) != 1 or len(given.get("hidden_sizes", ())) > len(stored)):
        raise ModelFileError("manifest.json: the bundled MLP does not have the layers that the file claims.")

    def build() -> nn.Module:
        return build_module(chosen, given, schema.row_shape, n_classes, one_column)

    name = getattr(getattr(chosen, "func", chosen), "__name__", type(chosen).__name__)
    if not isinstance(chosen, nn.Module):
        return build_and_fill(build, stored, name, own=bundled)
    module = build()
    fill(module, stored, name)
    return module


def _restore_frozen(module: nn.Module, frozen: list[str]) -> None:
    for name, parameter in module.named_parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(name not in frozen)


def _restore_training(session: Session, manifest: Manifest, reader: Reader) -> None:
    """Give the session its epochs and, where it was stored, the state of the optimizer."""
    training = manifest.training
    record = reader.decode(manifest.record, "net_.history")
    if not all(type(row) is dict and type(row.get("batches")) is list for row in record):
        raise ModelFileError("manifest.json: the record of the epochs must be a list of objects with their batches.")
    session.net.recall(record)
    session.seed, session.n_iter, session.n_threads = training["seed"], training["n_iter"], training["n_threads"]
    session.net.lr = session.lr = number(training["lr"])
    session.continued = training["continued"]
    if session.n_threads < 1 or (session.continued and manifest.optimizer is None):
        raise ModelFileError("manifest.json: training contradicts itself (n_threads below 1, or no optimizer).")
    if manifest.optimizer is None:
        session.net = session.net.without_optimizer()
        return
    state = reader.decode(manifest.optimizer, "the state of the optimizer")
    optimizer = session.net.optimizer_
    _check_optimizer_state(state, optimizer)
    optimizer.load_state_dict(state)


def _check_optimizer_state(state: Any, optimizer: torch.optim.Optimizer) -> None:
    """Refuse state whose shapes are not those of the parameters: fused kernels take them on trust."""
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
            raise ModelFileError(f"The state of the optimizer knows a parameter {str(index)[:20]} that there is not.")
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


def history_of(manifest: Manifest) -> pd.DataFrame:
    """Return the table `history_`."""
    history = manifest.history
    columns, epochs = history["columns"], history["epochs"]
    if len(history["values"]) != len(columns) or not all(
        type(column) is list and len(column) == len(epochs) for column in history["values"]
    ):
        raise ModelFileError(f"manifest.json: history must hold {len(epochs)} values for each of its columns.")
    values = [[number(value) for value in column] for column in history["values"]]
    table = np.array(values, dtype=np.float64).reshape(len(columns), len(epochs)).T
    return pd.DataFrame(table, index=pd.Index(epochs, name="epoch"), columns=columns)


def _set_requests(clf: TorchClassifier, requests: Mapping[str, Any]) -> None:
    with sklearn.config_context(enable_metadata_routing=True):
        for method, wanted in requests.items():
            if method not in _METHODS or type(wanted) is not dict:
                raise ModelFileError(f"manifest.json: metadata can be requested for {_METHODS}, not {method[:20]!r}.")
            if wanted:
                getattr(clf, f"set_{method}_request")(**wanted)


def _publish(clf: TorchClassifier, manifest: Manifest, session: Session) -> None:
    """Set the fitted attributes."""
    classes = session.labels.classes
    if len(manifest.class_count) != len(classes):
        raise ModelFileError(f"manifest.json has {len(manifest.class_count)} class counts for {len(classes)} classes.")
    clf.n_features_in_ = manifest.n_features
    if manifest.feature_names is not None:
        clf.feature_names_in_ = np.array(manifest.feature_names, dtype=object)
    clf.history_ = history_of(manifest)
    clf._session = session
    clf.classes_ = classes
    clf.class_count_ = np.array(manifest.class_count, dtype=np.int64)
    clf.n_iter_ = manifest.training["n_iter"]
    clf.best_epoch_ = manifest.training["best_epoch"]
