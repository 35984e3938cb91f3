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


def detection_delay(signals: Sequence[bool], first_error: int) -> tuple[int, bool]:
    """Return (steps from the first wrong action to the first revision signal after it, whether there is one).

    1 is at once. Where no signal comes, the steps to the episode's end count, so that agents are compared on all their
    errors, not on those that they noticed. signals: for each step, whether it is a revision signal. first_error:
    0-based, not -1.
    """
    found = next((i for i in range(first_error + 1, len(signals)) if signals[i]), None)
    return (len(signals) if found is None else found) - first_error, found is not None


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
        delay, found = detection_delay(signals, error) if error >= 0 else (0, False)
        score = family.score(problem, steps) if row["parsed"] else 0.0
        rows.append((score, len(acts), loop_rate(acts), error >= 0, found, delay))
        rows[-1] += (needless(signals, error),)
    score, actions, loops, erroneous, detected, delays, early = np.array(rows, dtype=float).reshape(-1, 7).T
    parts.ratio("score", codes, score)
    parts.ratio("actions", codes, actions)
    parts.ratio("loop_rate", codes, loops)
    parts.ratio("detected", codes, detected, erroneous)
    parts.ratio("detection_delay", codes, delays, erroneous)
    parts.ratio("needless_signals", codes, early)
    return pd.concat([policy(solutions, names, ks=ks, s=s, seed=seed), parts.rows()], ignore_index=True)
