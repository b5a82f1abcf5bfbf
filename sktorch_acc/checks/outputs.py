"""Checks of what a module returns against what its criterion assumes (families B and C, and F2).

Values can make a check fail; they never change how the output is interpreted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sktorch_acc.checks.layers import leaf_layers
from sktorch_acc.findings import Finding
from sktorch_acc.outputs import OutputSpec

_TOLERANCE = 0.05  # of sums of probabilities: a floor under each of a thousand classes makes them larger than 1
_ABOVE = 1e-3  # 0, of one log-probability
_ROUNDING = 1e-5  # of one probability


@dataclass(frozen=True)
class OutputFacts:
    """What a module returned for a probe batch.

    Parameters
    ----------
    output : object
        What ``forward`` returned; should be a tensor.
    n_samples : int
        Samples of the probe batch.
    spec : OutputSpec
        What the criterion assumes.
    criterion : str
        Class name of the criterion.
    module : nn.Module
        The module, for its name and its last layer.
    mode : {"training", "evaluation"}
        Mode in which it ran.
    """

    output: Any
    n_samples: int
    spec: OutputSpec
    criterion: str
    module: nn.Module
    mode: str

    @property
    def who(self) -> str:
        return f"{type(self.module).__name__}.forward (in {self.mode} mode)"

    @property
    def came(self) -> str:
        if not isinstance(self.output, torch.Tensor):
            return f"a {type(self.output).__name__}"
        return f"{tuple(self.output.shape)} {str(self.output.dtype).removeprefix('torch.')}"

    @property
    def rounding(self) -> float:
        """Rounding error allowed for sums over the columns, in the output's dtype."""
        return 8 * float(torch.finfo(self.output.dtype).eps)

    @property
    def per_member(self) -> torch.Tensor:
        """Output with an ensemble axis folded into axis 0, float32 or float64, shape (outputs, columns)."""
        output: torch.Tensor = self.output.detach()
        output = output.flatten(0, 1) if output.ndim == 3 else output.reshape(self.n_samples, -1)
        return output if output.dtype == torch.float64 else output.float()

    def samples_with(self, bad: torch.Tensor) -> str:
        """Say how many samples have a value that is `bad`, of the shape of `per_member`; empty if none has."""
        n_bad = int(bad.reshape(self.n_samples, -1).any(dim=1).sum())
        return f"{n_bad} of {self.n_samples} samples" if n_bad else ""


def _error(code: str | None, message: str, advice: str) -> Finding:
    return Finding(code, "error", message, advice)


def output_findings(facts: OutputFacts) -> Iterator[Finding]:
    """Yield the findings in order; those after the first may be consequences of it."""
    for check in _CHECKS:
        finding = check(facts)
        if finding is not None:
            yield finding


def check_is_tensor(facts: OutputFacts) -> Finding | None:
    """Report tuples, dicts and integer tensors."""
    if not isinstance(facts.output, torch.Tensor):
        return _error(
            None,
            f"The module must return one tensor of {facts.spec.kind}, but {facts.who} returned {facts.came}.",
            "Return the tensor alone, or wrap the module in one that does.",
        )
    if not facts.output.is_floating_point():
        return _error(
            "ACC-B6",
            f"The module must return floating {facts.spec.kind}, but {facts.who} returned {facts.came}.",
            "Return the scores, without argmax.",
        )
    return None


def check_rows(facts: OutputFacts) -> Finding | None:
    """Report an output without one entry per sample on axis 0 (B4, B7, B8)."""
    shape = tuple(getattr(facts.output, "shape", ()))
    if shape and shape[0] == facts.n_samples and len(shape) <= 3:
        return None
    message = (
        f"The module must return one output per sample of the batch, ({facts.n_samples}, ...), but {facts.who} "
        f"returned {facts.came}."
    )
    if facts.n_samples == 1:
        return _error("ACC-B8", message, "squeeze() drops the batch axis of a single sample: pass its dim.")
    if not shape:
        return _error("ACC-B7", message, "A reduction without dim returns one number for the batch.")
    if shape[0] == facts.spec.n_classes:
        return _error("ACC-B4", message, "Axis 0 has the size of the classes: use dim=1, not dim=0.")
    return _error("ACC-B4", message, "Keep the batch on axis 0; flatten the other axes.")


def check_columns(facts: OutputFacts) -> Finding | None:
    """Report too few or too many columns (C7, C8); a single class passes."""
    if facts.spec.takes(facts.output):
        return None
    n_classes, shape = facts.spec.n_classes, tuple(facts.output.shape)
    columns = 1 if len(shape) == 1 else shape[-1]
    if facts.spec.one_column:
        return _one_column(facts)
    wanted = _wanted(facts, f"(batch_size, n_classes) = ({facts.n_samples}, {n_classes})")
    if columns == 1:
        binary = ", or use BCEWithLogitsLoss for two classes." if n_classes == 2 else "."
        advice = f"{facts.criterion} over one column is always 0: give its last layer {n_classes} outputs{binary}"
        return _error("ACC-C7", wanted, advice)
    unused = ", one of which never occurs now." if columns > n_classes else "."
    return _error("ACC-C8", wanted, f"Give its last layer {n_classes} outputs: one per class of y{unused}")


def _one_column(facts: OutputFacts) -> Finding:
    if facts.spec.n_classes > 2:
        return _error(
            "ACC-C8",
            f"{facts.criterion} is for two classes, but y has {facts.spec.n_classes}.",
            # scikit-learn's checks look for the first words.
            f"Only binary classification is supported with it: use CrossEntropyLoss with {facts.spec.n_classes} "
            "outputs.",
        )
    return _error(
        "ACC-C8",
        _wanted(facts, f"({facts.n_samples},) or ({facts.n_samples}, 1)"),
        "Give its last layer 1 output, or use CrossEntropyLoss with 2.",
    )


def _wanted(facts: OutputFacts, shape: str) -> str:
    return f"The module must return {facts.spec.kind} of shape {shape}, but {facts.who} returned {facts.came}."


def check_modes(facts: OutputFacts, evaluated: tuple[int, ...], own: bool) -> Finding | None:
    """Report outputs that have one column, or members, in one mode only (C8): the loss cannot be that of both.

    Parameters
    ----------
    facts : OutputFacts
        The output in training mode.
    evaluated : tuple of int
        Shape of the output in evaluation mode.
    own : bool
        Whether the criterion is one of the user's own, which may take members (several heads) in training only.
    """
    came = tuple(facts.output.shape)
    single = [facts.spec.is_single(facts.output.new_empty((0, *shape[1:]))) for shape in (came, evaluated)]
    same_column = not single[0] or max(len(came), len(evaluated)) == 3 or came[1:] == evaluated[1:]
    same_members = own or (len(came) == 3) == (len(evaluated) == 3)
    if single[0] == single[1] and same_members and same_column:
        return None
    shape = f"(n{''.join(f', {size}' for size in evaluated[1:])})" if len(evaluated) > 1 else "(n,)"
    return _error(
        "ACC-C8",
        f"{facts.who} returned {facts.came}, but {shape} in evaluation mode: the loss cannot be that of both.",
        "Return outputs of one shape in both modes.",
    )


def check_finite(facts: OutputFacts) -> Finding | None:
    """Report NaN and infinite outputs (C3); -inf log-probabilities have their own check.

    -inf logits of some classes mask these. One logit is for two classes: infinity is not a mask there.
    """
    if math.isfinite(facts.output.sum().item()):  # one pass over wide outputs instead of five
        return None
    z, spec = facts.per_member, facts.spec
    bad = ~torch.isfinite(z)
    if spec.kind == "log_probabilities":
        bad &= z != -math.inf
    elif spec.kind == "logits" and z.shape[1] > 1:
        bad &= (z != -math.inf) | (z == -math.inf).all(dim=1, keepdim=True)
    if not bad.any():
        return None
    n_bad = int(bad.reshape(facts.n_samples, -1).any(dim=1).sum())
    return _error(
        "ACC-C3",
        f"{facts.who} returned NaN or infinity for {n_bad} of {facts.n_samples} samples before any training.",
        "Look for a logarithm or a division inside the module, and for features of very large scale.",
    )


def check_softmax_twice(facts: OutputFacts) -> Finding | None:
    """Report softmax or sigmoid in the module before a criterion that applies it again (C1)."""
    if facts.spec.kind != "logits" or facts.spec.n_classes == 1:
        return None
    z, n_classes = facts.per_member, facts.spec.n_classes
    for outputs in (z[:1], z):  # the first sample tells of most logits, without a pass over all
        if bool((outputs < 0).any()) or bool((outputs > 1).any()):
            return None
    if isinstance(_last_layer(facts.module), nn.Sigmoid):
        again = "it again" if z.shape[1] == 1 else "softmax to the result"
        return _error(
            "ACC-C1",
            f"{type(facts.module).__name__} ends in a Sigmoid, and {facts.criterion} applies {again}.",
            "Return the logits" + (", or use BCELoss." if z.shape[1] == 1 else "."),
        )
    # Logits of one column may all lie in [0, 1] by chance: only the layer decides there.
    if z.shape[1] == 1 or bool(((z.sum(dim=1) - 1).abs() > max(1e-4, facts.rounding)).any()):
        return None
    floor = math.log(1 + (n_classes - 1) / math.e)
    return _error(
        "ACC-C1",
        f"{facts.who} already applies softmax (rows are in [0, 1] and sum to 1), and {facts.criterion} applies "
        f"it again: the loss cannot go below {floor:.4f}.",
        "Return the logits, without the softmax: the criterion applies it.",
    )


def _last_layer(module: nn.Module) -> nn.Module | None:
    leaves = list(leaf_layers(module))
    return leaves[-1] if leaves else None


def check_log_probabilities(facts: OutputFacts) -> Finding | None:
    """Report anything but log-probabilities where these are assumed (C2); -inf masks a class."""
    if facts.spec.kind != "log_probabilities" or facts.spec.n_classes == 1:
        return None
    z = facts.per_member
    if z.shape[1] == 1:
        above = facts.samples_with(z > max(_ABOVE, facts.rounding))
        if not above:
            return None
        return _error(
            "ACC-C2",
            f"{facts.criterion} needs log-probabilities, which are at most 0; {facts.who} returned values up to "
            f"{float(z.max()):.3f}, above 0 for {above}.",
            "End the module in LogSigmoid, or pass output='logits'.",
        )
    total = torch.logsumexp(z, dim=1)
    worst = float(total[total.abs().argmax()])
    tolerance = max(_TOLERANCE, facts.rounding)
    if abs(worst) <= tolerance:
        return None
    what = "probabilities" if bool(((z.sum(1) - 1).abs() < 1e-3).all()) and bool((z >= 0).all()) else "logits"
    return _error(
        "ACC-C2",
        f"{facts.criterion} needs log-probabilities, whose log-sum-exp is 0 in every row; {facts.who} returned "
        f"rows with {worst:.3f}, which look like {what}, for {facts.samples_with((total.abs() > tolerance)[:, None])}.",
        "Use CrossEntropyLoss on logits, or end the module in LogSoftmax(dim=1).",
    )


def check_underflow(output: torch.Tensor, module: nn.Module, kind: str) -> Finding | None:
    """Report log-probabilities of -inf that are the logarithm of a softmax (C10), for an output with its graph.

    The gradient of such a logarithm is 0 times infinity. Classes that are masked before log_softmax are -inf too, and
    right.
    """
    if kind != "log_probabilities" or not bool((output == -math.inf).any()) or not _is_logarithm(output.grad_fn):
        return None
    return _error(
        "ACC-C10",
        f"{type(module).__name__}.forward returned -inf log-probabilities: the logarithm of a softmax that "
        "underflowed.",
        "Use log_softmax, or return logits and use CrossEntropyLoss.",
    )


def _is_logarithm(node: Any, depth: int = 5) -> bool:
    """Whether the last operations of a graph take a logarithm, but not that of log_softmax."""
    if node is None or depth == 0 or "LogSoftmax" in node.name():
        return False
    if node.name().startswith("LogBackward"):
        return True
    return any(_is_logarithm(following, depth - 1) for following, _ in node.next_functions)


def check_probabilities(facts: OutputFacts) -> Finding | None:
    """Report values outside [0, 1] (C4) and rows that do not sum to 1 (C9) where probabilities are assumed."""
    if facts.spec.kind != "probabilities" or facts.spec.n_classes == 1:
        return None
    z = facts.per_member
    low, high = float(z.min()), float(z.max())
    # BCELoss itself refuses what other criteria take for rounding.
    outside = 0.0 if facts.spec.one_column else max(_ROUNDING, facts.rounding)
    if low < -outside or high > 1 + outside:
        where = facts.samples_with((z < -outside) | (z > 1 + outside))
        return _error(
            "ACC-C4",
            f"{facts.criterion} needs probabilities in [0, 1], but {facts.who} returned values from {low:.3f} to "
            f"{high:.3f}, outside of it for {where}.",
            "Use BCEWithLogitsLoss on logits." if z.shape[1] == 1 else "Apply softmax, or pass output='logits'.",
        )
    off = (z.sum(dim=1, keepdim=True) - 1).abs() > max(_TOLERANCE, facts.rounding)
    if z.shape[1] > 1 and bool(off.any()):
        first = z[off.nonzero()[0, 0]]
        return _error(
            "ACC-C9",
            f"{facts.who} returned probabilities that do not sum to 1 for {facts.samples_with(off)} (the first of "
            f"them: {float(first.sum()):.4f}).",
            "Apply softmax over dim=1.",
        )
    return None


_CHECKS: tuple[Callable[[OutputFacts], Finding | None], ...]
_CHECKS = (
    check_is_tensor,
    check_rows,
    check_columns,
    check_finite,
    check_softmax_twice,
    check_log_probabilities,
    check_probabilities,
)


def check_unusable(spec: OutputSpec, output: torch.Tensor, where: str) -> Finding:
    """Report outputs from which no probabilities can be computed (D5, C2, C4, C9), after the probe.

    Parameters
    ----------
    spec : OutputSpec
        What the criterion assumes.
    output : Tensor of shape (n, ...)
        What the module returned for samples that `OutputSpec.unusable` names, at least one.
    where : str
        Which samples they are, such as ``"3 of the rows 0 to 9"``.
    """
    values = output.detach().double()
    if bool(values.isnan().any()):
        what, code = "NaN", "ACC-D5"
        advice = "The module divides by 0 or takes the logarithm of 0 there, or the values of X are too large."
    elif spec.kind == "logits":
        what, code = "logits that are inf, or -inf for every class,", "ACC-D5"
        advice = "Softmax of them is NaN: look for an overflow or a division by 0 in the module, and for masks of all "
        advice += "classes."
    elif spec.kind == "log_probabilities":
        above = float(values.max())
        what = f"values up to {above:.3g} instead of log-probabilities (whose exponentials sum to 1, at most)"
        code, advice = "ACC-C2", "End the module in LogSoftmax(dim=1) or LogSigmoid, or pass output='logits'."
    elif float(values.min()) < -1e-3 or float(values.max()) > 1 + 1e-3:
        what = f"values from {float(values.min()):.3g} to {float(values.max()):.3g} instead of probabilities in [0, 1]"
        code, advice = "ACC-C4", "End the module in a Softmax or Sigmoid, or pass output='logits'."
    else:
        what, code = "probabilities that do not sum to 1", "ACC-C9"
        advice = "Apply softmax over dim=1."
    return _error(code, f"The module returns {what} for {where}.", advice)


def check_loss(loss: Any, criterion: str, kind: str) -> Finding | None:
    """Report a first loss that is not a finite number (C3).

    Parameters
    ----------
    loss : object
        What the criterion returned; should be a tensor of shape ().
    criterion : str
        Class name of the criterion.
    kind : {"logits", "log_probabilities", "probabilities"}
        What it was computed from.
    """
    if not isinstance(loss, torch.Tensor) or loss.ndim != 0:
        came = getattr(loss, "shape", type(loss).__name__)
        return _error(
            None,
            f"The criterion {criterion} must return one number (or one per sample), but returned {came}.",
            "Reduce the loss to its mean.",
        )
    if bool(torch.isfinite(loss)):
        return None
    return _error(
        "ACC-C3",
        f"The first loss is {float(loss.detach()):g}: {criterion} on the {kind} of the module.",
        "Check that the criterion fits what the module returns: CrossEntropyLoss on logits, NLLLoss on "
        "log-probabilities, BCEWithLogitsLoss on one logit.",
    )


def check_parameters(module: nn.Module) -> Finding | None:
    """Report a module without a parameter that can be trained (F2)."""
    parameters = list(module.parameters())
    if not parameters:
        return _error(
            "ACC-F2",
            f"{type(module).__name__} has no parameters: there is nothing to train.",
            "Layers in a plain list or dict are not registered: use nn.ModuleList or nn.ModuleDict.",
        )
    if not any(p.requires_grad for p in parameters):
        return _error(
            "ACC-F2",
            f"No parameter of {type(module).__name__} requires a gradient: all {len(parameters)} are frozen.",
            "Unfreeze those to be trained: parameter.requires_grad_(True).",
        )
    return None


def check_gradients(module: nn.Module, output: torch.Tensor) -> Finding | None:
    """Report an output through which no gradient flows (F2)."""
    if output.requires_grad:
        return None
    return _error(
        "ACC-F2",
        f"The output of {type(module).__name__}.forward does not depend on its parameters: it was detached, "
        "computed under no_grad, or made by an operation without a gradient.",
        "Return the tensor that the layers computed.",
    )
