"""The hold-out of `validation_fraction`: stratified, and possible for any number of rows per class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["stratified_holdout"]


def stratified_holdout(
    indices: npt.NDArray[np.int64], fraction: float, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the sorted rows to train on and the sorted rows held out.

    Every class keeps at least one row to train on. The hold-out has ``round(fraction * n)`` rows, shared
    out by largest remainder; scikit-learn's splitters refuse classes of one row and more classes than
    held-out rows.

    Raises
    ------
    ValueError
        If no row can be held out.
    """
    classes, counts = np.unique(indices, return_counts=True)
    wanted = min(round(fraction * len(indices)), int((counts - 1).sum()))
    if wanted < 1:
        raise ValueError(
            f"validation_fraction={fraction:g} of {len(indices)} rows holds out no row while keeping one of each of "
            f"{len(classes)} classes. Give more rows, a larger fraction, or X_val and y_val."
        )
    rng = np.random.default_rng(seed)
    share = np.minimum(counts * fraction, counts - 1)
    held = np.floor(share).astype(np.int64)
    while held.sum() < wanted:  # at most once per class and pass
        room = held < counts - 1
        remainder = np.where(room, share - held + rng.random(len(classes)) * 1e-9, -np.inf)
        for c in np.argsort(-remainder)[: min(wanted - int(held.sum()), int(room.sum()))]:
            held[c] += 1
    out = [rng.permutation(np.flatnonzero(indices == c))[:k] for c, k in zip(classes, held, strict=True) if k]
    valid = np.sort(np.concatenate(out))
    mask = np.ones(len(indices), dtype=bool)
    mask[valid] = False
    return np.flatnonzero(mask), valid
