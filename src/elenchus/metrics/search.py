"""Metrics of what search trees teach: whether preferred steps are better, whether inferred values rank as the true ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from elenchus import problems
from elenchus.metrics.measure import Parts
from elenchus.search.labels import by_distance

if TYPE_CHECKING:
    import pandas as pd

    from elenchus.problems import Problem

FEWEST = 3  # labelled steps below which a problem has no rank correlation


def step_pairs(pairs: pd.DataFrame, known: dict[str, Problem], names: Sequence[str]) -> pd.DataFrame:
    """Return the parts of step pairs (`step_pairs` table): right ones, wrong-way ones, and their smoothing.

    A side is right where all its steps are, each judged from the step before it by the exact checker.
    """
    parts = Parts(names)
    codes = parts.codes(pairs["problem_id"].tolist())
    right = {side: np.zeros(len(pairs), dtype=bool) for side in ("chosen", "rejected")}
    for i, row in enumerate(pairs.to_dict("records")):
        problem, before = known[row["problem_id"]], list(row["steps"])
        family = problems.load(problem.family)
        for side, found in right.items():
            checks = family.check_steps(problem, [*before, *row[f"{side}_steps"]])[len(before) :]
            found[i] = all(check.ok for check in checks)
    parts.ratio("step_pair_accuracy", codes, right["chosen"] & ~right["rejected"])
    parts.ratio("step_pair_inverted", codes, ~right["chosen"] & right["rejected"])
    parts.ratio("step_pair_smoothing", codes, pairs["smoothing"].to_numpy(dtype=float))
    return parts.rows()


def values(labels: pd.DataFrame, known: dict[str, Problem], names: Sequence[str]) -> pd.DataFrame:
    """Return the parts of step values (`labels` table): rank correlation and gap to ReST-MCTS*'s values by true distance.

    One rank correlation a problem, over all its labelled steps; none where there are fewer than three or all are equal.
    """
    parts = Parts(names)
    told: list[list[float]] = [[] for _ in parts.problems]
    true: list[list[float]] = [[] for _ in parts.problems]
    for row in labels.to_dict("records"):
        problem = known[row["problem_id"]]
        exact = by_distance(problems.load(problem.family), problem, list(row["steps"]))
        for label, value in zip(row["labels"], exact, strict=True):
            if not math.isnan(label):
                told[parts.place[problem.id]].append(float(label))
                true[parts.place[problem.id]].append(value)
    ranks = np.array([rank_correlation(a, b) for a, b in zip(told, true)])
    parts.add("value_rank", np.nan_to_num(ranks), ~np.isnan(ranks))
    gaps = [float(np.mean(np.abs(np.subtract(a, b)))) if a else 0.0 for a, b in zip(told, true)]
    parts.add("value_gap", np.array(gaps), np.array([float(len(a)) for a in told]))
    return parts.rows()


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Return Spearman's rank correlation, ties at their mean rank; NaN where there is none."""
    if len(a) < FEWEST or len(set(a)) < 2 or len(set(b)) < 2:
        return math.nan
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: Sequence[float]) -> np.ndarray:
    """Return the ranks, from 1 up, equal values at the mean of theirs."""
    _, inverse, counts = np.unique(np.asarray(values, dtype=float), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((2 * last - counts + 1) / 2)[inverse]
