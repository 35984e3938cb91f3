"""B-STaR's balance score, and the grid search that sets temperature and threshold by it (arXiv 2412.17256).

bs_i(t, tau) = min(n'_i / n*, 1) (n'_i / n_i): n_i samples of query i kept, n'_i of them unique and right.
The paper keeps every reward above tau. The released code keeps the top K of a query among those (`topk_fill`), K the
smallest that brings the de-duplicated total to the wanted size, and adds the reference solution with reward 1. Equal
samples of a query are kept once, as they are in training: only so is the second factor 1 where the reward is the answer's
alone, which the paper says it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from elenchus.rounds.selection import Candidate, select


@dataclass(frozen=True)
class Cell:
    """One cell of the grid. score: the mean balance score; kept: samples kept of all queries; accuracy: theirs."""

    temperature: float
    threshold: float
    score: float
    kept: int
    accuracy: float


def balance_score(kept: int, unique_right: int, target: int) -> float:
    """Return bs_i of one query, in [0, 1]; 0 where nothing is kept.

    target: n*, the right solutions that suffice a query. ValueError where the counts are impossible.
    """
    if not 0 <= unique_right <= kept or target < 1:
        raise ValueError(f"{unique_right} unique right of {kept} kept, n* = {target}: impossible")
    return min(unique_right / target, 1.0) * (unique_right / kept) if kept else 0.0


def target_per_query(wanted: int, queries: int) -> int:
    """Return n* = ceil(N / M): training samples wanted a round over queries a round (the code fixes it at 8)."""
    return max(ceil(wanted / queries), 1)


def measure(
    pool: Sequence[Candidate],
    queries: Sequence[str],
    temperature: float,
    threshold: float,
    target: int,
    selector: str = "threshold",
    wanted: int = 0,
    unique: bool = True,
) -> Cell:
    """Return the grid's cell for samples drawn at `temperature` and cut at `threshold`.

    queries: all queries sampled, so that one of which nothing is kept counts as 0. selector: "threshold" (paper) or
    "topk_fill" (code, with `wanted` the size to fill). unique: n and n' count different samples (paper); without it, all,
    for families in which a problem has a single right solution.
    """
    fill = wanted if selector == "topk_fill" else 0
    kept = select(pool, selector=selector, threshold=threshold, wanted=fill, dedup=unique)
    n, right = Counter(c.query for c in kept), Counter(c.query for c in kept if c.right)
    scores = [balance_score(n[q], right[q], target) for q in queries]
    accuracy = sum(c.right for c in kept) / len(kept) if kept else 0.0
    return Cell(temperature, threshold, sum(scores) / len(scores) if scores else 0.0, len(kept), accuracy)


def best(cells: Sequence[Cell]) -> Cell:
    """Return the cell of the highest score; ties go to the lower temperature, then the higher threshold.

    The paper leaves ties open; this rule prefers the surer samples and the stricter cut.
    """
    if not cells:
        raise ValueError("an empty grid")
    return max(cells, key=lambda c: (c.score, -c.temperature, c.threshold))
