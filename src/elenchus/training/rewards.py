"""Rewards of a critique, composed of named terms.

Source: Critique-RL (2510.24320, sections 4 and 5) and its released code (reward_with_discrimination.py).
Notation: y the draft, c the critique, f its verdict, y' the frozen actor's refinement under c, r the answer checker.

    verdict       1[f = r(y)]                                            r_dis, stage I
    first_error   1[the first step called wrong is the first wrong one]  needs exact step labels, not in the paper
    format        1[c can be read as a critique]                         not in the paper
    refinement    r(y')                                                  r_refine, stage II
    delta         r(y') - r(y)                                           r_delta
    correction    1 wrong to right, 0.2 right to right, 0 otherwise      r_correction

    refinement_wrong_only                                                R_r of RefCritic (2507.15024), see `dual`:
                  r(y') where y is wrong and f says so, else the verdict term: only there is a solution refined

An unreadable critique earns 0 in the first three and counts as a failed refinement (y' wrong) in the others. Of several
refinements under one critique, r(y') is the mean.
"""

from __future__ import annotations

from dataclasses import dataclass

TERMS = ("verdict", "first_error", "format", "refinement", "delta", "correction", "refinement_wrong_only")
REFINING = frozenset({"refinement", "delta", "correction", "refinement_wrong_only"})  # these need the actor
SCOPES = {"wrong_only": "refinement_wrong_only", "always": "refinement"}  # RefCritic: where R_r is active
REPO_PENALTY = -1.0


@dataclass(frozen=True)
class Judged:
    """What is known of one critique: could it be read, is its verdict right, is its first error, was y right, is y'.

    correct: the share of right ones where several y' were sampled.
    """

    parsed: bool
    verdict: bool
    first_error: bool
    was_correct: bool
    correct: float = 0.0


def terms(judged: Judged) -> dict[str, float]:
    """Return every term's value, in the paper's form."""
    after, before = float(judged.correct if judged.parsed else 0.0), judged.was_correct
    verdict = float(judged.parsed and judged.verdict)
    return {
        "verdict": verdict,
        "first_error": float(judged.parsed and judged.first_error),
        "format": float(judged.parsed),
        "refinement": after,
        "delta": after - float(before),
        "correction": (0.2 if before else 1.0) * after,
        "refinement_wrong_only": after if verdict and not before else verdict,
    }


def dual(weight: float, scope: str) -> dict[str, float]:
    """Return the weights of RefCritic's reward R = (R_c + lambda R_r) / (1 + lambda), in [0, 1]; `weight` is lambda.

    R_c is the verdict term, R_r the mean over the refinements. scope: "wrong_only" has R_r := R_c but where a wrong
    solution is called wrong, "always" pays refinements of every solution. A missing verdict earns 0 in both.
    """
    if scope not in SCOPES:
        raise ValueError(f"scope {scope!r} is not one of {', '.join(SCOPES)}")
    weights = {"verdict": 1.0 / (1.0 + weight), SCOPES[scope]: weight / (1.0 + weight)}
    return {name: w for name, w in weights.items() if w}


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
