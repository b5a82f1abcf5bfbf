"""Run skorch's callbacks in a fit: the net that is passed to them, and the observer that calls them.

The net is a view of a `TrainingState`; the library neither trains nor predicts with it. Its targets are class
indices: `classes_` is ``arange(n_classes)``, and `predict` returns indices. The estimator converts labels.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from skorch.dataset import Dataset
from skorch.utils import TeeGenerator
from torch import nn

from sktorch_acc._global_state import guarded_generators
from sktorch_acc._params import check_names, nearest
from sktorch_acc.data import Examples, Rows
from sktorch_acc.engine.build import build_optimizer
from sktorch_acc.engine.evaluate import each_output
from sktorch_acc.engine.history import EpochRow
from sktorch_acc.engine.interrupts import Interrupts
from sktorch_acc.engine.loss import Loss
from sktorch_acc.engine.model import refuse_unusable
from sktorch_acc.engine.observer import BatchObserver
from sktorch_acc.engine.settings import FitSettings
from sktorch_acc.engine.snapshot import fingerprint
from sktorch_acc.engine.state import Fit, TrainingState
from sktorch_acc.outputs import OutputSpec

_BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_grad_computed")
_TRAINED_ELSEWHERE = "This net belongs to a TorchClassifier: train it with the estimator's fit or partial_fit."


def net_of(state: TrainingState) -> SkorchNet:
    """Return a net for a state, with the callbacks of the settings that the state was built from."""
    net = SkorchNet(state)
    guard = guarded_generators(state.model.device)  # initialize() of a callback may draw
    with Interrupts().watching() as interrupts, guard, interrupts.interruptible():
        net.initialize()
    for row in state.rows:
        net.begin_epoch()
        net.record(row)
    return net


class SkorchNet(NeuralNetClassifier):
    """A skorch net that is a view of a model and its training state.

    Parameters
    ----------
    state : TrainingState
        The state; assignments to `module_`, `criterion_` and `optimizer_` change it.
    """

    def __init__(self, state: TrainingState) -> None:
        settings, model = state.built_from, state.model
        passed = {n: v for n, v in settings.nested.items() if n.startswith(("optimizer__", "callbacks__"))}
        if not settings.callbacks:  # there may be parameters of callbacks that were removed
            passed = {n: v for n, v in passed.items() if not n.startswith("callbacks__")}
        self.state_ = state
        self._lowest: dict[str, float] = {}  # losses of the epochs so far
        super().__init__(
            type(model.module),
            criterion=type(model.criterion),
            train_split=None,
            verbose=1,
            optimizer=settings.optimizer,
            lr=state.lr,
            max_epochs=settings.max_epochs,
            batch_size=settings.batch_size,
            device=str(model.device),
            callbacks=own_callbacks(settings),
            **passed,
        )

    # skorch registers an attribute when it is assigned inside initialize_*: there they are assigned to themselves.

    @property
    def module_(self) -> nn.Module:
        """The module of the state."""
        return self.state_.model.module

    @module_.setter
    def module_(self, module: nn.Module) -> None:
        self.state_.use(module=module)

    @property
    def criterion_(self) -> nn.Module:
        """The criterion of the state."""
        return self.state_.model.criterion

    @criterion_.setter
    def criterion_(self, criterion: nn.Module) -> None:
        self.state_.use(criterion=criterion)

    @property
    def optimizer_(self) -> torch.optim.Optimizer:
        """The optimizer of the state."""
        if self.state_.optimizer is None:
            raise AttributeError("This net has no optimizer_: the optimizer was not kept after the fit.")
        optimizer: torch.optim.Optimizer = self.state_.optimizer
        return optimizer

    @optimizer_.setter
    def optimizer_(self, optimizer: torch.optim.Optimizer) -> None:
        self.state_.optimizer = optimizer

    def _initialize_module(self, reason: Any = None) -> SkorchNet:
        with self._current_init_context("module"):
            self.module_ = self.module_
        return self

    def _initialize_criterion(self, reason: Any = None) -> SkorchNet:
        with self._current_init_context("criterion"):
            self.criterion_ = self.criterion_
        return self

    def initialize_optimizer(self, triggered_directly: Any = None) -> SkorchNet:
        """Register the optimizer of the state; a later call builds a new one."""
        state = self.state_
        if self.initialized_:
            self.optimizer_ = build_optimizer(state.built_from, self.lr, state.model)
        elif state.optimizer is not None:
            self.optimizer_ = state.optimizer
        else:  # the optimizer was not kept; it is registered so that set_params(optimizer__...) works
            self._register_attribute("optimizer_", None)
        return self

    @property
    def _default_callbacks(self) -> list[Any]:
        return []

    @property
    def classes_(self) -> npt.NDArray[np.int64]:
        """The class indices."""
        return np.arange(self.state_.model.spec.n_classes)

    @property
    def labels_(self) -> npt.NDArray[Any]:
        """The label of each class index."""
        return self.state_.model.labels.classes

    @property
    def output_spec_(self) -> OutputSpec:
        """The output spec of the model."""
        return self.state_.model.spec

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> SkorchNet:
        """Raise an error: only the estimator trains the module."""
        raise TypeError(_TRAINED_ELSEWHERE)

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None, **fit_params: Any) -> SkorchNet:
        """Raise an error: only the estimator trains the module."""
        raise TypeError(_TRAINED_ELSEWHERE)

    def hears_batches(self) -> bool:
        """Whether the type of a callback overrides a batch hook."""
        return any(
            getattr(type(callback), hook, None) is not getattr(Callback, hook)
            for _, callback in self.callbacks_
            for hook in _BATCH_HOOKS
        )

    def begin_epoch(self) -> None:
        """Add an epoch to skorch's history."""
        self.on_epoch_begin(self)

    def record(self, row: EpochRow) -> None:
        """Write the values of an epoch to skorch's history, under skorch's names."""
        record = self.history[-1]  # a dict; record() and record_batch() would look it up for every value
        summary: dict[str, Any] = {}
        for phase, (n_samples, n_batches) in row.sizes.items():
            name = f"{phase}_loss"
            loss = row.values[name]
            lowest = loss < self._lowest.get(name, math.inf)
            if lowest:
                self._lowest[name] = loss
            summary |= {name: loss, f"{phase}_batch_size": n_samples}
            record |= {name: loss, f"{name}_best": lowest, f"{phase}_batch_count": n_batches}
        if not self.hears_batches():  # an empty batch list breaks Checkpoint and PassthroughScoring
            record["batches"].append(summary)
        record.update({name: value for name, value in row.numbers().items() if "_acc" in name})
        record["dur"] = row.values["seconds"]

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> torch.Tensor:
        """Return the unweighted loss of outputs and class indices."""
        model = self.state_.model
        loss = Loss.for_output(model.criterion, model.spec, y_pred, weighted=False)
        targets = torch.as_tensor(y_true, device=y_pred.device)
        return loss(y_pred, targets if targets.is_floating_point() else loss.targets(targets))

    def rows(self, X: Any) -> Rows:
        """Return the rows of an X that a callback passes: a skorch dataset, tensor, array or CSR matrix."""
        if isinstance(X, torch.utils.data.Subset):
            whole, chosen = self.rows(X.dataset), np.asarray(X.indices, dtype=np.int64)
            return whole.take(chosen)
        if isinstance(X, Dataset):
            X = X.X
        model = self.state_.model
        return model.schema.rows(X if scipy.sparse.issparse(X) else torch.as_tensor(X)).on(model.device, model.dtype)

    def forward_iter(self, X: Any, training: bool = False, device: Any = "cpu") -> Iterator[torch.Tensor]:
        """Yield the outputs in the same chunks as the estimator's `predict`."""
        outputs: list[torch.Tensor] = []
        rows = self.rows(X)  # copy: the module may write to the same memory for the next chunk
        each_output(self.module_, rows, lambda _, __, output: outputs.append(output.to(device, copy=True)))
        yield from outputs

    def _usable_outputs(self, X: Any) -> Iterator[torch.Tensor]:
        for output in self.forward_iter(X):
            refuse_unusable(self.output_spec_, output, f"{len(output)} rows of a chunk", "The module")
            yield output.detach()

    def predict_proba(self, X: Any) -> npt.NDArray[Any]:
        """Return probabilities, of shape (n_samples, n_classes)."""
        chunks = [self.output_spec_.probabilities(output) for output in self._usable_outputs(X)]
        return torch.cat(chunks).cpu().numpy()

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """Return class indices, int64 of shape (n_samples,)."""
        chunks = [self.output_spec_.classes(output) for output in self._usable_outputs(X)]
        return torch.cat(chunks).cpu().numpy()

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)  # TrainingState moves its tensors to the CPU

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.device = str(self.state_.model.device)


class SkorchObserver(BatchObserver):
    """Run skorch's callbacks in a fit.

    Parameters
    ----------
    net : SkorchNet or None
        The net of earlier fits of the same estimator; None: a new one is made.
    """

    def __init__(self, net: SkorchNet | None) -> None:
        self._given = net
        self._data: dict[str, Any] = {}

    @property
    def net(self) -> SkorchNet:
        """The net that is passed to the callbacks, from `fit_begin` on."""
        assert self._given is not None
        return self._given

    @property
    def hears_batches(self) -> bool:
        """Whether a callback overrides a batch hook."""
        return self.net.hears_batches()

    def fit_begin(self, fit: Fit) -> None:
        """Make the data sets for the callbacks, and call ``on_train_begin``."""
        if self._given is None:
            self._given = net_of(fit.state)
        self.net.lr = fit.state.lr
        self._data = {"dataset_train": _dataset(fit.fitted), "dataset_valid": _dataset(fit.validation)}
        train = self._data["dataset_train"]
        self._notify(fit, "on_train_begin", X=train.X, y=train.y)

    def epoch_begin(self, fit: Fit, epoch: int) -> None:
        """Call ``on_epoch_begin``."""
        self._notify(fit, "on_epoch_begin", **self._data)

    def epoch_recorded(self, fit: Fit, row: EpochRow) -> None:
        """Write the epoch to skorch's history before callbacks run, and store a fingerprint of its weights."""
        fit.state.fingerprints[row.epoch] = fingerprint(fit.model.module)
        self.net.record(row)

    def epoch_end(self, fit: Fit, row: EpochRow) -> bool:
        """Call ``on_epoch_end``; a callback requests to stop by a KeyboardInterrupt, see `_notify`."""
        self._notify(fit, "on_epoch_end", **self._data)
        return False

    def fit_end(self, fit: Fit) -> list[int]:
        """Call ``on_train_end``; return the ``best_epoch_`` of the callbacks that have one."""
        train = self._data["dataset_train"]
        self._notify(fit, "on_train_end", X=train.X, y=train.y)
        named = [getattr(callback, "best_epoch_", None) for _, callback in self.net.callbacks_]
        return [epoch for epoch in named if epoch is not None]

    def batch_begin(self, fit: Fit, batch: Any, training: bool) -> None:
        """Call ``on_batch_begin``."""
        self._notify(fit, "on_batch_begin", batch=batch, training=training)

    def gradients(self, fit: Fit, batch: Any) -> None:
        """Call ``on_grad_computed``."""
        named = TeeGenerator(self.net.get_all_learnable_params())
        self._notify(fit, "on_grad_computed", named_parameters=named, batch=batch, training=True)

    def batch_end(self, fit: Fit, batch: Any, outcome: tuple[torch.Tensor, torch.Tensor], training: bool) -> None:
        """Record the batch in skorch's history, and call ``on_batch_end``."""
        loss, y_pred = outcome
        prefix = "train" if training else "valid"
        self.net.history.record_batch(f"{prefix}_loss", loss.item())
        self.net.history.record_batch(f"{prefix}_batch_size", len(batch[0]))
        self._notify(fit, "on_batch_end", batch=batch, training=training, loss=loss, y_pred=y_pred)

    def _notify(self, fit: Fit, hook: str, **arguments: Any) -> None:
        """Call a hook of the net and of every callback. A KeyboardInterrupt from a callback stops after the epoch."""
        getattr(self.net, hook)(self.net, **arguments)
        for _, callback in self.net.callbacks_:
            try:
                getattr(callback, hook)(self.net, **arguments)
            except KeyboardInterrupt:
                if fit.interrupts.pending:
                    raise
                fit.interrupts.stop_requested = True


def _dataset(examples: Examples | None) -> Any:
    return None if examples is None else Dataset(examples.rows.source, examples.targets.cpu())


def own_callbacks(settings: FitSettings) -> list[Any]:
    """Return copies of the callbacks, so that training does not change those of the constructor.

    Raises
    ------
    TypeError
        If an item is not a callback of skorch.
    ValueError
        If ``callbacks__<name>__<parameter>`` does not name a callback and one of its parameters.
    """
    own: list[Any] = []
    by_name: dict[str, Any] = {}
    # One deepcopy for all, because a callback may refer to another (LoadInitState to its Checkpoint).
    for item in copy.deepcopy(list(settings.callbacks or [])):
        named = isinstance(item, (tuple, list)) and len(item) == 2
        name, callback = item if named else (None, item)
        cls = callback if isinstance(callback, type) else type(callback)
        if callback is not None and not issubclass(cls, Callback):
            raise TypeError(
                f"callbacks must hold skorch callbacks (classes, instances or (name, callback) pairs), but got "
                f"{callback!r}. Callbacks of scikit-learn go to set_callbacks(...)."
            )
        by_name[name or cls.__name__] = cls
        own.append((name, callback) if named else callback)
    _check_callback_names(by_name, settings.part("callbacks") if own else {})
    return own


def _check_callback_names(by_name: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for key in given:
        name, double, parameter = key.partition("__")
        base, _, number = name.rpartition("_")  # skorch numbers callbacks of one class: Name_1, Name_2
        cls = by_name.get(name) or (by_name.get(base) if number.isdigit() else None)
        if cls is None:
            raise ValueError(f"'callbacks__{key}': there is no callback {name!r}. {nearest(name, by_name)}")
        if double:
            check_names([parameter.partition("__")[0]], cls, f"callbacks__{name}", exclude=("self",))
