"""The versions that a pickle was made with, and the warning if they are others now."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping

import sklearn
from sklearn.exceptions import InconsistentVersionWarning

__all__ = ["own_version", "pickled_versions", "warn_of_other_versions"]


def own_version() -> str:
    """Return the version of this library.

    Looked up, not imported: the package's `__init__` names every room, and so lies above them all.
    """
    return str(sys.modules[__name__.partition(".")[0]].__version__)


def pickled_versions() -> dict[str, str]:
    """Return the versions on whose private attributes a pickle depends."""
    return {"sktorch-acc": own_version(), "scikit-learn": sklearn.__version__}


def warn_of_other_versions(name: str, pickled: Mapping[str, str]) -> None:
    """Warn once per package whose version is not the one that made the pickle.

    Parameters
    ----------
    name : str
        Class of the estimator.
    pickled : mapping of str to str
        What `pickled_versions` returned then; a package that is missing is not compared.
    """
    for package, current in pickled_versions().items():
        original = pickled.get(package, current)
        if original != current:
            warning = InconsistentVersionWarning(
                estimator_name=name,
                current_sklearn_version=f"{package} {current}",
                original_sklearn_version=f"{package} {original}",
            )
            warnings.warn(warning, stacklevel=3)
