"""How well scores separate positives from negatives: AUROC, and what thresholds on the same data reach at best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def auroc(positive: ArrayLike, scores: ArrayLike) -> float:
    """Return the chance that a positive scores above a negative, ties half; NaN where either is missing.

    positive: (n,) bools. scores: (n,), higher says positive; items whose score is NaN are dropped.
    """
    from scipy.stats import rankdata

    y, s = _finite(positive, scores)
    n_pos, n_neg = int(y.sum()), int((~y).sum())
    if not n_pos or not n_neg:
        return float("nan")
    return float((rankdata(s)[y].sum() - n_pos * (n_pos + 1) / 2) / (n_pos * n_neg))


def thresholds(positive: ArrayLike, scores: ArrayLike, max_fpr: float = 0.05) -> dict[str, float]:
    """Return best_f1, youden (largest TPR - FPR) and tpr_at_fpr (largest TPR with FPR <= max_fpr).

    The thresholds are chosen on the data that they are scored on, as the papers do it: optimistic. NaN as in `auroc`.
    """
    y, s = _finite(positive, scores)
    n_pos, n_neg = int(y.sum()), int((~y).sum())
    if not n_pos or not n_neg:
        return dict.fromkeys(("best_f1", "youden", "tpr_at_fpr"), float("nan"))
    order = np.argsort(-s, kind="stable")
    last = np.append(np.flatnonzero(np.diff(s[order])), len(s) - 1)  # of each group of equal scores
    tp = np.concatenate([[0], np.cumsum(y[order])[last]])
    fp = np.concatenate([[0], np.cumsum(~y[order])[last]])
    tpr, fpr = tp / n_pos, fp / n_neg
    return {
        "best_f1": float((2 * tp / (tp + fp + n_pos)).max()),
        "youden": float((tpr - fpr).max()),
        "tpr_at_fpr": float(tpr[fpr <= max_fpr].max()),
    }


def _finite(positive: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    y, s = np.asarray(positive, dtype=bool), np.asarray(scores, dtype=float)
    if y.shape != s.shape:
        raise ValueError(f"labels {y.shape} and scores {s.shape} must have equal shapes")
    return y[~np.isnan(s)], s[~np.isnan(s)]
