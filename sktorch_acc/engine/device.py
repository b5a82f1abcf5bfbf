"""Device, number of threads and dtype of the computation."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sktorch_acc._global_state import available_threads

# Below this many operations per step, a second intra-op thread makes training slower (docs/speed.md).
PARALLEL_OPERATIONS = 10_000_000


def resolve_device(device: Any) -> torch.device:
    """Return the device for a `device` parameter on this machine.

    Raises
    ------
    ValueError
        If torch does not know the device, or it is not available here.
    """
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if isinstance(device, str) and device == "auto":
        return accelerator or torch.device("cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as err:
        raise ValueError(
            f"device={device!r} is not a device of torch. Use 'auto', 'cpu' or the name of an accelerator, "
            "such as 'cuda' or 'mps'."
        ) from err
    if resolved.type != "cpu" and (accelerator is None or resolved.type != accelerator.type):
        here = "none" if accelerator is None else repr(accelerator.type)
        raise ValueError(
            f"device={str(device)!r} is not available: the accelerator on this machine is {here}. Use 'auto' or 'cpu'."
        )
    return resolved


def move(device: torch.device, *parts: nn.Module) -> None:
    """Move modules in place; those that are there already are left alone, which takes a third of the time."""
    for part in parts:
        if any(tensor.device != device for tensor in [*part.parameters(), *part.buffers()]):
            part.to(device)


def resolve_threads(n_threads: int | str, operations: int, device: torch.device) -> int:
    """Return the number of intra-op threads; never more than this thread has."""
    available = available_threads()
    if n_threads != "auto":
        return min(int(n_threads), available)
    return 1 if device.type == "cpu" and operations < PARALLEL_OPERATIONS else available


def threads_to_choose(n_threads: int | str, device: torch.device) -> bool:
    """Whether the number of threads depends on how many operations a step has."""
    return n_threads == "auto" and device.type == "cpu" and available_threads() > 1


def step_operations(module: nn.Module, row_operations: float, batch_rows: int) -> int:
    """Estimate the floating-point operations of a step: forward, and twice that for backward."""
    parameters = sum([p.numel() for p in module.parameters()])
    return int(3 * 2 * batch_rows * max(row_operations, parameters))


def computing_dtype(module: nn.Module, bundled: str | None, device: torch.device) -> torch.dtype:
    """Return the dtype in which the module computes.

    Accelerators: float32. On the CPU the dtype of X for a bundled module (`bundled` is its name), and
    that of the first floating parameter for a user's.
    """
    if device.type != "cpu":
        return torch.float32
    if bundled is not None:
        return torch.float64 if bundled == "float64" else torch.float32
    for parameter in module.parameters():
        if parameter.is_floating_point():
            return parameter.dtype
    return torch.get_default_dtype()
