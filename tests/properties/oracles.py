"""Slow and obvious versions of what the library computes: one Python loop over the rows each."""

import math
from typing import Any


def within(true: list[Any], pred: list[Any], label: Any) -> float:
    rows = [p for t, p in zip(true, pred, strict=True) if t == label]
    return sum(p == label for p in rows) / len(rows) if rows else math.nan


def one_vs_rest(true: list[Any], pred: list[Any], label: Any) -> float:
    return sum((t == label) == (p == label) for t, p in zip(true, pred, strict=True)) / len(true)


def table_row(true: list[Any], pred: list[Any], label: Any) -> dict[str, int]:
    pairs = list(zip(true, pred, strict=True))
    support = sum(t == label for t, _ in pairs)
    correct = sum(t == label and p == label for t, p in pairs)
    return {
        "support": support,
        "correct": correct,
        "wrong": support - correct,
        "predicted": sum(p == label for _, p in pairs),
    }


def most_confused(true: list[Any], pred: list[Any], label: Any, order: list[Any]) -> Any:
    """Return the most frequent wrong prediction for a class; the first in `order` on ties."""
    best, most = None, 0
    for other in order:
        n = sum(t == label and p == other for t, p in zip(true, pred, strict=True))
        if other != label and n > most:
            best, most = other, n
    return best
