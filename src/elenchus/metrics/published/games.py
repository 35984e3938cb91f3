"""Repeated matches with revisions between them, as AdvGameBench (arXiv 2506.12012) scores them.

The paper's text does not define the metrics formally; these are its released evaluator's. A revision shows only as a
change of the line-up's total cost, and a "success" is any win after a change, even one after a win: `after_loss` counts
those alone that turned a loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Matches:
    """Rates in [0, 1]; slope in wins a match.

    overcorrection: the paper's over-correction risk rate, share of matches before which the line-up changed.
    success: wins among those (0 where there are none). after_loss: the same of those that follow a loss, NaN where none.
    """

    win_rate: float
    over_budget: float
    overcorrection: float
    success: float
    after_loss: float
    slope: float
    matches: int


def score(wins: Sequence[bool], costs: Sequence[float], budget: float) -> Matches:
    """Return the scores of one side's matches in order, after `revised_rounds` left those that count; ValueError for none."""
    if not len(wins) or len(wins) != len(costs):
        raise ValueError(f"{len(wins)} results and {len(costs)} costs: as many of each, and at least one")
    w, c = np.asarray(wins, dtype=float), np.asarray(costs, dtype=float)
    changed = c[1:] != c[:-1]
    turned = changed & (w[:-1] == 0)
    n = len(w)
    x = np.arange(n) - (n - 1) / 2
    return Matches(
        float(w.mean()),
        float((c > budget).mean()),
        float(changed.mean()) if n > 1 else 0.0,
        float(w[1:][changed].mean()) if changed.any() else 0.0,
        float(w[1:][turned].mean()) if turned.any() else float("nan"),
        float((x * w).sum() / (x * x).sum()) if n > 1 else 0.0,
        n,
    )


def revised_rounds(rounds: Sequence[int], first: bool) -> list[int]:
    """Return the positions of the rounds (numbered from 1) right after the side revised: even ones for the side that moves
    first, odd ones for the other, the first round never."""
    return [i for i, r in enumerate(rounds) if r > 1 and r % 2 == (0 if first else 1)]


def winner(cost_a: float, budget_a: float, cost_b: float, budget_b: float, simulated: str) -> str:
    """Return "a", "b" or "draw": the simulation's winner, unless a budget was broken.

    One side over its budget loses; of two the one with the smaller relative excess wins. (At equal excess the released
    code names nobody; here it is a draw.)
    """
    over_a, over_b = cost_a / budget_a - 1, cost_b / budget_b - 1
    if over_a <= 0 and over_b <= 0:
        return simulated
    if over_a > 0 and over_b > 0:
        return "draw" if over_a == over_b else ("a" if over_a < over_b else "b")
    return "b" if over_a > 0 else "a"
