"""The occupations of 534 workers of the Current Population Survey of May 1985."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils import Bunch

_TARGET = "occupation"


def load_occupations(return_X_y: bool = False, as_frame: bool = True) -> Any:
    """Load the occupations of 534 workers in the United States, May 1985.

    Six classes (management, office, sales, services, technical, worker; 38 to 156 samples each), ten
    columns: wage (US dollars an hour), education, experience and age (years), and ethnicity, region,
    gender, sector, union and married as text.

    Parameters
    ----------
    return_X_y : bool, default=False
        Whether to return ``(data, target)`` instead of a Bunch.
    as_frame : bool, default=True
        Whether data and target are a DataFrame and a Series, text columns as ``category``; else they are
        object arrays.

    Returns
    -------
    bunch : Bunch or (data, target)
        ``data`` of shape (534, 10), ``target`` of shape (534,), ``frame`` (both, with ``as_frame=True``),
        ``feature_names``, ``target_names`` and ``DESCR``.

    Notes
    -----
    The survey includes ethnicity and gender. A model that uses them learns who had access to which
    occupation in 1985. Use them only to describe this table.

    References
    ----------
    E. R. Berndt (1991), The Practice of Econometrics, Addison-Wesley, chapter 5.

    Examples
    --------
    >>> X, y = load_occupations(return_X_y=True)
    >>> X.shape, y.nunique()
    ((534, 10), 6)
    """
    folder = files(__package__) / "data"
    with (folder / "cps1985_occupations.csv").open(encoding="utf-8") as file:
        frame = pd.read_csv(file)
    text = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    frame = frame.astype(dict.fromkeys(text, "category"))
    data, target = frame.drop(columns=_TARGET), frame[_TARGET]
    X, y = (data, target) if as_frame else (data.to_numpy(dtype=object), target.to_numpy(dtype=object))
    if return_X_y:
        return X, y
    return Bunch(
        data=X,
        target=y,
        frame=frame if as_frame else None,
        feature_names=list(data.columns),
        target_names=np.asarray(target.cat.categories, dtype=object),
        DESCR=(folder / "README.md").read_text(encoding="utf-8"),
    )
