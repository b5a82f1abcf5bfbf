"""The constructor's parameters as one value, nested ones by prefix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from sktorch_acc._params import default_of, split_nested

# Only building looks at these; a fit that continues keeps what was built.
_USED_BY_BUILD = ("module", "criterion", "output", "optimizer", "callbacks", "device")


@dataclass(frozen=True, eq=False)
class FitSettings:
    """The parameters of the estimator at one call of `fit` that the engine reads, under their names.

    Parameters
    ----------
    nested : mapping
        Parameters with a prefix, such as ``module__hidden``.
    """

    module: Any
    criterion: Any
    output: Any
    optimizer: Any
    lr: float
    max_epochs: int
    batch_size: int
    validation_fraction: float | None
    early_stopping: bool
    n_iter_no_change: int
    tol: float
    monitor: str
    lr_scheduler: Any
    train_accuracy: str | None
    callbacks: Any
    device: Any
    n_threads: int | str
    warm_start: bool
    nested: Mapping[str, Any]

    def part(self, prefix: str) -> dict[str, Any]:
        """Return the parameters under ``prefix__``, without the prefix."""
        return split_nested(self.nested, prefix) if self.nested else {}

    def ignored_changes(self, built_from: FitSettings) -> list[str]:
        """Return the parameters that differ from those of `built_from` and have no effect on a fit that continues.

        A nested parameter that is not set is what the constructor has as default.
        """
        now, then = self._used_by_build(), built_from._used_by_build()
        return sorted(n for n in now.keys() | then.keys() if not _same(self._value(n, now), built_from._value(n, then)))

    def _value(self, name: str, given: Mapping[str, Any]) -> Any:
        if name in given:
            return given[name]
        prefix, _, rest = name.partition("__")
        return default_of(getattr(self, prefix, None), rest)

    def _used_by_build(self) -> dict[str, Any]:
        nested = {name: value for name, value in self.nested.items() if not name.startswith("lr_scheduler__")}
        return {name: getattr(self, name) for name in _USED_BY_BUILD} | nested

    @classmethod
    def of(cls, params: Mapping[str, Any], nested: Mapping[str, Any]) -> FitSettings:
        """Return the settings for the constructor's parameters; those that the engine does not read are left out."""
        plain = {field.name: params[field.name] for field in fields(cls) if field.name != "nested"}
        whole = {name: int(plain[name]) for name in ("batch_size", "max_epochs")}  # of numpy, from a grid
        return cls(**{**plain, **whole}, nested=dict(nested))


def _same(a: Any, b: Any) -> bool:
    """Whether two parameters are the same object, or compare equal."""
    if a is b:
        return True
    try:
        return bool(a == b)
    except Exception:  # arrays and tensors
        return False
