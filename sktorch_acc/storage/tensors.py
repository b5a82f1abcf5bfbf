"""Convert tensors to safetensors and back; names, dtypes and shapes are verified before a value is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch

from sktorch_acc.exceptions import ModelFileError

Tensors = Mapping[str, torch.Tensor]


def table_of(tensors: Tensors) -> dict[str, Any]:
    """Return the dtype and the shape of every tensor."""
    return {
        name: {"dtype": str(tensor.dtype).removeprefix("torch."), "shape": list(tensor.shape)}
        for name, tensor in tensors.items()
    }


def pack(tensors: Tensors) -> bytes:
    """Return tensors as the bytes of a safetensors file; tensors that share memory are each stored in full.

    Raises
    ------
    ModelFileError
        If safetensors cannot store a tensor.
    """
    seen: set[int] = set()
    plain = {}
    for name, tensor in tensors.items():
        own = tensor.detach().cpu().contiguous()
        address = own.untyped_storage().data_ptr()
        plain[name] = own.clone() if address in seen else own
        seen.add(address)
    try:
        return safetensors.torch.save(plain)
    except Exception as err:
        raise ModelFileError(f"The tensors cannot be stored: {err}") from err


def unpack(data: bytes, table: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return the tensors in `data`, verified against the table of the manifest.

    Raises
    ------
    ModelFileError
        If `data` cannot be read, or holds other tensors than the table lists.
    """
    try:
        tensors = safetensors.torch.load(data)
    except Exception as err:
        raise ModelFileError(f"weights.safetensors cannot be read: {err}") from err
    if table_of(tensors) != table:
        odd = sorted(set(tensors) ^ set(table)) or [name for name in tensors if table_of(tensors)[name] != table[name]]
        raise ModelFileError(
            f"weights.safetensors does not hold the tensors that manifest.json lists: {odd[:5]} differ. The two "
            "parts are not from one model."
        )
    return tensors
