"""Parts of an agent's metrics: those of a policy, and what it does on the way (`catalogue.py` says what they mean).

Agent-R (2501.11425) counts loops of repeated actions, and the steps from an error to its detection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from elenchus import problems
from elenchus.critics.drafts import by_id
from elenchus.metrics.measure import Parts, policy

if TYPE_CHECKING:
    import pandas as pd


def loop_rate(actions: Sequence[str], n: int = 2) -> float:
    """Return the share of an episode's n-grams of actions that stand in it before, 0 where it has none.

    At n = 2: a a a is 1/2 (a a comes twice), a b a b is 1/3.
    """
    grams = [tuple(actions[i : i + n]) for i in range(len(actions) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def detection_delay(signals: Sequence[bool], first_error: int) -> int | None:
    """Return the steps from the first wrong action to the first revision signal after it; 1 is at once, None never.

    signals: for each step, whether it is a revision signal. first_error: 0-based, -1 none.
    """
    if first_error < 0:
        return None
    return next((i - first_error for i in range(first_error + 1, len(signals)) if signals[i]), None)


def needless(signals: Sequence[bool], first_error: int) -> bool:
    """Return whether a revision signal stands before any wrong action."""
    return any(signals[:first_error] if first_error >= 0 else signals)


def agent(
    solutions: pd.DataFrame, frame: pd.DataFrame, *, ks: Sequence[int], s: Sequence[int], seed: int
) -> pd.DataFrame:
    """Return the `items` table of episodes (`solutions`) on the problems of `frame`."""
    import pandas as pd

    known, names = by_id(frame), sorted(frame["problem_id"])
    parts = Parts(names)
    codes = parts.codes(solutions["problem_id"].tolist())
    rows = []
    for row in solutions.to_dict("records"):
        problem, steps = known[row["problem_id"]], list(row["steps"])
        family = problems.load(problem.family)
        acts = [family.action_of(step) for step in steps]
        signals, error = [act == family.WAIT for act in acts], row["first_error"]
        delay = detection_delay(signals, error)
        score = family.score(problem, steps) if row["parsed"] else 0.0
        rows.append((score, len(acts), loop_rate(acts), error >= 0, delay is not None, delay or 0))
        rows[-1] += (needless(signals, error),)
    score, actions, loops, erroneous, found, delays, early = np.array(rows, dtype=float).reshape(-1, 7).T
    parts.ratio("score", codes, score)
    parts.ratio("actions", codes, actions)
    parts.ratio("loop_rate", codes, loops)
    parts.ratio("detected", codes, found, erroneous)
    parts.ratio("detection_delay", codes, delays, found)
    parts.ratio("needless_signals", codes, early)
    return pd.concat([policy(solutions, names, ks=ks, s=s, seed=seed), parts.rows()], ignore_index=True)
