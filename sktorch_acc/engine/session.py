"""A training session: the net and all that was decided for it, from the first epoch to the last.

It is what `warm_start` and `partial_fit` continue, what `predict` asks, and what is saved.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sktorch_acc._global_state import full_precision, guarded_generators, seed_generators, thread_limit
from sktorch_acc._params import check_names, split_nested
from sktorch_acc.data import FeatureSchema, Labels
from sktorch_acc.engine.build import build_criterion, build_module, initialize_lazy_layers, own_callbacks
from sktorch_acc.engine.copying import copied
from sktorch_acc.engine.device import computing_dtype, resolve_device
from sktorch_acc.engine.evaluate import each_output, nan_rows
from sktorch_acc.engine.net import Net
from sktorch_acc.engine.probe import refuse_untrainable
from sktorch_acc.engine.run import epoch_seeds
from sktorch_acc.engine.schedules import end_schedule
from sktorch_acc.exceptions import AccuracyWarning
from sktorch_acc.modules import MLP
from sktorch_acc.outputs import OutputSpec, output_spec

__all__ = ["Session"]


@dataclass
class Session:
    """A net, and what was decided when it was built.

    Parameters
    ----------
    net : Net
        The skorch net; holds module, criterion, optimizer and callbacks.
    schema, labels : FeatureSchema, Labels
        What `fit` learned about X and y.
    spec : OutputSpec
        What outputs mean.
    device, dtype : torch.device, torch.dtype
        Where and in which floating dtype the module computes.
    seed : int
        From which every epoch's randomness follows.
    lr : float
        The estimator's `lr` when the optimizer last took it.
    n_threads : int
        Intra-op threads, in `fit` and in `predict`.
    n_iter : int
        Epochs so far.
    continued : bool
        Whether the optimizer's state will be needed again: after `partial_fit` or with `warm_start`.
    fingerprints : dict of int to bytes
        Digest of the weights after each epoch, if callbacks might bring some back.
    built_from : dict
        Parameters of the constructor that were used up when the net was built.
    """

    net: Net
    schema: FeatureSchema
    labels: Labels
    spec: OutputSpec
    device: torch.device
    dtype: torch.dtype
    seed: int
    lr: float
    n_threads: int = 1
    n_iter: int = 0
    continued: bool = False
    built_from: dict[str, Any] = field(default_factory=dict)
    fingerprints: dict[int, bytes] = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        params: Mapping[str, Any],
        nested: Mapping[str, Any],
        schema: FeatureSchema,
        labels: Labels,
        device: torch.device,
        seed: int,
        X: Any,
    ) -> Session:
        """Build module, criterion, callbacks, optimizer and net from the constructor's parameters.

        Seeds the shared generators: to be called inside ``_global_state.isolated``.
        """
        torch_seed, numpy_seed, python_seed, _ = epoch_seeds(seed, 0)
        seed_generators((torch_seed, numpy_seed, python_seed), device)
        criterion = build_criterion(params["criterion"], split_nested(nested, "criterion"))
        spec = output_spec(criterion, params["output"], len(labels.classes))
        module, dtype = _built_module(params, nested, schema, spec, device, X)
        refuse_untrainable(module)
        criterion.to(device, dtype)
        net = _built_net(params, nested, module, criterion, spec, labels, dtype, device)
        built_from = _used_up(params, nested)
        return cls(net, schema, labels, spec, device, dtype, seed, params["lr"], built_from=built_from)

    @property
    def module(self) -> nn.Module:
        """The trained module."""
        module: nn.Module = self.net.module_
        return module

    def renew_optimizer(self, params: Mapping[str, Any]) -> None:
        """Start with a new optimizer: a fit that did not announce to be continued forgot its state."""
        self.net.lr = self.lr = params["lr"]
        self.net.initialize_optimizer()

    def unheeded(self, params: Mapping[str, Any], nested: Mapping[str, Any]) -> list[str]:
        """Return the parameters that were changed since the net was built, and are not looked at again."""
        now, then = _used_up(params, nested), self.built_from
        if not then:
            return []
        missing = object()
        return sorted(n for n in now.keys() | then.keys() if not _same(now.get(n, missing), then.get(n, missing)))

    def follow_lr(self, lr: float) -> None:
        """Take over a learning rate that was set since the last fit."""
        if lr != self.lr:
            end_schedule(self.net.optimizer_)
            for group in self.net.optimizer_.param_groups:
                if group["lr"] == self.lr:  # groups with a rate of their own keep it
                    group["lr"] = lr
            self.net.lr = self.lr = lr

    def snapshot(self) -> Session:
        """Return a copy that predicts as this one does now, and shares nothing that training moves."""
        with guarded_generators(self.device):
            module = copied(self.module).eval()
        return replace(self, net=self.net.detached(module))

    def predict(
        self, checked: Any, convert: Callable[[torch.Tensor], torch.Tensor], estimator: str
    ) -> npt.NDArray[Any]:
        """Return ``convert(output)`` for all rows of a checked X, as one array on the host.

        Raises
        ------
        ValueError
            If the module returns NaN for a row.
        """
        rows = self.schema.rows(checked, self.dtype, self.device)
        filled: list[npt.NDArray[Any]] = []  # one array, made when the first chunk tells its shape and dtype

        def consume(start: int, stop: int, output: torch.Tensor) -> None:
            bad = nan_rows(output)
            if bad:
                raise ValueError(
                    f"[ACC-D5] The module returns NaN for {bad} of the rows {start} to {stop - 1}, and no class can "
                    f"be taken from NaN. {estimator} was fitted on values of a smaller scale, or the module divides "
                    "by 0 or takes the logarithm of 0 there."
                )
            result = convert(output).cpu().numpy()
            if not filled:
                filled.append(np.empty((len(rows), *result.shape[1:]), dtype=result.dtype))
            filled[0][start:stop] = result

        with thread_limit(min(self.n_threads, torch.get_num_threads())), full_precision(self.device):
            each_output(self.module, rows, consume)
        return filled[0]

    def __getstate__(self) -> dict[str, Any]:
        state = {**self.__dict__, "device": str(self.device), "dtype": str(self.dtype).removeprefix("torch.")}
        if not self.continued:
            state["net"] = self.net.without_optimizer()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = {**state, "device": torch.device(state["device"]), "dtype": getattr(torch, state["dtype"])}
        self.__dict__.update(state)
        self._return_to_device()

    def _return_to_device(self) -> None:
        """After unpickling, where every tensor is on the CPU: go back to the device, if there is one here."""
        if self.device.type == "cpu":
            return
        try:
            self.to_device(resolve_device(self.device))
        except (RuntimeError, ValueError):
            warnings.warn(
                AccuracyWarning(
                    f"The model was on {str(self.device)!r}, which is not available here: it is on the CPU now. "
                    "Its predictions may differ in the last digits."
                ),
                stacklevel=2,
            )
            self.to_device(torch.device("cpu"))

    def to_device(self, device: torch.device) -> None:
        """Move module, criterion and optimizer state; parameters keep their identity."""
        self.device = device
        self.net.move(device)

    @classmethod
    def restored(
        cls,
        params: Mapping[str, Any],
        nested: Mapping[str, Any],
        schema: FeatureSchema,
        labels: Labels,
        device: torch.device,
        dtype: torch.dtype,
        module: nn.Module,
        criterion: nn.Module,
    ) -> Session:
        """Return a session around a module and a criterion that were trained before (on the CPU).

        Its seed is 0 and it has no epochs yet: both are the caller's to set.
        """
        spec = output_spec(criterion, params["output"], len(labels.classes))
        criterion.to(device, dtype)
        if not params["callbacks"]:  # taken away after fit; what was set for them may still be there
            nested = {name: value for name, value in nested.items() if not name.startswith("callbacks__")}
        net = _built_net(params, nested, module, criterion, spec, labels, dtype, device)
        module.eval()
        return cls(net, schema, labels, spec, device, dtype, 0, params["lr"])


_USED_UP = ("module", "criterion", "output", "optimizer", "callbacks", "device")


def _used_up(params: Mapping[str, Any], nested: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the constructor that only building a net looks at."""
    parts = {name: value for name, value in nested.items() if not name.startswith("lr_scheduler__")}
    return {name: params[name] for name in _USED_UP} | parts


def _same(a: Any, b: Any) -> bool:
    """Whether two parameters are the same object, or compare equal."""
    if a is b:
        return True
    try:
        return bool(a == b)
    except Exception:  # arrays and tensors
        return False


def _built_module(
    params: Mapping[str, Any],
    nested: Mapping[str, Any],
    schema: FeatureSchema,
    spec: OutputSpec,
    device: torch.device,
    X: Any,
) -> tuple[nn.Module, torch.dtype]:
    """Return a module with shapes and dtype settled (still on the CPU), and its computing dtype."""
    bundled = params["module"] is None
    if bundled and (len(schema.row_shape) != 1 or schema.integers):
        kind = "integer tensors" if schema.integers else f"rows of shape {schema.row_shape}"
        raise ValueError(
            f"module=None is a plain MLP for two-dimensional floating X, but X has {kind}. Pass an nn.Module "
            "that takes such rows."
        )
    module = build_module(
        MLP if bundled else params["module"],
        split_nested(nested, "module"),
        schema.row_shape,
        spec.n_classes,
        spec.one_column is True,
    )
    dtype = computing_dtype(module, schema.dtype if bundled else None, device)
    if bundled or device.type != "cpu":
        module.to(dtype)
    initialize_lazy_layers(module, schema.rows(X, dtype, torch.device("cpu")))
    return module, dtype


def _built_net(
    params: Mapping[str, Any],
    nested: Mapping[str, Any],
    module: nn.Module,
    criterion: nn.Module,
    spec: OutputSpec,
    labels: Labels,
    dtype: torch.dtype,
    device: torch.device,
) -> Net:
    optimizer = params["optimizer"]
    names = [name for name in split_nested(nested, "optimizer") if not name.startswith("param_groups__")]
    if "lr" in names:
        raise ValueError(
            "optimizer__lr was set: the learning rate is the parameter lr, which schedules and history_ follow."
        )
    check_names(names, optimizer, "optimizer", exclude=("self", "params"), also=("param_groups",))
    passed = {n: value for n, value in nested.items() if n.startswith(("optimizer__", "callbacks__"))}
    net = Net(
        module,
        built_criterion=criterion,
        spec=spec,
        labels=labels.classes,
        dtype=dtype,
        optimizer=optimizer,
        lr=params["lr"],
        max_epochs=params["max_epochs"],
        batch_size=params["batch_size"],
        device=str(device),
        callbacks=own_callbacks(params["callbacks"], split_nested(nested, "callbacks")),
        **passed,
    )
    with guarded_generators(device) if net.callbacks else nullcontext():  # whose initialize() may draw
        return net.initialize()
