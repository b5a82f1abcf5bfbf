"""The skorch net that the estimator holds: skorch's surface for callbacks, our loop underneath.

In the net, targets are class indices: `classes_` is ``arange(n_classes)`` and `predict` returns indices.
The estimator, which knows the labels, is what users talk to.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
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
from sktorch_acc._params import accepted_names
from sktorch_acc.data import DenseRows, Rows, SparseRows
from sktorch_acc.engine.evaluate import each_output
from sktorch_acc.engine.loop import run_epochs
from sktorch_acc.engine.run import Run
from sktorch_acc.outputs import OutputSpec

__all__ = ["Net"]

_BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_grad_computed")
# Only while a fit runs, and never pickled: it holds the data.
_TRANSIENT = "_run"
_PARTS = ("module_", "criterion_", "optimizer_")


class Net(NeuralNetClassifier):
    """A skorch classifier around a module that is built already.

    Parameters
    ----------
    built : nn.Module
        The module to train; becomes `module_`.
    built_criterion : nn.Module
        The criterion; becomes `criterion_`.
    spec : OutputSpec
        What outputs mean.
    labels : ndarray of shape (n_classes,)
        The label of each class index.
    dtype : torch.dtype
        Floating dtype in which the module computes.
    **kwargs
        skorch's parameters: optimizer, callbacks, lr, ``optimizer__*``, ``callbacks__*``.
    """

    def __init__(
        self,
        built: nn.Module,
        *,
        built_criterion: nn.Module,
        spec: OutputSpec,
        labels: npt.NDArray[Any],
        dtype: torch.dtype,
        **kwargs: Any,
    ) -> None:
        super().__init__(type(built), criterion=type(built_criterion), train_split=None, verbose=1, **kwargs)
        self._built = (built, built_criterion)
        self.output_spec_, self.labels_, self.dtype_ = spec, labels, dtype
        self._run: Run | None = None
        self._best_losses: dict[str, float] = {}

    # What skorch builds from classes is built already: as module= it would be pickled twice.

    def initialize_module(self) -> Net:
        self.module_ = self._built[0]
        return self

    def initialize_criterion(self) -> Net:
        self.criterion_ = self._built[1]
        return self

    def initialize(self) -> Net:
        super().initialize()
        del self._built
        return self

    def initialize_optimizer(self, triggered_directly: Any = None) -> Net:
        """Build the optimizer, with fused kernels where it and the device have them.

        Raises
        ------
        TypeError
            If what was given as `optimizer` makes none.
        """
        name = getattr(self.optimizer, "__name__", repr(self.optimizer))
        if isinstance(self.optimizer, type) and not issubclass(self.optimizer, torch.optim.Optimizer):
            raise TypeError(f"optimizer={name} must make a torch optimizer: pass a class of torch.optim, or a factory.")
        self._build_optimizer()
        if not isinstance(self.optimizer_, torch.optim.Optimizer):
            made = type(self.optimizer_).__name__
            raise TypeError(f"optimizer={name} must make a torch optimizer, but made a {made}.")
        return self

    def _build_optimizer(self) -> None:
        args, kwargs = self.get_params_for_optimizer("optimizer", self.get_all_learnable_params())
        accepted, _ = accepted_names(self.optimizer)
        if "fused" in accepted and not {"fused", "foreach", "differentiable", "capturable"} & set(kwargs):
            kwargs["fused"] = True
            try:
                self.optimizer_ = self.optimizer(*args, **kwargs)
            except RuntimeError:  # no fused kernel for this device or dtype
                kwargs["fused"] = None
            else:
                return
        self.optimizer_ = self.optimizer(*args, **kwargs)

    @property
    def _default_callbacks(self) -> list[Any]:
        return []

    @property
    def classes_(self) -> npt.NDArray[np.int64]:
        return np.arange(self.output_spec_.n_classes)

    def trained_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that the optimizer moves."""
        return [p for group in self.optimizer_.param_groups for p in group["params"]]

    def fit_loop(self, X: Any, y: Any = None, epochs: int | None = None, *, run: Run, **_: Any) -> Net:
        """Run the epochs of one call of `fit` or `partial_fit`."""
        run_epochs(self, run)
        return self

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None, **fit_params: Any) -> Net:
        """Train on with the run in `fit_params`; unlike skorch's, lets a real Ctrl-C through."""
        if "run" not in fit_params:
            raise TypeError("This net belongs to a TorchClassifier: train it with the estimator's fit or partial_fit.")
        run: Run = fit_params["run"]
        self._run = run
        try:
            with run.interrupts.watching():
                self.notify("on_train_begin", X=X, y=y)
                self.fit_loop(X, y, **fit_params)
                self.notify("on_train_end", X=X, y=y)
        finally:
            self._run = None
        return self

    def fit(self, X: Any, y: Any = None, **fit_params: Any) -> Net:
        """Refuse: the estimator trains the net."""
        return self.partial_fit(X, y)

    def notify(self, method_name: str, **cb_kwargs: Any) -> None:
        """Call a hook of every callback; a stop that one asks for takes effect at the epoch's end.

        The generators are put back afterwards: whatever a callback draws changes nothing.
        """
        getattr(self, method_name)(self, **cb_kwargs)
        if not self.callbacks_:
            return
        with guarded_generators(torch.device(self.device)), torch.enable_grad():
            for _, callback in self.callbacks_:
                try:
                    getattr(callback, method_name)(self, **cb_kwargs)
                except KeyboardInterrupt:
                    if self._run is None or self._run.interrupts.pending:
                        raise
                    self._run.stop_requested = True

    def notify_gradients(self, batch: Any) -> None:
        """Tell callbacks that the gradients of a step are there."""
        named = TeeGenerator(self.get_all_learnable_params())
        self.notify("on_grad_computed", named_parameters=named, batch=batch, training=True)

    def end_batch(self, prefix: str, batch: Any, loss: torch.Tensor, y_pred: torch.Tensor) -> None:
        """Record a batch in skorch's history and tell callbacks."""
        self.history.record_batch(f"{prefix}_loss", loss.item())
        self.history.record_batch(f"{prefix}_batch_size", len(batch[0]))
        self.notify("on_batch_end", batch=batch, training=prefix == "train", loss=loss, y_pred=y_pred)

    def improves(self, name: str, loss: float) -> bool:
        """Whether a loss is the lowest of its name so far; remember it."""
        better = loss < self._best_losses.get(name, math.inf)
        if better:
            self._best_losses[name] = loss
        return better

    def batch_listeners(self) -> bool:
        """Whether the type of a callback overrides a batch hook."""
        return any(
            getattr(type(callback), hook, None) is not getattr(Callback, hook)
            for _, callback in self.callbacks_
            for hook in _BATCH_HOOKS
        )

    def get_loss(self, y_pred: Any, y_true: Any, X: Any = None, training: bool = False) -> torch.Tensor:
        """Return the unweighted loss of outputs and class indices."""
        from sktorch_acc.engine.loss import Loss

        objective = Loss(self.criterion_, self.output_spec_, weighted=False)
        objective.observe(y_pred)
        targets = torch.as_tensor(y_true, device=y_pred.device)
        if not targets.is_floating_point():
            targets = objective.targets(targets)
        return objective(y_pred, targets)

    def rows(self, X: Any) -> Rows:
        """Return what a callback passes as X (a skorch dataset, tensor, array or CSR matrix) as rows."""
        if isinstance(X, torch.utils.data.Subset):
            whole, chosen = self.rows(X.dataset), np.asarray(X.indices, dtype=np.int64)
            return whole.take(chosen)
        if isinstance(X, Dataset):
            X = X.X
        device = torch.device(self.device)
        if scipy.sparse.issparse(X):
            return SparseRows(X, self.dtype_, device)
        X = torch.as_tensor(X)
        return DenseRows(X, X.dtype if X.dtype == torch.int64 else self.dtype_, device)

    def forward_iter(self, X: Any, training: bool = False, device: Any = "cpu") -> Iterator[torch.Tensor]:
        """Yield outputs chunk by chunk, by the chunk rule of `predict`."""
        outputs: list[torch.Tensor] = []
        each_output(self.module_, self.rows(X), lambda start, stop, output: outputs.append(output.to(device)))
        yield from outputs

    def predict_proba(self, X: Any) -> npt.NDArray[Any]:
        """Return probabilities of shape (n_rows, n_classes)."""
        chunks = [self.output_spec_.probabilities(output.detach()) for output in self.forward_iter(X)]
        return torch.cat(chunks).cpu().numpy()

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        """Return class indices of shape (n_rows,)."""
        chunks = [self.output_spec_.classes(output.detach()) for output in self.forward_iter(X)]
        return torch.cat(chunks).cpu().numpy()

    def detached(self, module: nn.Module) -> Net:
        """Return a net that predicts with another module and has no optimizer, callbacks or history."""
        other = copy.copy(self)
        other.__dict__[_TRANSIENT] = None
        other.module_, other.callbacks_ = module, []
        other.__dict__.pop("optimizer_", None)
        return other

    def without_optimizer(self) -> Net:
        """Return the same net less the optimizer, whose state is as large as the module twice over."""
        other = copy.copy(self)
        other.__dict__.pop("optimizer_", None)
        return other

    def move(self, device: torch.device) -> None:
        """Move module, criterion and optimizer state to a device in place."""
        self.device = str(device)
        _move({name: self.__dict__[name] for name in _PARTS if name in self.__dict__}, device)

    def recall(self, history: list[dict[str, Any]]) -> None:
        """Take over the record of epochs that another net trained."""
        self.history.extend(history)
        for row in history:
            for name in ("train_loss", "valid_loss"):
                if name in row:
                    self.improves(name, row[name])

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with every tensor on the CPU, and without the data of a fit that runs."""
        state = {name: value for name, value in self.__dict__.items() if name != _TRANSIENT}
        if torch.device(self.device).type != "cpu":
            # One deepcopy for all: the optimizer's parameters stay those of the module.
            moved = copy.deepcopy({name: state[name] for name in _PARTS if name in state})
            _move(moved, torch.device("cpu"))
            state.update(moved)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__[_TRANSIENT] = None


def _move(parts: dict[str, Any], device: torch.device) -> None:
    """Move modules and the state of optimizers in place.

    On some devices torch makes new parameters instead of moving them: the optimizer follows.
    """
    modules = [part for part in parts.values() if isinstance(part, nn.Module)]
    before = [parameter for module in modules for parameter in module.parameters()]
    for module in modules:
        module.to(device)
    after = [parameter for module in modules for parameter in module.parameters()]
    new = dict(zip(map(id, before), after, strict=True))
    for part in parts.values():
        if not isinstance(part, torch.optim.Optimizer):
            continue
        for group in part.param_groups:
            group["params"] = [new.get(id(p), p) for p in group["params"]]
        for parameter, values in list(part.state.items()):
            moved = {n: v.to(device) if isinstance(v, torch.Tensor) else v for n, v in values.items()}
            del part.state[parameter]
            part.state[new.get(id(parameter), parameter)] = moved
