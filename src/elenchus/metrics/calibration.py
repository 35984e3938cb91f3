"""Whether a critic's confidence is what it says: Brier score and expected calibration error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

BINS = 10


def brier(confidence: ArrayLike, hit: ArrayLike) -> float:
    """Return the mean squared difference of confidence, in [0, 1], and being right (0 or 1); shapes (n,), n >= 1."""
    return float(np.mean((np.asarray(confidence, dtype=float) - np.asarray(hit, dtype=float)) ** 2))


def bin_of(confidence: ArrayLike, bins: int = BINS) -> np.ndarray:
    """Return the index of each confidence's bin: `bins` equal ones on [0, 1], closed below, the last closed above."""
    c = np.asarray(confidence, dtype=float)
    if ((c < 0) | (c > 1) | np.isnan(c)).any():
        raise ValueError("confidences must lie in [0, 1]")
    return np.minimum((c * bins).astype(int), bins - 1)


def ece(confidence: ArrayLike, hit: ArrayLike, bins: int = BINS) -> float:
    """Return the expected calibration error: sum over bins of (share of bin) |mean confidence - accuracy|.

    Source: Guo et al. 2017, eq. 3, with `bin_of`'s bins. It is sum_b |sum_{i in b} (confidence_i - hit_i)| / n.
    """
    gap = np.asarray(confidence, dtype=float) - np.asarray(hit, dtype=float)
    return float(np.abs(np.bincount(bin_of(confidence, bins), weights=gap, minlength=bins)).sum() / len(gap))
