"""Labels as JSON: their values and their dtype."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from sktorch_acc.exceptions import ModelFileError

_DTYPE = re.compile(r"\|O|[<>|](b1|[iu][1248]|f[248]|U\d{1,6}|[mM]8\[(\d{1,4})?(Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])")
_MAX_BYTES = 256 * 2**20  # of the array
_TYPES = {"b": (bool,), "i": (int,), "u": (int,), "f": (int, float), "U": (str,), "m": (int,), "M": (int,)}


def labels_to_json(classes: npt.NDArray[Any]) -> dict[str, Any]:
    """Return ``{"dtype": ..., "values": [...]}``; dates and durations are integers in their unit.

    Raises
    ------
    ModelFileError
        If the labels are larger than 256 MiB, or have a dtype or a type that cannot be stored.
    """
    dtype = classes.dtype.str
    if not _DTYPE.fullmatch(dtype) or classes.nbytes > _MAX_BYTES:
        raise ModelFileError(
            f"classes_ has dtype {classes.dtype}, which a model file cannot hold. Fit on labels that are strings, "
            "integers, bools or float64."
        )
    if classes.dtype.kind in "mM":
        return {"dtype": dtype, "values": classes.astype(np.int64).tolist()}
    values = classes.tolist()
    if classes.dtype.kind == "O":
        values = [value.item() if isinstance(value, np.generic) else value for value in values]
        odd = [value for value in values if type(value) not in (str, int, float, bool)]
        if odd:
            raise ModelFileError(
                f"classes_ holds {odd[0]!r}, a {type(odd[0]).__name__}. Fit on labels that are strings, integers, "
                "bools or floats."
            )
    return {"dtype": dtype, "values": values}


def labels_from_json(dtype: str, values: list[Any]) -> npt.NDArray[Any]:
    """Return the labels that `labels_to_json` converted.

    Raises
    ------
    ModelFileError
        If the values are not sorted, distinct labels of that dtype.
    """
    if not _DTYPE.fullmatch(dtype) or not values:
        raise ModelFileError(
            f"classes in manifest.json must be one or more labels of a known dtype, but has {len(values)} labels of "
            f"dtype {dtype[:20]!r}."
        )
    try:
        known = np.dtype(dtype)
    except (TypeError, ValueError) as err:
        raise ModelFileError(f"classes in manifest.json have a dtype that numpy does not know: {err}") from err
    types = _TYPES.get(known.kind, (str, int, float, bool))
    if known.itemsize * len(values) > _MAX_BYTES or not all(type(value) in types for value in values):
        raise ModelFileError(f"classes in manifest.json do not hold {len(values)} labels of dtype {dtype}.")
    try:
        if known.kind in "mM":
            classes = np.array(values, dtype=np.int64).astype(known)
        else:
            classes = np.array(values, dtype=known)
        distinct = bool((classes[:-1] < classes[1:]).all()) and not (classes != classes).any()
        distinct = distinct and (known.kind != "f" or bool(np.isfinite(classes).all()))
    except (TypeError, ValueError, OverflowError) as err:
        raise ModelFileError(f"classes in manifest.json are not labels of dtype {dtype}: {err}") from err
    if not distinct or (known.kind != "m" and known.kind != "M" and classes.tolist() != values):
        raise ModelFileError(f"classes in manifest.json are not sorted and distinct labels of dtype {dtype}.")
    return classes
