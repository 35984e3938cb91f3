"""Judges of pairs, asked in both orders, as ToolComp (arXiv 2501.01290) scores process supervision."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from elenchus.metrics.critique import rate


def pair_score(first: str, second: str) -> float:
    """Return 1 where the judge prefers the better one in both orders, 0 where the worse one, else 0.5.

    first: the answer ("1", "2", "tie" or anything unreadable) with the better one shown first; second: with it second.
    """
    return {("1", "2"): 1.0, ("2", "1"): 0.0}.get((first.strip(), second.strip()), 0.5)


def score(answers: Sequence[tuple[str, str]]) -> float:
    """Return the mean of `pair_score`; a random judge, a judge of positions and one of ties all have 0.5."""
    return sum(pair_score(a, b) for a, b in answers) / len(answers) if answers else 0.0


def graded(labels: Sequence[str]) -> tuple[float, float, float]:
    """Return (accuracy, strict accuracy, half width of the 95 % interval) of final answers.

    labels: "CORRECT", "CORRECT BUT BAD FORMATTING" or "INCORRECT"; the second counts for accuracy and not for the strict.
    Half width: 1.96 sqrt(a (1 - a) / n), the paper's.
    """
    strict = rate([x == "CORRECT" for x in labels])
    a = rate([x in ("CORRECT", "CORRECT BUT BAD FORMATTING") for x in labels])
    return a, strict, 1.96 * sqrt(a * (1 - a) / len(labels)) if labels else 0.0
