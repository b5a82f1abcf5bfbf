"""Nested parameters (``module__hidden``): split them by prefix, check their names and suggest valid ones."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

PREFIXES = ("module", "criterion", "optimizer", "lr_scheduler", "callbacks")


def is_nested(name: str) -> bool:
    """Whether `name` is ``prefix__rest`` under a known prefix."""
    prefix, double, rest = name.partition("__")
    return prefix in PREFIXES and bool(double and rest)


def nearest(name: str, valid: Iterable[str], prefix: str = "") -> str:
    """Return a sentence with the valid name that is most similar to `name`, or with all of them, after `prefix`."""
    valid = sorted(valid)
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {prefix + close[0]!r}?"
    return f"Valid names: {[prefix + known for known in valid]}." if valid else "It takes no parameters."


def split_nested(nested: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the parameters under ``prefix__``, without the prefix."""
    start = f"{prefix}__"
    return {name[len(start) :]: value for name, value in nested.items() if name.startswith(start)}


def accepted_names(target: Callable[..., Any]) -> tuple[set[str], bool]:
    """Return the names of the arguments of `target`, and whether it also accepts others (``**kwargs``)."""
    if isinstance(target, type):
        made_by = [getattr(target, name) for name in ("__init__", "__new__")]
        names, takes_any = _class_names(target, *made_by)
        return set(names), takes_any
    return _names(target)


@functools.lru_cache(maxsize=64)
def _class_names(cls: type, *made_by: Any) -> tuple[set[str], bool]:
    """Return `_names` of a class; cached, because reading a signature takes 50 us and a fit reads several."""
    return _names(cls)


def _names(target: Callable[..., Any]) -> tuple[set[str], bool]:
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):  # builtins without a signature
        return set(), True
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    names = {p.name for p in parameters if p.kind in by_name}
    return names, any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


MISSING = object()


def default_of(target: Any, name: str) -> Any:
    """Return the default of an argument of `target`, `MISSING` if there is none."""
    try:
        parameter = inspect.signature(target).parameters.get(name)
    except (TypeError, ValueError):  # no signature, or nothing that is called
        return MISSING
    return MISSING if parameter is None or parameter.default is inspect.Parameter.empty else parameter.default


def check_names(
    given: Iterable[str],
    target: Callable[..., Any],
    prefix: str,
    *,
    exclude: Iterable[str] = (),
    also: Iterable[str] = (),
) -> None:
    """Raise ValueError for a name that `target` does not accept, and suggest a valid one."""
    given = list(given)
    if not given:
        return
    valid, takes_any = accepted_names(target)
    valid = (valid | set(also)) - set(exclude)
    for name in given:
        if name in valid or (takes_any and name not in exclude):
            continue
        shown = getattr(target, "__name__", repr(target))
        hint = nearest(name, valid, f"{prefix}__")
        raise ValueError(f"'{prefix}__{name}': {shown} has no parameter {name!r}. {hint}")
