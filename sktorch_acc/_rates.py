"""Convert counts to rates, with confidence intervals. Requires numpy only."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import numpy.typing as npt


def rates(correct: npt.ArrayLike, support: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Divide counts by counts, elementwise; NaN where `support` is 0.

    int64 counts below 2**53 are exact in float64, so that only the division is rounded: the result is identical to
    that of ``sklearn.metrics.accuracy_score``.
    """
    correct = np.asarray(correct, dtype=np.float64)
    support = np.asarray(support, dtype=np.float64)
    out = np.full(np.broadcast_shapes(correct.shape, support.shape), np.nan)
    np.divide(correct, support, out=out, where=support > 0)
    return out


def wilson_interval(
    correct: npt.ArrayLike, support: npt.ArrayLike, confidence: float = 0.95
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the bounds of the Wilson score interval of ``correct / support``; NaN where `support` is 0.

    References
    ----------
    E. B. Wilson (1927), "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22, 209-212.
    """
    p, n = rates(correct, support), np.asarray(support, dtype=np.float64)
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    centre = p + rates(z * z / 2, n)
    half = z * np.sqrt(rates(p * (1 - p), n) + rates(z * z / 4, n * n))
    scale = 1 + rates(z * z, n)
    # If no prediction is correct the lower bound is exactly 0, if all are the upper one is exactly 1, without rounding.
    low = np.where(p == 0, 0.0, (centre - half) / scale)
    return low, np.where(p == 1, 1.0, (centre + half) / scale)
