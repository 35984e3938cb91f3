"""Preference pairs between critiques of one solution, and the filter that asks whether the better one helps more.

Sources: MultiCritique (arXiv 2410.15287), step 6 (accumulated severity) and step 7 (MARV); Critic-V (arXiv 2411.18203),
section 2 (Jaccard index plus alpha times a judge's score).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from elenchus.critics.aggregate import CATEGORIES, categorise
from elenchus.critics.format import Critique, Unit
from elenchus.metrics.critique import jaccard


@dataclass(frozen=True)
class Pair:
    """Two critics of one solution, by name. margin > 0: how much better the chosen one's score is."""

    chosen: str
    rejected: str
    margin: float


def severity(critique: Critique, truth: Sequence[Unit]) -> float:
    """Return a critique's exact accumulated severity: the sum over its units, or that of an unreadable critique."""
    if not critique.parsed:
        return CATEGORIES["unreadable"].severity
    return sum(CATEGORIES[categorise(u, truth)].severity for u in critique.units)


def judge_score(true: Sequence[int], flagged: Sequence[int], n_steps: int, noise: float, rng: random.Random) -> float:
    """Return a judge's integer score of a critique, 0 to 10: 10 (recall - false positive rate / 2) plus Gaussian noise.

    It stands for Critic-V's GPT score. recall is 1 without true errors; the rate is over the right steps. noise: the
    standard deviation in points.
    """
    wrong, called = set(true), set(flagged)
    recall = len(wrong & called) / len(wrong) if wrong else 1.0
    false = len(called - wrong) / max(n_steps - len(wrong), 1)
    return float(min(max(round(10 * (recall - 0.5 * false) + rng.gauss(0.0, 1.0) * noise), 0), 10))


def rule_score(true: Sequence[int], flagged: Sequence[int], judged: float, alpha: float = 0.1) -> float:
    """Return Critic-V's rule-based reward: Jaccard(true, flagged) + alpha * the judge's score (0 to 10)."""
    return jaccard(true, flagged) + alpha * judged


def rank(scores: Mapping[str, float], texts: Mapping[str, str], min_margin: float = 0.0, most: int = 0) -> list[Pair]:
    """Return all pairs (k, j) with score_k - score_j > min_margin and different texts, the widest margins first.

    most: at most so many pairs, 0 for no limit.
    """
    pairs = [
        Pair(a, b, scores[a] - scores[b])
        for a, b in permutations(scores, 2)
        if scores[a] - scores[b] > min_margin and texts[a] != texts[b]
    ]
    pairs.sort(key=lambda pair: -pair.margin)  # stable: of equal margins, the critics' order
    return pairs[:most] if most else pairs


def passes(chosen_gain: float, rejected_gain: float) -> bool:
    """Return whether a pair passes MARV: revisions under the chosen critique score higher on average."""
    return chosen_gain > rejected_gain


@dataclass(frozen=True)
class Labels:
    """How often the preferred critique is the better one by exact quality.

    accuracy: share of pairs whose chosen critique is strictly less severe. tied, wrong: shares of equally severe and of
    reversed pairs. n: pairs. All shares are 0 for no pairs.
    """

    accuracy: float
    tied: float
    wrong: float
    n: int


def label_quality(exact: Iterable[tuple[float, float]]) -> Labels:
    """Return the label quality of pairs, each given as exact severities (of the chosen, of the rejected)."""
    counts = Counter((c > r) - (c < r) for c, r in exact)
    n = max(counts.total(), 1)
    return Labels(counts[-1] / n, counts[0] / n, counts[1] / n, counts.total())
