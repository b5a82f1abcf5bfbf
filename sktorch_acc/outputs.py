"""The output spec: the kind of a module's output, determined by the criterion and never by the values.

`fit` and `predict` use the same object to convert outputs to class indices, probabilities and decision values.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from sktorch_acc.exceptions import ModuleOutputError

OutputKind = Literal["logits", "log_probabilities", "probabilities"]
Conversion = Literal["classes", "probabilities", "log_probabilities", "decision"]

_CONSTANT = "The number of axes and columns must not depend on the values, the number of samples or earlier calls."

_KINDS: tuple[tuple[type[nn.Module], OutputKind, bool], ...] = (
    (nn.CrossEntropyLoss, "logits", False),
    (nn.NLLLoss, "log_probabilities", False),
    (nn.BCEWithLogitsLoss, "logits", True),
    (nn.BCELoss, "probabilities", True),
)
_ON_ONE_COLUMN = tuple(known for known, _, one_column in _KINDS if one_column)


def output_spec(criterion: Any, output: OutputKind | None, n_classes: int) -> OutputSpec:
    """Return the output spec for a criterion; for one of the user's own, `output` is its kind.

    Raises
    ------
    ValueError
        If the criterion is none of the four known ones and `output` is None, or if the two disagree.
    """
    name = type(criterion).__name__
    for known, kind, one_column in _KINDS:
        if isinstance(criterion, known):
            if output is not None and output != kind and type(criterion) is known:
                raise ValueError(
                    f"output={output!r} contradicts criterion {name}, which takes {kind!r}. Leave output=None."
                )
            return OutputSpec(output or kind, one_column, n_classes)
    if output is None:
        raise ValueError(
            f"The criterion {name} is not one whose inputs are known (CrossEntropyLoss, NLLLoss, "
            "BCEWithLogitsLoss, BCELoss). Say what the module returns: output='logits', "
            "'log_probabilities' or 'probabilities'."
        )
    return OutputSpec(output, None, n_classes)


def only_binary(criterion: Any) -> bool:
    """Whether a criterion (class or instance) takes a single column, and so two classes only."""
    cls = criterion if isinstance(criterion, type) else type(criterion)
    return issubclass(cls, _ON_ONE_COLUMN)


@dataclass(frozen=True)
class OutputForm:
    """Axes and columns of the outputs of a module.

    Parameters
    ----------
    axes : int
        Number of axes.
    columns : int
        Length of the last axis; 1 for outputs of shape (n,).
    """

    axes: int
    columns: int

    @classmethod
    def of(cls, output: torch.Tensor) -> OutputForm:
        """Return the form of an output."""
        return cls(output.ndim, output.shape[-1] if output.ndim > 1 else 1)

    def check(self, output: Any, module: nn.Module) -> None:
        """Raise ModuleOutputError (C8) for an output of another form: once per batch, so only the shape is read."""
        if isinstance(output, torch.Tensor) and output.ndim == self.axes:
            if self.axes == 1 or output.shape[-1] == self.columns:
                return
            came = str(tuple(output.shape))
        else:
            came = str(tuple(output.shape)) if isinstance(output, torch.Tensor) else f"a {type(output).__name__}"
        wanted = "(n,)" if self.axes == 1 else f"(n, {'members, ' * (self.axes - 2)}{self.columns})"
        mode = "training" if module.training else "evaluation"
        raise ModuleOutputError(
            f"{type(module).__name__}.forward (in {mode} mode) returned {came}, but outputs of shape {wanted} before "
            f"epoch 1. {_CONSTANT}",
            "ACC-C8",
        )


@dataclass(frozen=True)
class OutputSpec:
    """The kind of a module's output.

    Outputs have the shape (n, n_classes), (n,) or (n, 1); those of an ensemble (n, members, columns).

    Parameters
    ----------
    kind : {"logits", "log_probabilities", "probabilities"}
        What the values of the output are.
    one_column : bool or None
        Whether the criterion takes one column for two classes; None: determined by the shape of the output.
    n_classes : int
        Number of classes.
    """

    kind: OutputKind
    one_column: bool | None
    n_classes: int

    def converted(self, what: Conversion, output: torch.Tensor) -> torch.Tensor:
        """Return classes, probabilities, log-probabilities or decision values.

        Raises
        ------
        ModuleOutputError
            If the output does not have the columns that it had in `fit` (C8).
        """
        if output.ndim > 3 or not self.takes(output):
            raise ModuleOutputError(
                f"The module returned outputs of shape {tuple(output.shape)}, which do not fit {self.n_classes} "
                f"classes, as they did in fit. {_CONSTANT}",
                "ACC-C8",
            )
        convert: Callable[[torch.Tensor], torch.Tensor] = getattr(self, what)
        return convert(output)

    def takes(self, output: torch.Tensor) -> bool:
        """Whether an output has as many columns as the criterion and the classes need; of a single class, any."""
        if self.n_classes == 1:
            return True
        columns = 1 if output.ndim == 1 else output.shape[-1]
        if self.one_column:
            return bool(columns == 1 and self.n_classes == 2)
        if columns == self.n_classes:
            return output.ndim > 1
        return bool(columns == 1 and self.n_classes == 2 and self.one_column is None)

    def is_single(self, output: torch.Tensor) -> bool:
        """Whether `output` holds one value per sample (and member), that of class 1."""
        if self.one_column is not None:
            return self.one_column
        return output.ndim == 1 or output.shape[-1] == 1

    def classes(self, output: torch.Tensor) -> torch.Tensor:
        """Return class indices, int64 of shape (n,): the argmax of the output, never of probabilities.

        One column: class 1 where the logit is > 0 or the probability > 0.5. Ensembles: argmax of the mean
        probabilities of the members.
        """
        if self.n_classes == 1:
            return torch.zeros(len(output), dtype=torch.int64, device=output.device)
        if output.ndim == 3:
            return _first_highest(self.probabilities(output))
        if self.is_single(output):
            threshold = {"logits": 0.0, "probabilities": 0.5, "log_probabilities": _LOG_HALF}[self.kind]
            return (_at_least_float32(output).reshape(-1) > threshold).to(torch.int64)
        return _first_highest(output)

    def probabilities(self, output: torch.Tensor) -> torch.Tensor:
        """Return probabilities of shape (n, n_classes), float32 or float64; rows sum to 1."""
        output = _at_least_float32(output)
        if self.n_classes == 1:
            return output.new_ones((len(output), 1))
        if output.ndim == 3:
            flat = self.probabilities(output.flatten(0, 1))
            return flat.reshape(*output.shape[:2], -1).mean(dim=1)
        if self.is_single(output):
            return self._two_columns(output.reshape(-1))
        if self.kind == "logits":
            return output.softmax(dim=1)
        return _normalised(output.exp() if self.kind == "log_probabilities" else _within(output))

    def log_probabilities(self, output: torch.Tensor) -> torch.Tensor:
        """Return log-probabilities of shape (n, n_classes), without the rounding of ``log(softmax(...))``."""
        output = _at_least_float32(output)
        if self.n_classes > 1 and output.ndim == 2 and not self.is_single(output):
            if self.kind == "logits":
                return output.log_softmax(dim=1)
            if self.kind == "log_probabilities":
                total = output.exp().sum(dim=1, keepdim=True)
                off = _is_off(total)
                return torch.where(off, output - total.log(), output) if bool(off.any()) else output
        if self.n_classes > 1 and output.ndim < 3 and self.is_single(output) and self.kind == "logits":
            z = output.reshape(-1)
            return torch.stack([nn.functional.logsigmoid(-z), nn.functional.logsigmoid(z)], dim=1)
        return self.probabilities(output).log()

    def decision(self, output: torch.Tensor) -> torch.Tensor:
        """Return decision values: (n, n_classes), or (n,) for two classes, positive for class 1.

        Logits; log-probabilities for criteria on (log-)probabilities; the log of the mean probability
        for ensembles. Two classes: the difference of the two columns.
        """
        output = _at_least_float32(output)
        if self.n_classes == 1:
            return output.new_zeros((len(output), 1))
        if output.ndim == 2 and not self.is_single(output) and self.kind != "probabilities":
            scores = output
        elif output.ndim < 3 and self.is_single(output) and self.kind == "logits":
            return output.reshape(-1)
        else:
            scores = self.log_probabilities(output)
        return scores[:, 1] - scores[:, 0] if self.n_classes == 2 else scores

    def _two_columns(self, values: torch.Tensor) -> torch.Tensor:
        if self.kind == "logits":
            return torch.stack([(-values).sigmoid(), values.sigmoid()], dim=1)
        values = _within(values.exp() if self.kind == "log_probabilities" else values)
        return torch.stack([1 - values, values], dim=1)

    def unusable(self, output: torch.Tensor) -> torch.Tensor | None:
        """Return the samples without probabilities, bool of shape (n,); None if there is none.

        These are samples with NaN, with the logit inf or -inf for every class (some classes may be masked by -inf),
        with probabilities outside [0, 1], or whose probabilities do not sum to 1. Rounding in the output's dtype is
        tolerated.
        """
        if (self.kind == "logits" or self.n_classes == 1) and bool(torch.isfinite(output.sum())):
            return None  # one pass
        bad = self._unusable(output.flatten(0, 1) if output.ndim == 3 else output)
        return bad.reshape(len(output), -1).any(dim=1) if bool(bad.any()) else None

    def _unusable(self, output: torch.Tensor) -> torch.Tensor:
        rounding = 8 * torch.finfo(output.dtype).eps
        outside, output = max(_OUTSIDE, rounding), _at_least_float32(output)
        if self.n_classes == 1:
            return output.reshape(len(output), -1).isnan().any(dim=1)
        if self.kind == "logits":
            if self.is_single(output):
                return output.reshape(-1).isnan()
            return ~output.amax(dim=1).isfinite()
        values = output.exp() if self.kind == "log_probabilities" else output
        if self.is_single(output):
            values = values.reshape(-1)
            return ~((values >= -outside) & (values <= 1 + outside))  # and NaN
        bad = ~((values.sum(dim=1) - 1).abs() <= max(_SUM, rounding))
        if self.kind == "probabilities" and not bool(values.amin() >= -outside):
            bad |= (values < -outside).any(dim=1)
        return bad


_WIDE = 32  # columns, from which numpy's argmax is faster
_LOG_HALF = -0.6931471805599453
_OUTSIDE = 1e-3  # distance of a probability to [0, 1], and of a sum of probabilities to 1, that is taken for rounding
_SUM = 0.05


def _at_least_float32(output: torch.Tensor) -> torch.Tensor:
    return output.float() if output.dtype in (torch.float16, torch.bfloat16) else output


def _within(probabilities: torch.Tensor) -> torch.Tensor:
    """Return probabilities in [0, 1], where rounding led out of it; the others keep their bits."""
    low, high = probabilities.aminmax()
    return probabilities.clamp(0, 1) if bool((low < 0) | (high > 1)) else probabilities


def _normalised(probabilities: torch.Tensor) -> torch.Tensor:
    """Return rows that sum to 1, where they do not closely enough; the others keep their bits."""
    total = probabilities.sum(dim=1, keepdim=True)
    off = _is_off(total)
    return torch.where(off, probabilities / total, probabilities) if bool(off.any()) else probabilities


def _is_off(total: torch.Tensor) -> torch.Tensor:
    """Whether a sum of probabilities is not close enough to 1 for the checks of scikit-learn's metrics."""
    off: torch.Tensor = (total - 1).abs() > min(5e-6, math.sqrt(torch.finfo(total.dtype).eps) / 4)
    return off


def _first_highest(scores: torch.Tensor) -> torch.Tensor:
    """Return the argmax over axis 1, of ties the first; faster than torch's."""
    if scores.shape[1] >= _WIDE and scores.device.type == "cpu" and scores.dtype in (torch.float32, torch.float64):
        return torch.from_numpy(scores.detach().numpy().argmax(axis=1))  # 1,000 columns: 6 times as fast as max
    return scores.max(dim=1).indices  # 1.5 (3 columns) to 5 times (1,000) as fast as argmax
