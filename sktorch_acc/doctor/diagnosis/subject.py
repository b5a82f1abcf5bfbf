"""What is examined: an estimator or a module, its data, and what is known of its training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse
import torch
from sklearn.base import clone
from torch import nn

from sktorch_acc.checks.counting import LoaderFacts
from sktorch_acc.checks.data import check_finite_rows, check_known_labels, check_label_range, check_target_shape
from sktorch_acc.data import DenseRows, Examples, FeatureSchema, Labels, Rows, check_labels
from sktorch_acc.data.plain import numbers, plain
from sktorch_acc.doctor.diagnosis.loaders import read_loader
from sktorch_acc.engine.device import computing_dtype
from sktorch_acc.engine.prepare import FitData, build_state
from sktorch_acc.engine.settings import FitSettings
from sktorch_acc.engine.state import TrainingState
from sktorch_acc.engine.untouched import untouched
from sktorch_acc.findings import Finding
from sktorch_acc.labels import with_plain_dtype
from sktorch_acc.outputs import OutputSpec, output_spec

Ints = npt.NDArray[np.int64]

PROBE_SAMPLES = 64  # of the batch whose output is looked at
_GUESS = OutputSpec("logits", None, 2)


class Refused(Exception):  # noqa: N818 - never leaves the room
    """The input cannot be examined further; the finding states why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.text)
        self.finding = finding


@dataclass(frozen=True)
class Training:
    """What is known of how a module was trained.

    Parameters
    ----------
    epochs, steps : int
        Passes and optimizer updates so far; 0 if unknown.
    lr : float
        Learning rate; NaN if unknown.
    fresh : bool
        Whether the optimizer shows that no step was taken yet.
    losses : sequence of float
        Training loss of each epoch.
    n_fitted : int
        Samples that an estimator was fitted on, without those held out.
    state : TrainingState or None
        The record of a fitted estimator; None for a bare module.
    """

    epochs: int = 0
    steps: int = 0
    lr: float = float("nan")
    fresh: bool = False
    losses: Sequence[float] = ()
    n_fitted: int = 0
    state: TrainingState | None = None


@dataclass(frozen=True, eq=False)
class Subject:
    """What is examined.

    Parameters
    ----------
    module, criterion : nn.Module
        The criterion is None if it was not given.
    optimizer : torch optimizer or None
        The optimizer of the module.
    X : ndarray or CSR matrix of shape (n_samples, ...)
        Features on the host.
    rows : Rows
        The same, as input of the module.
    targets : ndarray of shape (n_samples,), int64
        Class indices; -1 for a label unknown to the estimator.
    names : sequence of str or None
        Names of the columns.
    batch_size : int
        Samples of a training batch.
    training : Training or None
        None: not trained yet.
    loader : LoaderFacts or None
        Static properties of the loader.
    labels : sequence
        Name of each class index; none if `unsettled`.
    spec : OutputSpec
        Kind of the output; a guess if `sure` is False.
    sure : bool
        Whether the criterion determines the kind of the output.
    unsettled : Finding or None
        Why the outputs of a bare module cannot be compared with y.
    unseen : Finding or None
        What was found about labels that the estimator cannot predict.
    validation_fraction : float or None
        Share of the samples that an estimator holds out at random.
    """

    module: nn.Module
    criterion: nn.Module | None
    optimizer: Any
    X: Any
    rows: Rows
    targets: Ints
    names: Sequence[str] | None
    batch_size: int
    training: Training | None
    loader: LoaderFacts | None
    labels: Sequence[Any] = ()
    spec: OutputSpec = _GUESS
    sure: bool = False
    unsettled: Finding | None = None
    unseen: Finding | None = None
    validation_fraction: float | None = None


def device_of(module: nn.Module | None) -> torch.device:
    """Return the device of a module; the CPU if it has no tensors, or there is none yet."""
    tensors = [] if module is None else [*module.parameters(), *module.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")


def subject_of(given: Any, X: Any, y: Any, criterion: Any, optimizer: Any, loader: Any) -> Subject:
    """Return the subject of a module and the other parts of its loop, or of an estimator, which has these itself."""
    if isinstance(given, nn.Module):
        return _subject_of_module(given, X, y, criterion, optimizer, loader)
    return _subject_of_estimator(given, X, y, loader)


# ------------------------------------------------------------------ estimators


def _subject_of_estimator(estimator: Any, X: Any, y: Any, loader: Any) -> Subject:
    """Return the subject of an estimator; if it is not fitted, its module is built as in `fit`.

    Call it inside ``_global_state.isolated``.
    """
    _refuse(check_target_shape(np.asarray(_on_host(y))))
    if not scipy.sparse.issparse(X):
        _refuse_rows(np.asarray(plain(_on_host(X))), min(map(str, np.ravel(_on_host(y))), default=""))
    copy = clone(estimator)
    schema, checked = FeatureSchema.learn(copy, X)
    names = getattr(copy, "feature_names_in_", None)
    y = check_labels(y, copy)
    every = copy.get_params()
    settings = FitSettings.of(every, {name: value for name, value in every.items() if "__" in name})
    state: TrainingState | None = getattr(estimator, "_state", None)
    unseen: Finding | None = None
    training: Training | None = None
    if state is None:
        state, targets = _built(settings, schema, checked, y)
    else:
        targets, unseen = _encoded(estimator, state.model.labels, y)
        training = _training_of_estimator(estimator, state)
    model = state.model
    return Subject(
        module=model.module,
        criterion=model.criterion,
        optimizer=state.optimizer,
        X=_on_host(checked),
        rows=schema.rows(checked).on(model.device, model.dtype).resident(),
        targets=targets,
        labels=model.labels.classes.tolist(),
        names=None if names is None else list(names),
        spec=model.spec,
        sure=True,
        batch_size=settings.batch_size,
        training=training,
        loader=None if loader is None else read_loader(loader),
        unseen=unseen,
        validation_fraction=settings.validation_fraction,
    )


def _encoded(estimator: Any, labels: Labels, y: npt.NDArray[Any]) -> tuple[Ints, Finding | None]:
    """Return the targets of a fitted estimator, and a finding about labels that it cannot predict."""
    targets = labels.encode(y)
    unseen = labels.unseen(y, targets)
    return targets, check_known_labels(labels.classes.tolist(), estimator.class_count_, unseen)


def _training_of_estimator(estimator: Any, state: TrainingState) -> Training:
    n_fitted = int(estimator.class_count_.sum())
    return Training(
        epochs=state.epoch,
        steps=state.epoch * -(-n_fitted // int(estimator.batch_size)),
        lr=float(estimator.lr),
        losses=estimator.loss_curve_,
        n_fitted=n_fitted,
        state=state,
    )


def _built(
    settings: FitSettings, schema: FeatureSchema, checked: Any, y: npt.NDArray[Any]
) -> tuple[TrainingState, Ints]:
    """Return the state with which `fit` would begin, and the targets."""
    labels, targets = Labels.learn(y)
    data = FitData(schema, labels, Examples.of(schema.rows(checked), targets, len(labels.classes)))
    return build_state(settings, data, 0), targets


# ------------------------------------------------------------------ bare modules


def _subject_of_module(module: nn.Module, X: Any, y: Any, criterion: Any, optimizer: Any, loader: Any) -> Subject:
    """Return the subject of a module and the other parts of a training loop."""
    given_y = _given_targets(y)
    _refuse(check_target_shape(given_y))
    given = plain(X).toarray() if scipy.sparse.issparse(X) else numbers(_on_host(X))
    if len(given) != len(given_y):
        raise ValueError(f"X and y must have one entry per sample, but X has {len(given)} and y has {len(given_y)}.")
    if not len(given):
        raise ValueError("X has no samples: there is nothing to examine.")
    if given.dtype.kind not in "biuf" or given_y.dtype.kind not in "biuf":
        raise ValueError(
            f"A module takes numbers and class indices from 0. Got X of dtype {given.dtype} and y of dtype "
            f"{given_y.dtype}. Encode them, for y with numpy.unique(y, return_inverse=True)[1]."
        )
    _refuse_rows(given, 0)
    facts = None if loader is None else read_loader(loader)
    criterion = criterion if isinstance(criterion, nn.Module) else None
    rows, targets = _module_rows(module, given), given_y.reshape(-1)
    with untouched(module), torch.no_grad():
        output = module.eval()(rows.chunk(0, min(PROBE_SAMPLES, len(rows))))
    unsettled = check_label_range(targets, _n_columns(output))
    return Subject(
        module=module,
        criterion=criterion,
        optimizer=optimizer,
        X=given,
        rows=rows,
        targets=targets if unsettled else targets.astype(np.int64),
        names=[str(name) for name in X.columns] if hasattr(X, "columns") else None,
        batch_size=(facts.batch_size if facts else None) or min(64, len(given)),
        training=_training_of(optimizer, facts, len(given)),
        loader=facts,
        **({"unsettled": unsettled} if unsettled else _settled(criterion, output, targets)),
    )


def _given_targets(y: Any) -> npt.NDArray[Any]:
    """Return targets of any shape as an array; a masked target is missing."""
    if isinstance(y, np.ma.MaskedArray) and np.ma.getmaskarray(y).any():
        raise ValueError(f"y is masked in {int(np.ma.getmaskarray(y).sum())} samples. Drop these, or label them.")
    targets = with_plain_dtype(np.asarray(_on_host(y)))
    if targets.dtype != object:
        return targets
    whole = pd.api.types.infer_dtype(targets.reshape(-1), skipna=False) in ("integer", "boolean")
    return targets.astype(np.int64) if whole else targets


def _n_columns(output: Any) -> int:
    shape = output.shape if isinstance(output, torch.Tensor) else ()
    return 1 if len(shape) < 2 else int(shape[-1])


def _settled(criterion: nn.Module | None, output: Any, targets: Ints) -> dict[str, Any]:
    """Return the labels and the kind of a module's output, which follow from its shape and the criterion."""
    columns = _n_columns(output)
    n_classes = max(columns, int(targets.max()) + 1, 2)
    labels = range(n_classes)
    try:
        return {"labels": labels, "spec": output_spec(criterion, None, n_classes), "sure": criterion is not None}
    except ValueError:  # a custom criterion
        is_tensor = isinstance(output, torch.Tensor) and output.ndim > 0
        inside = columns == 1 and is_tensor and bool(((output >= 0) & (output <= 1)).all())
        return {"labels": labels, "spec": OutputSpec("probabilities" if inside else "logits", None, n_classes)}


def _module_rows(module: nn.Module, X: npt.NDArray[Any]) -> Rows:
    embeds = any(isinstance(layer, (nn.Embedding, nn.EmbeddingBag)) for layer in module.modules())
    dtype = torch.int64 if X.dtype.kind in "iu" and embeds else computing_dtype(module, None, torch.device("cpu"))
    return DenseRows(torch.from_numpy(np.ascontiguousarray(X)), dtype, device_of(module))


def _training_of(optimizer: Any, loader: LoaderFacts | None, n_rows: int) -> Training:
    """Read from the optimizer how many steps were taken; unknown of optimizers without state."""
    if optimizer is None:
        return Training()
    counts = [float(state["step"]) for state in optimizer.state.values() if "step" in state]
    steps = int(max(counts, default=0))
    per_epoch = -(-n_rows // loader.batch_size) if loader and loader.batch_size else 1
    group = optimizer.param_groups[0]
    stateless = isinstance(optimizer, torch.optim.SGD) and not group["momentum"]
    return Training(steps // per_epoch, steps, float(group["lr"]), fresh=not optimizer.state and not stateless)


# ------------------------------------------------------------------ input


def _on_host(values: Any) -> Any:
    if not isinstance(values, torch.Tensor):
        return values
    values = values.detach().cpu()
    values = values.to_dense() if values.layout is not torch.strided else values
    narrow = values.is_floating_point() and values.dtype not in (torch.float16, torch.float32, torch.float64)
    return (values.float() if narrow else values).numpy()


def _refuse(found: Finding | None) -> None:
    if found is not None:
        raise Refused(found)


def _refuse_rows(X: npt.NDArray[Any], label: Any) -> None:
    if X.dtype.kind == "f" and len(X):
        bad = ~np.isfinite(X.reshape(len(X), -1)).all(axis=1)
        _refuse(check_finite_rows(int(bad.sum()), 0, len(X), 0, label))


def refuse_lazy(module: nn.Module) -> None:
    """Raise for a module with uninitialized parameters, which a forward pass would initialize."""
    if any(map(nn.parameter.is_lazy, [*module.parameters(), *module.buffers()])):
        raise ValueError(
            f"{type(module).__name__} has uninitialized lazy layers: there is nothing to examine. Call it on a batch "
            "first."
        )
