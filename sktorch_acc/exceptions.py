"""Every error and warning class of the library, with the catalogue code where there is one."""

from __future__ import annotations

import sys
import warnings
from typing import Any

__all__ = [
    "AccuracyWarning",
    "InputError",
    "ModelFileError",
    "ModuleOutputError",
    "NonFiniteLossError",
    "SktorchAccError",
    "warn",
]


class _CodedError(Exception):
    """A message, and the catalogue code of what it reports."""

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code

    def __str__(self) -> str:
        message = str(self.args[0])
        return message if self.code is None else f"[{self.code}] {message}"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions travel between joblib's processes: the default would lose the code. Notes are in the dict.
        return type(self), (self.args[0], self.code), self.__dict__


class SktorchAccError(_CodedError):
    """Base of the errors that only this library raises.

    Parameters
    ----------
    message : str
        What is wrong, what was expected, what was given and what to do.
    code : str or None, default=None
        Catalogue code, such as ``"ACC-C1"``; None if the catalogue has none.
    """


class InputError(SktorchAccError, ValueError):
    """Data that cannot be used: labels, targets or scores of a wrong shape or with wrong values.

    Parameters
    ----------
    message : str
        What is wrong, what was expected, what was given and what to do.
    code : str or None, default=None
        Catalogue code, such as ``"ACC-B3"``.
    """


class ModuleOutputError(SktorchAccError, ValueError):
    """The module's output does not fit the criterion, depends on other samples, or changes its shape.

    Raised before epoch 1, at the end of a fit or in a prediction.

    Parameters
    ----------
    message : str
        What the module returned, what was expected, and what to do.
    code : str or None, default=None
        Catalogue code, such as ``"ACC-C1"``.
    """


class ModelFileError(SktorchAccError, ValueError):
    """A model cannot be saved, or a file is damaged, unsafe or not a model file.

    Parameters
    ----------
    message : str
        What cannot be stored or what is wrong with the file, and what to do.
    code : str or None, default=None
        Catalogue code; None if the catalogue has none.
    """


class NonFiniteLossError(SktorchAccError, FloatingPointError):
    """The training loss became NaN or infinite; the estimator is left unfitted.

    Parameters
    ----------
    message : str
        The epoch, the likely cause, and what to do.
    code : str or None, default=None
        Catalogue code, such as ``"ACC-F3"``.
    """


class AccuracyWarning(_CodedError, UserWarning):  # noqa: N818 - a warning, named as one
    """The result can be used, but an accuracy may mislead.

    Parameters
    ----------
    message : str
        What was found, and what to do.
    code : str or None, default=None
        Catalogue code, such as ``"ACC-D4"``; None if the catalogue has none.
    """


_INNER = ("sktorch_acc.", "sklearn.", "skorch.", "joblib.", "contextlib.")


def warn(message: str, code: str | None = None) -> None:
    """Warn with an `AccuracyWarning` at the first frame outside of the libraries."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and f"{frame.f_globals.get('__name__', '')}.".startswith(_INNER):
        level, frame = level + 1, frame.f_back
    warnings.warn(AccuracyWarning(message, code), stacklevel=level)
