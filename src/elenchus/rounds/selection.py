"""What of a sampled pool becomes training data: rewards composed of named terms, thresholds, top-k and duplicates."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from elenchus import examples, problems
from elenchus.errors import UserError
from elenchus.problems import Problem

if TYPE_CHECKING:
    import pandas as pd

SELECTORS = ("threshold", "topk_fill")
REFERENCE_REWARD = 1.0  # of a reference solution among the candidates (B-STaR's code)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One sample of a pool. key: a digest of its steps, for telling duplicates; right: its answer is right."""

    id: str
    query: str
    key: bytes
    reward: float
    right: bool


def candidates(
    solutions: pd.DataFrame, step_scores: Mapping[str, Sequence[float]], process_weight: float = 1.0
) -> list[Candidate]:
    """Return the parsed solutions of a table as candidates, in its order.

    step_scores: by solution id; empty for the answer's reward alone. UserError where a solution has none in it.
    """
    parsed = solutions[solutions["parsed"].to_numpy(dtype=bool)]
    columns = (parsed[c].tolist() for c in ("solution_id", "problem_id", "steps", "correct"))
    found, queries = [], {}
    for name, query, steps, right in zip(*columns, strict=True):
        if step_scores and name not in step_scores:
            raise UserError(f"solution {name} has no scores: the scores are of other solutions")
        r = reward(bool(right), step_scores[name] if step_scores else None, process_weight)
        found.append(Candidate(name, queries.setdefault(query, query), key(steps), r, bool(right)))
    return found


def reference(problem: Problem) -> Candidate:
    """Return a problem's exact solution as a candidate (B-STaR's code adds it to every problem)."""
    steps = problems.load(problem.family).reference(problem)
    return Candidate(examples.reference_id(problem), problem.id, key(steps), REFERENCE_REWARD, True)


def key(steps: Iterable[str]) -> bytes:
    """Return a digest of the steps, since pools are large."""
    return hashlib.blake2b("\n".join(steps).encode(), digest_size=16).digest()


def process_score(step_scores: Sequence[float]) -> float:
    """Return the least of the step scores, scaled from [0, 1] to [-1, 1]; -1 for no steps (B-STaR's r_prm)."""
    return 2.0 * min(step_scores, default=0.0) - 1.0


def reward(right: bool, step_scores: Sequence[float] | None = None, process_weight: float = 1.0) -> float:
    """Return r = 1[right] + w r_prm, B-STaR's answer-and-process reward; without step scores, the answer's alone.

    With w = 1 (paper) right samples have r in [0, 2] and wrong ones in [-1, 1]. The code adds a fifth of a raw logit.
    """
    process = 0.0 if step_scores is None else process_weight * process_score(step_scores)
    return float(right) + process


def weighted(terms: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Return the weighted sum of named reward terms; ValueError where a weight has no term."""
    missing = sorted(set(weights) - set(terms))
    if missing:
        raise ValueError(f"no reward term {', '.join(missing)}; terms: {', '.join(sorted(terms))}")
    return float(sum(weight * terms[name] for name, weight in weights.items()))


def without_duplicates(pool: Sequence[Candidate]) -> list[Candidate]:
    """Return the pool without repeated (query, key): of equal ones, the first of the highest reward."""
    first: dict[tuple[str, str], Candidate] = {}
    for c in pool:
        known = first.get((c.query, c.key))
        if known is None or c.reward > known.reward:
            first[c.query, c.key] = c
    chosen = {id(c) for c in first.values()}
    return [c for c in pool if id(c) in chosen]


def above(pool: Sequence[Candidate], threshold: float) -> list[Candidate]:
    """Return the candidates with reward > threshold (strict, as in the paper)."""
    return [c for c in pool if c.reward > threshold]


def top_k(pool: Sequence[Candidate], k: int) -> list[Candidate]:
    """Return each query's k best by reward, in the pool's order; of equal rewards, the earlier."""
    if k < 0:
        raise ValueError(f"k = {k} is negative")
    keep = {i for ranked in _ranked(pool) for i in ranked[:k]}
    return [c for i, c in enumerate(pool) if i in keep]


def fill_k(pool: Sequence[Candidate], wanted: int, most: int = 64, dedup: bool = False) -> int:
    """Return the smallest k in 1 .. most for which the top k of every query add up to `wanted`; `most` if none does.

    dedup: candidates with equal keys take places among the k, but count once (B-STaR's code drops them after the cut).
    """
    more = [0] * most  # by place: how many candidates of all queries a cut after it adds
    for ranked in _ranked(pool):
        known = set()
        for place, i in enumerate(ranked[:most]):
            more[place] += not dedup or pool[i].key not in known
            known.add(pool[i].key)
    return next((k for k, total in enumerate(accumulate(more), 1) if total >= wanted), most)


def _ranked(pool: Sequence[Candidate]) -> list[list[int]]:
    """Return each query's places in the pool, the best reward first; of equal rewards, the earlier."""
    places: dict[str, list[int]] = {}
    for i, c in enumerate(pool):
        places.setdefault(c.query, []).append(i)
    return [sorted(own, key=lambda i: (-pool[i].reward, i)) for own in places.values()]


def select(
    pool: Sequence[Candidate],
    *,
    selector: str = "threshold",
    threshold: float = 0.0,
    per_query: int = 0,
    wanted: int = 0,
    dedup: bool = True,
) -> list[Candidate]:
    """Return the candidates that are kept, in the pool's order.

    selector: "threshold" keeps reward > threshold; "topk_fill" then keeps each query's top K, K from `fill_k(wanted)`,
    and drops duplicates only after that cut, as B-STaR's code does. per_query: at most so many a query, 0 for no limit.
    wanted: where "threshold" leaves more, whole ranks of all queries are kept before deeper ones; 0 for no limit.
    """
    if selector not in SELECTORS:
        raise ValueError(f"selector {selector!r} is not one of {SELECTORS}")
    if selector == "topk_fill" and wanted < 1:
        raise ValueError("selector topk_fill needs wanted >= 1")
    kept = above(pool, threshold)
    if selector == "topk_fill":
        kept = top_k(kept, fill_k(kept, wanted, dedup=dedup))
    if dedup:
        kept = without_duplicates(kept)
    if per_query:
        kept = top_k(kept, per_query)
    return _cut(kept, wanted) if selector == "threshold" and wanted and len(kept) > wanted else kept


def _cut(pool: Sequence[Candidate], wanted: int) -> list[Candidate]:
    """Return `wanted` candidates, spread over queries: each query's best first, then each query's second, and so on."""
    ranks: dict[str, int] = {}
    order = sorted(range(len(pool)), key=lambda i: (-pool[i].reward, i))
    depth = {}
    for i in order:
        depth[i] = ranks.get(pool[i].query, 0)
        ranks[pool[i].query] = depth[i] + 1
    keep = set(sorted(order, key=lambda i: depth[i])[:wanted])
    return [c for i, c in enumerate(pool) if i in keep]
