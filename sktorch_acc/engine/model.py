"""What predicts: a module and all that is needed to ask it. It is what is saved, exported and diagnosed."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from sktorch_acc._global_state import available_threads, full_precision, guarded_generators, thread_limit
from sktorch_acc.checks.outputs import check_unusable
from sktorch_acc.data import FeatureSchema, Labels, Rows
from sktorch_acc.engine.copying import copied
from sktorch_acc.engine.device import move
from sktorch_acc.engine.evaluate import each_output, nan_rows
from sktorch_acc.engine.interrupts import Interrupts
from sktorch_acc.exceptions import InputError, ModuleOutputError
from sktorch_acc.outputs import OutputSpec


@dataclass(frozen=True, eq=False)
class Model:
    """A module, and what was decided when it was built.

    Parameters
    ----------
    module, criterion : nn.Module
        The module and its loss.
    spec : OutputSpec
        What the module's output is.
    schema, labels : FeatureSchema, Labels
        What `fit` learned about X and y.
    device, dtype : torch.device, torch.dtype
        Where and in which floating dtype the module computes.
    n_threads : int
        Intra-op threads, in `fit` and in `predict`.
    """

    module: nn.Module
    criterion: nn.Module
    spec: OutputSpec
    schema: FeatureSchema
    labels: Labels
    device: torch.device
    dtype: torch.dtype
    n_threads: int = 1

    def predict(
        self, checked: Any, convert: Callable[[torch.Tensor], torch.Tensor], estimator: str
    ) -> npt.NDArray[Any]:
        """Return ``convert(output)`` for all rows of a checked X, as one array on the host.

        Raises
        ------
        ValueError
            If no probabilities of a sample can be had from what the module returns.
        """
        rows = self.schema.rows(checked).on(self.device, self.dtype)
        filled: list[npt.NDArray[Any]] = []  # one array, made when the first chunk tells its shape and dtype

        def consume(start: int, stop: int, output: torch.Tensor) -> None:
            result = convert(output).cpu().numpy()  # before the values, the columns are checked
            refuse_unusable(self.spec, output, f"rows {start} to {stop - 1}", estimator)
            if not filled:
                filled.append(np.empty((len(rows), *result.shape[1:]), dtype=result.dtype))
            filled[0][start:stop] = result

        self._each_output(rows, consume)
        return filled[0]

    def _each_output(self, rows: Rows, consume: Callable[[int, int, torch.Tensor], None]) -> None:
        """Compute with the threads of `fit`, without autocast."""
        available = available_threads()
        n_threads = min(self.n_threads, available)
        if n_threads == available and not torch.is_autocast_enabled(self.device.type):
            each_output(self.module, rows, consume)  # nothing to change: signals need not be delayed
            return
        with (
            Interrupts().watching() as interrupts,
            thread_limit(n_threads),
            full_precision(self.device),
            interrupts.interruptible(),
        ):
            each_output(self.module, rows, consume)

    def copy(self) -> Model:
        """Return a model that predicts as this one does now, and shares nothing that training moves."""
        with (
            Interrupts().watching() as interrupts,
            guarded_generators(self.device),
            interrupts.interruptible(),
        ):
            return replace(self, module=copied(self.module).eval())

    def __deepcopy__(self, memo: dict[int, Any]) -> Model:
        """Copy module and criterion as `copied` does: they may keep tensors that deepcopy refuses."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, value in values.items():
            new_module = isinstance(value, nn.Module) and id(value) not in memo
            values[name] = copied(value, memo) if new_module else deepcopy(value, memo)
        new = memo[id(self)] = Model(**values)
        return new

    def to(self, device: torch.device) -> Model:
        """Move module and criterion in place; return the model on the device."""
        move(device, self.module, self.criterion)
        return replace(self, device=device)


def refuse_unusable(spec: OutputSpec, output: torch.Tensor, where: str, estimator: str) -> None:
    """Raise for samples of which the module returns no probabilities, with their number.

    Raises
    ------
    InputError
        For NaN, and infinite logits.
    ModuleOutputError
        For values that are not what the criterion takes them for.
    """
    bad = spec.unusable(output)
    if bad is None:
        return
    n_bad = int(bad.sum())
    n_nan = nan_rows(output)
    if n_nan:
        raise InputError(
            f"The module returns NaN for {n_nan} of the {where}, and no class can be taken from NaN. {estimator} was "
            "fitted on values of a smaller scale, or the module divides by 0 or takes the logarithm of 0 there.",
            "ACC-D5",
        )
    finding = check_unusable(spec, output[bad], f"{n_bad} of the {where}")
    raise (InputError if finding.code == "ACC-D5" else ModuleOutputError)(finding.text, finding.code)
