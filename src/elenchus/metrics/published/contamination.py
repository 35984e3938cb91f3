"""Was a problem in the RL training set? Entropy under self-critique (arXiv 2510.09259), and the detectors beside it.

RL on a prompt collapses the policy onto one path; asked to answer differently, a contaminated model goes the same way
again. All scores are oriented so that higher says contaminated. Log-probabilities are natural, arrays one entry a token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def entropies(logprobs: ArrayLike) -> np.ndarray:
    """Return H_t = -sum p log p over the top-K log-probabilities of each token, (tokens, K) -> (tokens,), in nats.

    Not renormalised, as in the paper: it underestimates flat distributions, so K must be the same for all items.
    """
    lp = np.asarray(logprobs, dtype=float)
    p = np.exp(lp)
    return -(p * np.where(p > 0, lp, 0.0)).sum(axis=-1)


def length_ratio(first: ArrayLike, second: ArrayLike) -> float:
    """Return min / max of the two lengths, 0 where one is empty: the score's own baseline, for it drives the score."""
    a, b = len(first), len(second)
    return min(a, b) / max(a, b) if a and b else 0.0


def self_critique(first: ArrayLike, second: ArrayLike) -> float:
    """Return cos(E1, E2) min(n1, n2) / max(n1, n2) of two entropy curves, the shorter padded with zeros (the paper's score).

    first: of the greedy answer. second: of the answer after showing it and asking for another way. 0 for an empty or
    all-zero curve.
    """
    a, b = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    n = max(len(a), len(b))
    a, b = np.pad(a, (0, n - len(a))), np.pad(b, (0, n - len(b)))
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norm) * length_ratio(first, second) if norm else 0.0


def perplexity(logprobs: ArrayLike) -> float:
    """Return -exp(-mean log p): a contaminated answer has a low perplexity."""
    return -float(np.exp(-np.mean(np.asarray(logprobs, dtype=float))))


def min_k(logprobs: ArrayLike, share: float = 0.2) -> float:
    """Return minus the mean of the lowest `share` of log-probabilities: the direction of the paper's code."""
    return -_lowest(np.asarray(logprobs, dtype=float), share)


def min_k_plus(logprobs: ArrayLike, top: ArrayLike, share: float = 0.2) -> float:
    """Return the mean of the lowest `share` of (log p - mu_t) / sigma_t, mu and sigma under the top-K distribution.

    top: (tokens, K). A token whose distribution does not vary is left at 0.
    """
    lp, top = np.asarray(logprobs, dtype=float), np.asarray(top, dtype=float)
    p = np.exp(top)
    p = p / p.sum(axis=-1, keepdims=True)
    mu = (p * top).sum(axis=-1)
    sigma = np.sqrt((p * (top - mu[:, None]) ** 2).sum(axis=-1))
    return _lowest(np.divide(lp - mu, sigma, out=np.zeros_like(lp), where=sigma > 1e-9), share)


def recall(perturbed: ArrayLike, original: ArrayLike) -> float:
    """Return mean log p of the greedy answer to a perturbed prompt over that to the original; NaN where the latter is 0."""
    bottom = float(np.mean(np.asarray(original, dtype=float)))
    return float(np.mean(np.asarray(perturbed, dtype=float))) / bottom if bottom else float("nan")


def peakedness(greedy: Sequence, samples: Sequence[Sequence], near: float = 0.05, tokens: int = 100) -> float:
    """Return the share of samples within `near` mean lengths of edits of the greedy answer (CDD), first `tokens` of each."""
    if not samples:
        return float("nan")
    cut = [list(s)[:tokens] for s in samples]
    limit = near * float(np.mean([len(s) for s in cut]))
    return float(np.mean([edits(list(greedy)[:tokens], s) <= limit for s in cut]))


def edits(a: Sequence, b: Sequence) -> int:
    """Return the fewest insertions, deletions and replacements that turn `a` into `b` (Levenshtein)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (x != y))
    return row[-1]


def _lowest(values: np.ndarray, share: float) -> float:
    """Return the mean of the lowest `share` of values, at least one; ValueError for none."""
    if not len(values):
        raise ValueError("no tokens")
    return float(np.mean(np.sort(values)[: max(1, int(len(values) * share))]))
