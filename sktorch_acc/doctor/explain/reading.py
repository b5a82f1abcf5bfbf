"""Check the outputs, the targets and the batches that `explain_accuracy` is given."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
import torch

from sktorch_acc._text import listed
from sktorch_acc.doctor.explain.problem import Ints, Problem
from sktorch_acc.exceptions import InputError


def read_problem(outputs: Any, targets: Any, batch_size: Any, shuffled: Any) -> Problem:
    """Check the parameters of `explain_accuracy`, and make a problem of them."""
    scores = _read_scores(outputs)
    n_classes = scores.shape[1] if scores.ndim == 2 else 2
    classes = _read_targets(targets, scores, n_classes)
    return Problem(scores, classes, n_classes, _read_batch_size(batch_size), _read_shuffled(shuffled))


def _to_tensor(values: Any, name: str) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        return values.detach().cpu()
    if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
        raise InputError(
            f"{name!r} is masked in {int(np.ma.getmaskarray(values).sum())} places. Pass the samples that count, of "
            "the outputs and of the targets."
        )
    try:
        if isinstance(values, (list, tuple)) and any(isinstance(v, torch.Tensor) for v in values):
            return torch.stack([torch.as_tensor(v).detach().cpu() for v in values])
        array = np.array(values, order="C")  # A copy, because torch does not support negative strides.
        if array.dtype.kind not in "biuf":
            raise TypeError(f"dtype {array.dtype}")
        return torch.from_numpy(array)
    except (TypeError, ValueError, RuntimeError) as err:
        raise InputError(
            f"{name!r} must be a tensor, an array or a list of numbers with one entry per sample. "
            f"Got {type(values).__name__} that cannot be converted ({err})."
        ) from err


def _read_scores(outputs: Any) -> torch.Tensor:
    scores = _to_tensor(outputs, "outputs")
    shape, dtype = tuple(scores.shape), str(scores.dtype).removeprefix("torch.")
    if scores.ndim not in (1, 2):
        hint = " If axis 1 holds the members of an ensemble, pass the mean of their probabilities."
        raise InputError(
            "'outputs' must have shape (n_samples, n_classes), (n_samples, 1) or (n_samples,). "
            f"Got {shape}.{hint if scores.ndim == 3 else ''}",
            "ACC-B5" if scores.ndim == 3 else None,
        )
    if scores.numel() == 0:
        raise InputError(f"'outputs' must have at least one sample and one column. Got shape {shape}.")
    if not scores.is_floating_point():
        if scores.ndim == 1 or scores.shape[1] == 1:
            raise InputError(
                "'outputs' must be the output of the module, before argmax or a threshold. Got class indices: shape "
                f"{shape}, dtype {dtype}. Pass the scores of all classes, or the single column of logits."
            )
        scores = scores.double()
    if scores.ndim == 2 and scores.shape[1] == 1:
        scores = scores[:, 0]
    _refuse_nan(scores)
    return scores


def _refuse_nan(scores: torch.Tensor) -> None:
    # -inf is a valid score, the logarithm of a probability that underflowed. NaN and +inf are not.
    bad = ~(torch.isfinite(scores) | torch.isneginf(scores)).reshape(len(scores), -1).all(dim=1)
    samples = bad.nonzero()[:, 0].tolist()
    if samples:
        raise InputError(
            f"'outputs' must be numbers. Got NaN or inf in {len(samples)} of {len(scores)} samples: {listed(samples)}. "
            "Their argmax is undefined: look for NaN in the inputs, and for a learning rate that is too high.",
            "ACC-D5",
        )


def _read_targets(targets: Any, scores: torch.Tensor, n_classes: int) -> Ints:
    values = _to_tensor(targets, "targets")
    shape = tuple(values.shape)
    if values.ndim == 2 and shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        hint = " For one-hot targets, pass targets.argmax(axis=1)." if values.ndim == 2 else ""
        raise InputError(
            f"'targets' must be class indices of shape (n_samples,) or (n_samples, 1). Got shape {shape}.{hint}",
            "ACC-B3" if values.ndim == 2 else None,
        )
    if len(values) != len(scores):
        raise InputError(
            f"'outputs' and 'targets' must have one entry for each sample. Got {len(scores)} outputs and "
            f"{len(values)} targets. Collect both in the same iteration over the loader."
        )
    if values.is_floating_point():
        broken = (values != values.round()) | ~torch.isfinite(values)
        if bool(broken.any()):
            raise InputError(
                "'targets' must be class indices. Got values that are not whole numbers: "
                f"{listed(values[broken].tolist())}. For soft labels, pass their argmax.",
                "ACC-D11",
            )
    classes = values.long().numpy()
    _refuse_outside(classes, n_classes, "one column, so two classes" if scores.ndim == 1 else f"{n_classes} columns")
    return classes


def _refuse_outside(classes: Ints, n_classes: int, columns: str) -> None:
    negative, high = classes[classes < 0], np.unique(classes[classes >= n_classes])
    if len(negative):
        raise InputError(
            f"'targets' must be class indices from 0. Got negative values: {listed(negative)}. Number the classes "
            "0, 1, ..., and leave out samples that the loss ignores.",
            "ACC-D1",
        )
    if len(high):
        raise InputError(
            f"'targets' must lie in [0, {n_classes - 1}], because the outputs have {columns}. Got {listed(high)}. "
            "Number the classes 0, 1, ... in the order of the columns, or give the module one output for each class "
            "(ACC-C8).",
            "ACC-D1",
        )


def _read_batch_size(batch_size: Any) -> int | None:
    if batch_size is None:
        return None
    if isinstance(batch_size, bool) or not isinstance(batch_size, Integral) or int(batch_size) < 1:
        raise ValueError(
            "The 'batch_size' parameter of explain_accuracy must be None or an int in the range [1, inf). "
            f"Got {batch_size!r} instead."
        )
    return int(batch_size)


def _read_shuffled(shuffled: Any) -> bool:
    if shuffled is not None and not isinstance(shuffled, (bool, np.bool_)):
        raise ValueError(
            f"The 'shuffled' parameter of explain_accuracy must be None, True or False. Got {shuffled!r} instead."
        )
    return bool(shuffled)
