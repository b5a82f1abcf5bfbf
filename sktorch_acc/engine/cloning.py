"""Parameters of an estimator as `sklearn.base.clone` copies them, all with one memo: what they share stays shared."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from sklearn.base import clone
from torch import nn

from sktorch_acc.engine.copying import copied


@dataclass(frozen=True, eq=False, repr=False)
class Cloned:
    """A parameter that is cloned already, in the place of the one that scikit-learn would clone."""

    value: Any

    @classmethod
    def of(cls, value: Any, memo: dict[int, Any]) -> Cloned:
        """Return a clone of a parameter; `memo` is that of deepcopy."""
        return cls(_cloned(value, memo))

    def __repr__(self) -> str:
        return repr(self.value)

    def __sklearn_clone__(self) -> Any:
        return self.value


def _cloned(value: Any, memo: dict[int, Any]) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _cloned(item, memo) for key, item in value.items()}
    if kind in (list, tuple, set, frozenset):
        return kind([_cloned(item, memo) for item in value])
    if isinstance(value, nn.Module):
        known = memo.get(id(value))
        return copied(value, memo) if known is None else known
    if isinstance(value, type) or not (hasattr(value, "__sklearn_clone__") or hasattr(value, "get_params")):
        return copy.deepcopy(value, memo)
    return clone(value, safe=False)
