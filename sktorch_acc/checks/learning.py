"""Checks of whether a module learns, and of what prevents it (family F)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.special
from torch import nn

from sktorch_acc._rates import rates
from sktorch_acc._text import listed
from sktorch_acc.findings import Finding

_FEWEST_EPOCHS, _FEWEST_STEPS = 5, 50
_DEAD = 0.9  # share of the units of a layer

Ints = npt.NDArray[np.int64]


def long_enough(epochs: int, steps: int) -> bool:
    """Whether a fit took enough epochs and steps to judge what it has learnt."""
    return epochs >= _FEWEST_EPOCHS and steps >= _FEWEST_STEPS


def check_flat(correct: Ints, support: Ints, epochs: int, steps: int, labels: Sequence[Any]) -> Finding | None:
    """Warn of an accuracy that is not significantly above that of always predicting the largest class (F1).

    The number of correct predictions is within the 97.5 % quantile of a binomial with the share of the
    largest class, and the mean accuracy over classes within two standard errors of 1 / n_classes: a module
    trained with class weights may have learnt a lot and stay below the largest share. Fits of fewer than
    5 epochs or 50 steps are not judged.
    """
    present = support > 0
    n_samples, n_classes = int(support.sum()), int(present.sum())
    if n_classes < 2 or not long_enough(epochs, steps):
        return None
    winner = int(support.argmax())
    share = float(rates(support[winner], n_samples))
    n_correct = int(correct.sum())
    if n_correct and scipy.special.bdtr(n_correct - 1, n_samples, share) >= 0.975:
        return None
    chance = 1 / n_classes
    error = math.sqrt(chance * (1 - chance) * float((1 / support[present]).sum())) / n_classes
    if float(rates(correct[present], support[present]).mean()) > chance + 2 * error:
        return None
    return Finding(
        "ACC-F1",
        "warning",
        f"After {epochs} epochs the accuracy of {n_correct / n_samples:.4f} is not significantly above that of always "
        f"predicting {labels[winner]!r} ({share:.2%} of the samples): nothing, or too little, was learnt.",
        "Run diagnose and overfit_check to find bugs first; then try another lr and more epochs.",
    )


def check_registered(module: nn.Module) -> Finding | None:
    """Report layers in a plain list, tuple or dict, whose parameters are not trained (F2)."""
    known = {id(layer) for layer in module.modules()}
    names = []
    for prefix, layer in module.named_modules():
        for name, value in vars(layer).items():
            held = value.values() if isinstance(value, dict) else value
            if name.startswith("_") or not isinstance(value, (list, tuple, dict)):
                continue
            if any(isinstance(item, nn.Module) and id(item) not in known for item in held):
                names.append(f"{prefix}.{name}".lstrip("."))
    if not names:
        return None
    return Finding(
        "ACC-F2",
        "error",
        f"Layers in a plain list or dict are not registered: {listed(names)} of {type(module).__name__}. Their "
        "parameters are not in module.parameters(), are not trained and not saved.",
        "Use nn.ModuleList or nn.ModuleDict.",
    )


def check_optimizer(module: nn.Module, optimizer: Any) -> Finding | None:
    """Report an optimizer that updates the weights of another module (F2).

    An optimizer over a part of the module (fine-tuning) or over more (two modules) passes. If it lacks
    parameters of the module and has others that the module lacks, one of the two was built again.
    """
    own = {id(p) for p in module.parameters() if p.requires_grad}
    updated = {id(p) for group in optimizer.param_groups for p in group["params"]}
    missing, foreign = own - updated, updated - {id(p) for p in module.parameters()}
    if not missing or not foreign:
        return None
    return Finding(
        "ACC-F2",
        "error",
        f"The optimizer does not update {len(missing)} of the {len(own)} trainable parameters of "
        f"{type(module).__name__}, and updates {len(foreign)} that are not part of it: the module, or a layer, was "
        "replaced after the optimizer was built.",
        "Build the optimizer after the module: torch.optim.Adam(model.parameters()).",
    )


def check_steps_taken(backwards: int, steps: int, moved: bool) -> Finding | None:
    """Report a loop that calls backward() but not step(), or step() without gradients (F2)."""
    if moved or (not steps and backwards < 2):
        return None
    if not steps:
        what = f"backward() was called {backwards} times, but optimizer.step() never"
        advice = "Call optimizer.step() after loss.backward()."
    elif not backwards:
        what = f"{steps} steps were taken, but no parameter of the optimizer got a gradient"
        advice = "Call loss.backward() before the step; look for detach(), no_grad() and frozen parameters."
    else:
        what = f"{steps} steps were taken, but all gradients were None or zero in each of them"
        advice = "Call zero_grad() before backward() or after step(), not between the two."
    return Finding("ACC-F2", "error", f"{what}: no parameter has changed.", advice)


def check_stale_gradients(stale_steps: int, steps: int) -> Finding | None:
    """Report steps whose gradients still include those of earlier steps (F6)."""
    if stale_steps < 2:
        return None
    return Finding(
        "ACC-F6",
        "error",
        f"Gradients are being accumulated; call zero_grad(): in {stale_steps} of {steps} steps they still included "
        "those of earlier steps.",
        "Call optimizer.zero_grad() before loss.backward(), once for each step.",
    )


def check_gradient_flow(without: Sequence[str], n_parameters: int) -> Finding | None:
    """Report parameters on which the loss does not depend (F2)."""
    if not without:
        return None
    return Finding(
        "ACC-F2",
        "error" if len(without) == n_parameters else "warning",
        f"The loss does not depend on {len(without)} of {n_parameters} trainable parameters: {listed(without)}.",
        "Look for detach(), no_grad(), argmax inside forward, and for layers that forward does not use.",
    )


def check_exploding_loss(losses: Sequence[float], lr: float, spread: float) -> Finding | None:
    """Report a training loss that grew tenfold or is not finite (F3)."""
    if len(losses) < 2 or (math.isfinite(losses[-1]) and losses[-1] <= 10 * abs(losses[0])):
        return None
    return Finding(
        "ACC-F3",
        "error",
        f"The training loss went from {losses[0]:.4g} to {losses[-1]:.4g} in {len(losses)} epochs, with lr={lr:g}; the "
        f"largest standard deviation of a feature is {spread:.3g}.",
        f"Try lr={lr / 10:g}, and scale X if its standard deviations are not about 1.",
    )


def check_still_loss(losses: Sequence[float], lr: float, n_classes: int) -> Finding | None:
    """Report a training loss far from 0 that changed by less than 1 in 10,000 over three epochs or more (F4)."""
    if len(losses) < 3 or losses[-1] < 0.25 * math.log(max(2, n_classes)):
        return None
    change = (max(losses) - min(losses)) / max(abs(losses[0]), 1e-300)
    if not change < 1e-4:
        return None
    return Finding(
        "ACC-F4",
        "warning",
        f"The training loss changed by {change:.1e} of its value in {len(losses)} epochs, with lr={lr:g}.",
        f"lr is likely too low: try {lr * 10:g}, or 1e-3 with Adam.",
    )


def is_constant(spread: float, size: float) -> bool:
    """Whether outputs of this spread and size differ by no more than rounding."""
    return spread <= 1e-6 * max(size, 1e-3)


def check_constant_output(spread: float, size: float, dead: Sequence[tuple[str, float]]) -> Finding | None:
    """Report outputs that are the same for every sample, and layers whose units are never active (F5).

    Parameters
    ----------
    spread, size : float
        Largest difference between samples in one column of the output, and largest magnitude of a value.
    dead : sequence of (str, float)
        Layers, and the share of their units that are 0 for every sample.
    """
    layers = [(name, share) for name, share in dead if share > _DEAD]
    constant = is_constant(spread, size)
    if not constant and not layers:
        return None
    parts = [f"layer {name}: {share:.0%} of the units are 0 for every sample" for name, share in layers]
    if constant:
        parts.insert(0, "the module returns the same output for every sample")
    text = "; ".join(parts)
    return Finding(
        "ACC-F5",
        "error" if constant else "warning",
        f"{text[0].upper()}{text[1:]}.",
        "Look at the initial weights and biases, lower lr, scale X, or use LeakyReLU.",
    )


def check_memorised(correct: int, best: int, n_samples: int, steps: int) -> Finding | None:
    """Report a module that cannot overfit one small batch (F7)."""
    if correct >= best:
        return None
    return Finding(
        "ACC-F7",
        "error",
        f"The module cannot overfit {n_samples} samples: after {steps} steps on them {correct} predictions are "
        f"correct, and {best} are possible. This is an error in the module, the loss or the scale of X, not a matter "
        "of tuning.",
        "Look at the output of forward for two very different samples, at the criterion, and at the scale of X.",
    )
