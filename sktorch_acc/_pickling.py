"""The versions that are stored in a pickle, and the warning if other versions load it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping

import sklearn
from sklearn.exceptions import InconsistentVersionWarning


def own_version() -> str:
    """Return the version of this library.

    It is looked up in ``sys.modules``: no module of the package may import its `__init__`, which imports them all.
    """
    return str(sys.modules[__name__.partition(".")[0]].__version__)


def pickled_versions() -> dict[str, str]:
    """Return the versions of the packages whose private attributes are in a pickle."""
    return {"sktorch-acc": own_version(), "scikit-learn": sklearn.__version__}


def warn_of_other_versions(name: str, pickled: Mapping[str, str]) -> None:
    """Warn of each package whose version differs from the one that made the pickle.

    Parameters
    ----------
    name : str
        Class of the estimator.
    pickled : mapping of str to str
        The versions that made it, as from `pickled_versions`; a package that is missing is not compared.
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
