"""The step of the optimizer with little Python: torch's fused Adam kernel, where it does what ``step()`` does.

``Optimizer.step`` looks its state up anew for every parameter and step, opens a profiler region, walks
hooks and groups the tensors by device; on a small module that takes longer than forward and loss
together. Here the lists are made once per epoch, and the same kernel of torch gets the same tensors: the
same bits. The kernel's name is private, so it is tried out first; where torch has renamed it, or lets it
take or do other things than the functional Adam does around it, the latter is called, which is public.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import optimizer as base
from torch.optim.adam import adam


def step_of(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Return the cheapest callable that does what ``optimizer.step()`` does, for the length of an epoch."""
    return _DirectAdam(optimizer) if _is_plain_adam(optimizer) else optimizer.step


def sure_step_of(optimizer: torch.optim.Optimizer) -> Callable[[], object]:
    """Return the callable of `step_of`; it takes the plain form instead of a fused one where the latter would fail."""
    falls_back = isinstance(optimizer, (torch.optim.SGD, torch.optim.Adagrad))
    if falls_back and any(group.get("fused") for group in optimizer.param_groups):
        return _FusedOrPlain(optimizer)
    return step_of(optimizer)


def may_fuse(parameters: Iterable[torch.Tensor]) -> bool:
    """Whether fused kernels take these parameters: real numbers, in memory without gaps.

    The kernels go through the memory of a parameter and of its gradient element by element: where the parameter is
    part of a larger tensor, they write beside it.
    """
    return all(parameter.is_floating_point() and _is_dense(parameter) for parameter in parameters)


def _is_dense(tensor: torch.Tensor) -> bool:
    if tensor.is_contiguous():
        return True
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride != expected:
            return False
        expected *= size
    return True


def start_momentum(optimizer: torch.optim.Optimizer) -> bool:
    """Let momentum start at 0, which gives the same steps: the fused SGD fails if only some parameters have one yet.

    That happens where a parameter is frozen at first, or gets no gradient in the first step. Return whether every
    parameter has what it may need.
    """
    if not isinstance(optimizer, torch.optim.SGD):
        return True
    settled = True
    for group in optimizer.param_groups:
        if group["dampening"]:  # a first step from 0 would be dampened
            group["fused"] = False
        elif group["fused"] and not group["momentum"]:
            settled = False  # a schedule may move it
        elif group["fused"]:
            for parameter in group["params"]:
                state = optimizer.state[parameter]
                if state.get("momentum_buffer") is None:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
    return settled


class _FusedOrPlain:
    """Call ``optimizer.step()``, with the plain form instead of the fused one where the latter would fail."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer, self._settled = optimizer, False

    def __call__(self) -> None:
        if not self._settled:
            self._settled = start_momentum(self._optimizer)
        for group in self._optimizer.param_groups:
            if group["fused"] and any(p.grad is not None and p.grad.is_sparse for p in group["params"]):
                group["fused"] = False
        self._optimizer.step()


def _is_plain_adam(optimizer: torch.optim.Optimizer) -> bool:
    """Whether ``step()`` is torch's own, with fused kernels, and nobody listens to it."""
    if type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW):
        return False
    # Private names: where torch renames one, the answer is no and step() itself is called.
    hooks = (
        getattr(optimizer, "_optimizer_step_pre_hooks", True),
        getattr(optimizer, "_optimizer_step_post_hooks", True),
        getattr(base, "_global_optimizer_pre_hooks", True),
        getattr(base, "_global_optimizer_post_hooks", True),
        getattr(optimizer, "grad_scale", None) is not None,
        getattr(optimizer, "found_inf", None) is not None,
    )
    if any(hooks):
        return False
    own = vars(optimizer).get("step")  # schedulers wrap it to see that it was called; others may replace it
    if own is not None and getattr(own, "__wrapped__", None) is not type(optimizer).step:
        return False
    return all(group["fused"] is True and not group["differentiable"] for group in optimizer.param_groups)


# With a plain 1, torch makes a new tensor for every parameter and step.
_ONE = torch.ones((), dtype=torch.float32, device="cpu")
_Kernel = Callable[..., object]
_functional: _Kernel = adam


def _by_kernel(kernel: _Kernel, tensors: tuple[list[torch.Tensor], ...], settings: dict[str, Any]) -> None:
    torch._foreach_add_(tensors[-1], _ONE, alpha=1.0)
    kernel(*tensors, **settings)


@functools.lru_cache(maxsize=2)
def _kernel(decoupled: bool) -> _Kernel | None:
    """Return torch's fused kernel if it gives the same result as the functional optimizer on an example, else None."""
    kernel: _Kernel | None = getattr(torch, "_fused_adamw_" if decoupled else "_fused_adam_", None)
    if kernel is None:
        return None
    settings: dict[str, Any] = {"lr": 0.1, "beta1": 0.9, "beta2": 0.99, "weight_decay": 0.1, "eps": 1e-8}
    settings |= {"amsgrad": False, "maximize": False}

    def sample() -> tuple[list[torch.Tensor], ...]:
        values = torch.arange(3, dtype=torch.float32, device="cpu")
        return [values], [values + 0.7], [values / 2], [values / 3], [], [_ONE + 1]

    public, direct = sample(), sample()
    _functional(*public, fused=True, decoupled_weight_decay=decoupled, capturable=False, **settings)
    try:
        _by_kernel(kernel, direct, settings)
    except (TypeError, RuntimeError):
        return None
    same = all(torch.equal(*map(torch.stack, pair)) for pair in zip(public, direct, strict=True) if pair[0])
    return kernel if same else None


class _Group:
    """The tensors of a parameter group, in the lists that the functional optimizer takes."""

    def __init__(self, optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> None:
        self.options = group  # read at each step: schedules change lr and betas
        self.active: list[torch.Tensor] = []
        self.idle: list[torch.Tensor] = []  # frozen, or not part of this forward
        self.averages: list[torch.Tensor] = []
        self.squares: list[torch.Tensor] = []
        self.largest: list[torch.Tensor] = []
        self.steps: list[torch.Tensor] = []
        for parameter in group["params"]:
            if parameter.grad is None:
                self.idle.append(parameter)
                continue
            state = optimizer.state[parameter]
            self.active.append(parameter)
            self.averages.append(state["exp_avg"])
            self.squares.append(state["exp_avg_sq"])
            self.steps.append(state["step"])
            if group["amsgrad"]:
                self.largest.append(state["max_exp_avg_sq"])
        self.kernel = _kernel(bool(group["decoupled_weight_decay"])) if self._in_one_call() else None

    def _in_one_call(self) -> bool:
        """Whether all tensors are of one dtype and on the CPU, where the kernel takes them in one call."""
        dtypes = {p.dtype for p in self.active}
        devices = {tensor.device.type for tensor in [*self.active, *self.steps]}
        return len(dtypes) == 1 and devices == {"cpu"} and not self.options["capturable"]

    def gradients(self) -> list[torch.Tensor] | None:
        """Return the gradients; None if other parameters have one than when the lists were made, or one is sparse."""
        gradients = [g for p in self.active if (g := p.grad) is not None and not g.is_sparse]
        if len(gradients) < len(self.active):
            return None
        for parameter in self.idle:
            if parameter.grad is not None:
                return None
        return gradients

    def step(self, gradients: list[torch.Tensor]) -> None:
        """Do what ``Adam.step`` does with these gradients."""
        options = self.options
        lr, (beta1, beta2) = options["lr"], options["betas"]
        tensors = (self.active, gradients, self.averages, self.squares, self.largest, self.steps)
        settings = {"lr": lr, "beta1": beta1, "beta2": beta2}
        for name in ("amsgrad", "weight_decay", "eps", "maximize"):
            settings[name] = options[name]
        if self.kernel is not None and type(lr) is type(beta1) is type(beta2) is float:
            _by_kernel(self.kernel, tensors, settings)
            return
        _functional(
            *tensors,
            fused=True,
            capturable=options["capturable"],
            decoupled_weight_decay=options["decoupled_weight_decay"],
            **settings,
        )


class _DirectAdam:
    """Take the first step with ``optimizer.step()``, which creates the state; then call the kernel."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._groups: list[_Group] = []

    def __call__(self) -> None:
        if not self._groups:
            self._optimizer.step()
            for group in self._optimizer.param_groups:
                self._groups.append(_Group(self._optimizer, group))
            return
        gradients = []
        for prepared in self._groups:
            found = prepared.gradients()
            if found is None:
                self._optimizer.step()
                return
            gradients.append(found)
        with torch.no_grad():
            for prepared, found in zip(self._groups, gradients, strict=True):
                prepared.step(found)
