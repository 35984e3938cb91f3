"""Rewards of a critique, composed of named terms.

Source: Critique-RL (2510.24320, sections 4 and 5) and its released code (reward_with_discrimination.py).
Notation: y the draft, c the critique, f its verdict, y' the frozen actor's refinement under c, r the answer checker.

    verdict       1[f = r(y)]                                            r_dis, stage I
    first_error   1[the first step called wrong is the first wrong one]  needs exact step labels, not in the paper
    format        1[c can be read as a critique]                         not in the paper
    refinement    r(y')                                                  r_refine, stage II
    delta         r(y') - r(y)                                           r_delta
    correction    1 wrong to right, 0.2 right to right, 0 otherwise      r_correction

An unreadable critique earns 0 in the first three and counts as a failed refinement (y' wrong) in the others.
"""

from __future__ import annotations

from dataclasses import dataclass

TERMS = ("verdict", "first_error", "format", "refinement", "delta", "correction")
REFINING = frozenset({"refinement", "delta", "correction"})  # these need the actor
REPO_PENALTY = -1.0


@dataclass(frozen=True)
class Judged:
    """What is known of one critique: could it be read, is its verdict right, is its first error, was y right, is y'."""

    parsed: bool
    verdict: bool
    first_error: bool
    was_correct: bool
    correct: bool = False


def terms(judged: Judged) -> dict[str, float]:
    """Return every term's value, in the paper's form."""
    after, before = judged.correct and judged.parsed, judged.was_correct
    return {
        "verdict": float(judged.parsed and judged.verdict),
        "first_error": float(judged.parsed and judged.first_error),
        "format": float(judged.parsed),
        "refinement": float(after),
        "delta": float(after) - float(before),
        "correction": (0.2 if before else 1.0) if after else 0.0,
    }


def reward(judged: Judged, weights: dict[str, float], form: str) -> float:
    """Return the weighted sum of terms.

    form "repo": -1 wherever the verdict is wrong or missing, whatever else was earned. The released code does so in
    both stages: weights {verdict: 1} give its stage I (+1 / -1), {refinement: 1, verdict: 0.2} its stage II
    (r_refine + 0.2 / -1). The paper's form keeps the refinement's reward and has no -1.
    """
    values = terms(judged)
    if form == "repo" and not values["verdict"]:
        return REPO_PENALTY
    return sum(weight * values[name] for name, weight in weights.items())
