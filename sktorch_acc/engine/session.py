"""The error for a pickle of an earlier build of 0.1.0, which names a class of this module."""

from __future__ import annotations

import pickle
from typing import NoReturn


def __getattr__(name: str) -> NoReturn:
    if name == "Session":
        # Not an AttributeError, whose message unpickling replaces by its own.
        raise pickle.UnpicklingError(
            "The pickle was made by an earlier build of sktorch-acc 0.1.0, whose fitted estimators had another layout. "
            "Fit again, or load it with that build, save it with save_model(clf, path) and load this file with "
            "load_model(path)."
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
