"""What k samples of a policy reach: pass@k, pass@k-s, majority@k, best-of-k, reward@k-s and the diversity of solutions.

Each function takes the n samples of one problem and returns the expectation over all subsets of k of them, so that the
estimate is unbiased for any n >= k. Scores are probabilities in [0, 1].
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np

from elenchus import seeds


def pass_at_k(n: int, c: int, k: int) -> float:
    """Return the probability that k of n samples, c of them right, hold a right one (Chen et al. 2021, eq. 1).

    ValueError where k is not in 1 .. n or c not in 0 .. n.
    """
    return pass_at_ks(n, c, k, 1)


def pass_at_ks(n: int, c: int, k: int, s: int) -> float:
    """Return the probability that k of n samples hold at least s of the c marked ones.

    1 - sum_{j<s} C(c, j) C(n - c, k - j) / C(n, k), with the unique right samples as the marked ones (B-STaR's
    pass@K-S, which the paper computes at n = k). For n > k this misses that a duplicate can stand in for its unique
    solution: see `pass_at_ks_groups`, which is equal to it at n = k or without duplicates.
    """
    _check(n, k)
    if not 0 <= c <= n:
        raise ValueError(f"c = {c} right samples of n = {n}")
    return 1.0 - sum(comb(c, j) * comb(n - c, k - j) for j in range(min(s, k + 1))) / comb(n, k)


def pass_at_ks_groups(n: int, groups: Sequence[int], k: int, s: int) -> float:
    """Return the probability that k of n samples hold at least s different right solutions.

    groups: how many of the n samples wrote each different right solution. Exact: the number of k-subsets that touch j
    groups is the coefficient of x^k y^j in (1 + x)^(n - sum(groups)) prod_g (1 + y ((1 + x)^g - 1)).
    """
    _check(n, k)
    if sum(groups) > n or any(g < 1 for g in groups):
        raise ValueError(f"groups {list(groups)} do not fit into n = {n} samples")
    if s <= 0:
        return 1.0
    if len(groups) < s:
        return 0.0
    # ways[j][i]: subsets of i right samples that touch j groups, j capped at s (from there on, all count as passed)
    ways = np.zeros((s + 1, k + 1), dtype=object)
    ways[0, 0] = 1
    for g in groups:
        touched = np.zeros_like(ways)
        for taken in range(1, min(g, k) + 1):
            touched[1:, taken:] += comb(g, taken) * ways[:-1, : k + 1 - taken]
            touched[s, taken:] += comb(g, taken) * ways[s, : k + 1 - taken]
        ways = ways + touched
    wrong = n - sum(groups)
    return sum(int(ways[s, i]) * comb(wrong, k - i) for i in range(k + 1)) / comb(n, k)


def majority_at_k(
    answers: Sequence[Hashable],
    right: Sequence[bool],
    k: int,
    seed: int = 0,
    draws: int = 400,
    kept: Sequence[bool] | None = None,
) -> float:
    """Return the probability that the most frequent answer of k of the n samples is right.

    answers: one a sample, None for a sample without a readable answer, which does not vote; no votes at all is a wrong
    answer. right: whether each sample is right (the same for equal answers). A tie counts as the share of right ones
    among the tied answers, that is, ties are broken at random. Exact where C(n, k) <= draws, else over `draws` subsets
    drawn with `seed`.

    kept: which samples a critic lets vote (RefCritic, 2507.15024); in a subset in which none of them votes, all do. The
    subsets are the same with and without it, so that the two are paired.
    """
    n = len(answers)
    _check(n, k)
    names = {answer: i for i, answer in enumerate(dict.fromkeys(a for a in answers if a is not None))}
    if not names:
        return 0.0
    votes = np.zeros((n, len(names)))
    is_right = np.zeros(len(names), dtype=bool)
    for i, answer in enumerate(answers):
        if answer is not None:
            votes[i, names[answer]] = 1
            is_right[names[answer]] |= bool(right[i])
    if not is_right.any():
        return 0.0
    counts = _subsets(n, k, seed, draws) @ votes  # (subsets, answers)
    if kept is not None:
        filtered = _subsets(n, k, seed, draws) @ (votes * np.asarray(kept, dtype=float)[:, None])
        counts = np.where(filtered.any(axis=1, keepdims=True), filtered, counts)
    top = (counts == counts.max(axis=1, keepdims=True)) & (counts > 0)
    size = top.sum(axis=1)
    return float(np.mean(np.where(size > 0, (top & is_right).sum(axis=1) / np.maximum(size, 1), 0.0)))


@lru_cache(maxsize=64)
def _subsets(n: int, k: int, seed: int, draws: int) -> np.ndarray:
    """Return which of n samples each subset of k holds, as 0 and 1: all subsets, or `draws` random ones."""
    if comb(n, k) <= draws:
        chosen = np.array(list(combinations(range(n), k)))
    else:
        chosen = np.argsort(seeds.numpy_rng("majority", seed, n, k).random((draws, n)), axis=1)[:, :k]
    member = np.zeros((len(chosen), n))
    np.put_along_axis(member, chosen, 1.0, axis=1)
    return member


def reward_at_ks(scores: Sequence[float], right: Sequence[bool], k: int, s: int) -> float:
    """Return the probability that the s best-scored of k of the n samples are all right (B-STaR's reward@K-S).

    Exact over subsets: the s-th best is the sample of rank i in C(right ones before i, s - 1) C(n - 1 - i, k - s) of
    them, if it is right too. Samples with equal scores rank in the order given, which says nothing of their rightness.
    """
    n = len(scores)
    _check(n, k)
    if not 1 <= s <= k:
        raise ValueError(f"s = {s} is not in 1 .. k = {k}")
    order = np.argsort(-np.asarray(scores, dtype=float), kind="stable")
    before, total = 0, 0
    for rank, i in enumerate(order):
        if right[i]:
            total += comb(before, s - 1) * comb(n - 1 - rank, k - s)
            before += 1
    return total / comb(n, k)


def best_of_k(scores: Sequence[float], right: Sequence[bool], k: int) -> float:
    """Return the probability that the best-scored of k of the n samples is right (reward@K-1)."""
    return reward_at_ks(scores, right, k, 1)


def diversity(solutions: Sequence[Sequence[str]]) -> float | None:
    """Return the share of different steps among all steps of one problem's right solutions, None where it has none.

    B-STaR's distinct equations, with a step for an equation; the metric is its average over problems that have any.
    """
    steps = [step for solution in solutions for step in solution]
    return len(set(steps)) / len(steps) if steps else None


def groups_of(keys: Sequence[Hashable]) -> list[int]:
    """Return how often each different key occurs (for `pass_at_ks_groups`: the keys of the right solutions)."""
    return list(Counter(keys).values())


def _check(n: int, k: int) -> None:
    if not 1 <= k <= n:
        raise ValueError(f"k = {k} is not in 1 .. n = {n} samples")
