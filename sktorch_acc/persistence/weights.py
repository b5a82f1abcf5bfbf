"""Convert modules to tensors and back; names and shapes are verified before a value is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from sktorch_acc.engine.copying import copied
from sktorch_acc.exceptions import ModelFileError
from sktorch_acc.storage.tensors import Tensors

_BUFFERS = "unsaved."  # buffers that are not in the state dict
_LAZY = (nn.parameter.UninitializedParameter, nn.parameter.UninitializedBuffer)


def tensors_of(module: nn.Module, prefix: str) -> dict[str, torch.Tensor]:
    """Return the state dict of a module, and under ``unsaved.`` the buffers that are not in it.

    Raises
    ------
    ModelFileError
        If the state dict holds something other than plain tensors.
    """
    state = module.state_dict()
    others = {name: buffer for name, buffer in module.named_buffers() if name not in state}
    for name, value in {**state, **others}.items():
        if not isinstance(value, torch.Tensor) or value.layout is not torch.strided or value.is_quantized:
            raise ModelFileError(
                f"{type(module).__name__} holds {name!r} in its state, a {type(value).__name__} that is not a plain "
                "tensor, which a model file cannot hold. Register a plain tensor, or remove it from the state dict."
            )
    return {prefix + name: value for name, value in state.items()} | {
        f"{prefix}{_BUFFERS}{name}": buffer for name, buffer in others.items()
    }


def frozen_names(module: nn.Module) -> list[str]:
    """Return the names of the parameters that are not trained."""
    return [name for name, parameter in module.named_parameters() if not parameter.requires_grad]


def mismatch(module: nn.Module, stored: Mapping[str, tuple[int, ...]]) -> str | None:
    """Describe how the state dict of a module differs from stored names and shapes; None if it does not."""
    live = module.state_dict(keep_vars=True)
    missing = sorted(set(live) - set(stored))
    unknown = sorted(name for name in set(stored) - set(live) if not name.startswith(_BUFFERS))
    if missing or unknown:
        return f"in the module but not in the file: {missing[:5]}; in the file but not in the module: {unknown[:5]}"
    for name, value in live.items():
        if isinstance(value, torch.Tensor) and not isinstance(value, _LAZY) and tuple(value.shape) != stored[name]:
            return f"{name!r} has shape {tuple(value.shape)} in the module and {stored[name]} in the file"
    return None


def build_and_fill(build: Callable[[], nn.Module], stored: Tensors, what: str, *, own: bool) -> nn.Module:
    """Build a module and set its values to those stored.

    It is built on the meta device first, so that sizes in the file allocate memory only if they fit the tensors.

    Parameters
    ----------
    build : callable
        Returns the module, on the CPU or on the meta device.
    stored : mapping of str to Tensor
        The tensors.
    what : str
        Name of the module in messages.
    own : bool
        Whether the class is one of torch or of this library, which can all be built on the meta device.

    Raises
    ------
    ModelFileError
        If the module cannot be built, or if it has other tensors than those stored.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in stored.items()}
    try:
        with torch.device("meta"):
            empty = build()
    except Exception as err:
        if own:
            raise ModelFileError(f"{what} cannot be built from the parameters in the file: {err}") from err
    else:
        _refuse(mismatch(empty, shapes), what)
    try:
        module = build()
    except Exception as err:
        raise ModelFileError(f"{what} cannot be built from the parameters in the file: {err}") from err
    if not own:  # a factory may return layers that another model has
        with suppress(Exception):  # a class that cannot be copied
            module = copied(module)
    fill(module, stored, what)
    return module


def fill(module: nn.Module, stored: Tensors, what: str) -> None:
    """Set the values of a module to those stored, in the stored dtypes; its parameters stay the same objects.

    Raises
    ------
    ModelFileError
        If names or shapes differ.
    """
    _refuse(mismatch(module, {name: tuple(tensor.shape) for name, tensor in stored.items()}), what)
    state = {name: tensor for name, tensor in stored.items() if not name.startswith(_BUFFERS)}
    try:
        module.load_state_dict(state)
        live = module.state_dict(keep_vars=True)
        other = [value for name, value in live.items() if value.dtype != state[name].dtype]
        if other:  # the module was converted to another dtype after it was built
            for name, value in live.items():
                value.data = value.data.to(state[name].dtype)
            module.load_state_dict(state)
    except Exception as err:
        raise ModelFileError(f"The tensors in the file cannot be loaded into {what}: {err}") from err
    for name, tensor in stored.items():
        if name.startswith(_BUFFERS):
            _set_buffer(module, name.removeprefix(_BUFFERS), tensor, what)


def _set_buffer(module: nn.Module, name: str, tensor: torch.Tensor, what: str) -> None:
    """Set a buffer that is not in the state dict; its shape may depend on the last batch."""
    path, _, leaf = name.rpartition(".")
    owner = dict(module.named_modules()).get(path)
    if owner is None or leaf not in owner._buffers:
        raise ModelFileError(f"The file holds a buffer {name!r} that {what} does not have.")
    setattr(owner, leaf, tensor.clone())


def _refuse(difference: str | None, what: str) -> None:
    if difference:
        raise ModelFileError(
            f"The tensors in the file are not those of {what}: {difference}. Pass load_model the class that was "
            "trained, or an instance of the same sizes."
        )


def settle_lazy_layers(module: nn.Module, row_shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Convert lazy layers, whose values are set already, to their final class by one forward pass."""
    if any(isinstance(layer, LazyModuleMixin) for layer in module.modules()):
        module.eval()
        with torch.no_grad():  # a view of one element: a large shape in the file allocates no memory
            module(torch.zeros((), dtype=dtype).expand(2, *row_shape))
