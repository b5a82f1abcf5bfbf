"""Strategies for the property tests: labels of every kind, in every container."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import strategies as st

VOCABULARIES = {
    "str": ["admin", "clerical", "mgmt", "overall", "sales", "tech"],
    "int": [-1, 0, 2, 5, 7, 11],
    "bool": [False, True],
    "float": [0.0, 1.0, 2.0, 3.0],
    "category": ["craft", "farm", "service", "transport"],
}


@dataclass
class Labelled:
    """True and predicted labels, as lists and as the container under test."""

    true: list[Any]
    pred: list[Any]
    y_true: Any
    y_pred: Any
    vocabulary: list[Any]


def _contain(values: list[Any], kind: str, container: str, vocabulary: list[Any]) -> Any:
    if kind == "category":
        return pd.Series(pd.Categorical(values, categories=vocabulary))
    array = np.array(values)
    return {
        "list": lambda: list(values),
        "array": lambda: array,
        "object": lambda: array.astype(object),
        "series": lambda: pd.Series(array),
        "column": lambda: array.reshape(-1, 1),
    }[container]()


@st.composite
def labelled(draw: st.DrawFn, max_size: int = 40) -> Labelled:
    """Pairs of labels; often with classes that occur on one side only."""
    kind = draw(st.sampled_from(sorted(VOCABULARIES)))
    vocabulary = VOCABULARIES[kind]
    size = draw(st.integers(1, max_size))
    label = st.sampled_from(vocabulary[: draw(st.integers(1, len(vocabulary)))])
    true = draw(st.lists(label, min_size=size, max_size=size))
    flips = draw(st.lists(st.sampled_from([None, None, *vocabulary]), min_size=size, max_size=size))
    pred = [t if f is None else f for t, f in zip(true, flips, strict=True)]
    containers = st.sampled_from(["list", "array", "object", "series", "column"])
    y_true = _contain(true, kind, draw(containers), vocabulary)
    y_pred = _contain(pred, kind, draw(containers), vocabulary)
    return Labelled(true, pred, y_true, y_pred, vocabulary)


@st.composite
def labelled_with_subset(draw: st.DrawFn) -> tuple[Labelled, list[Any]]:
    """Labels, and some classes in any order of which at least one occurs."""
    data = draw(labelled())
    present = draw(st.sampled_from(data.true))
    others = draw(st.lists(st.sampled_from(data.vocabulary), unique=True))
    return data, draw(st.permutations(list(dict.fromkeys([present, *others]))))


@st.composite
def labelled_with_counts(draw: st.DrawFn) -> tuple[Labelled, list[int]]:
    """Labels, and how often each sample is repeated; 0 removes it, at least one sample stays."""
    data = draw(labelled())
    n = len(data.true)
    counts = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n).filter(any))
    return data, counts
