"""The stratified hold-out of `validation_fraction`, for any number of samples per class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def stratified_holdout(
    indices: npt.NDArray[np.int64], fraction: float, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the sorted indices of the fitted samples, and those of the validation samples.

    Every class keeps at least one fitted sample. There are ``round(fraction * n)`` validation samples (fewer if the
    classes are too small), which are distributed over the classes by the largest remainder. scikit-learn's splitters
    raise an error for a class of one sample, and for more classes than validation samples.

    Raises
    ------
    ValueError
        If there would be no validation sample.
    """
    classes, counts = np.unique(indices, return_counts=True)
    wanted = min(round(fraction * len(indices)), int((counts - 1).sum()))
    if wanted < 1:
        raise ValueError(
            f"validation_fraction={fraction:g} of {len(indices)} samples holds out no sample: each of the "
            f"{len(classes)} classes keeps at least one. Pass more samples, a larger fraction, or X_val and y_val."
        )
    rng = np.random.default_rng(seed)
    share = np.minimum(counts * fraction, counts - 1)
    held = np.floor(share).astype(np.int64)
    while held.sum() < wanted:  # at most once per class and pass
        free = held < counts - 1
        remainder = np.where(free, share - held + rng.random(len(classes)) * 1e-9, -np.inf)
        for c in np.argsort(-remainder)[: min(wanted - int(held.sum()), int(free.sum()))]:
            held[c] += 1
    out = [rng.permutation(np.flatnonzero(indices == c))[:k] for c, k in zip(classes, held, strict=True) if k]
    valid = np.sort(np.concatenate(out))
    mask = np.ones(len(indices), dtype=bool)
    mask[valid] = False
    return np.flatnonzero(mask), valid
