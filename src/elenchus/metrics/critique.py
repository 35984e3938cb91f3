"""How good critiques are: first errors found (ProcessBench), verdicts, and single units against exact step checks.

All functions take one entry a critique and return rates in [0, 1]. A critique that could not be parsed has the
prediction None (or the verdict ""), which never matches: it is wrong, never left out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class FirstError:
    """ProcessBench's scores. erroneous, correct: how many solutions stand behind each accuracy."""

    f1: float
    acc_error: float
    acc_correct: float
    erroneous: int
    correct: int


def harmonic(a: float, b: float) -> float:
    """Return the harmonic mean of two rates, 0 where both are 0."""
    return 2 * a * b / (a + b) if a + b else 0.0


def rate(hits: Sequence[bool]) -> float:
    """Return the share of true entries, 0 for none at all."""
    return sum(hits) / len(hits) if len(hits) else 0.0


def first_error(labels: Sequence[int], predictions: Sequence[int | None]) -> FirstError:
    """Return the exact-match accuracies on erroneous and on correct solutions, and their harmonic mean.

    labels, predictions: 0-based index of the earliest wrong step, -1 none; a prediction can be None (unparsed).
    Source: ProcessBench, code/run_eval.py. The script divides by zero where both are 0; here F1 is 0.
    """
    bad = [p == y for y, p in zip(labels, predictions, strict=True) if y != -1]
    good = [p == y for y, p in zip(labels, predictions, strict=True) if y == -1]
    return FirstError(harmonic(rate(bad), rate(good)), rate(bad), rate(good), len(bad), len(good))


def first_error_hit(label: int, prediction: int | None) -> bool:
    """Return whether the prediction is exactly the label."""
    return prediction is not None and prediction == label


def verdict_hit(correct: bool, verdict: str) -> bool:
    """Return whether "right" or "wrong" is what the outcome checker says; "" (unparsed) never is."""
    return verdict == ("right" if correct else "wrong")


def unit_counts(true: Collection[int], flagged: Collection[int]) -> tuple[int, int, int]:
    """Return (found, flagged, true): how many steps are wrong and flagged, flagged, and wrong."""
    true, flagged = set(true), set(flagged)
    return len(true & flagged), len(flagged), len(true)


def unit_f1(found: int, flagged: int, true: int) -> tuple[float, float, float]:
    """Return (precision, recall, F1) of flagged steps; each is 0 where its denominator is 0."""
    precision = found / flagged if flagged else 0.0
    recall = found / true if true else 0.0
    return precision, recall, harmonic(precision, recall)


def jaccard(true: Collection, found: Collection) -> float:
    """Return |true & found| / |true | found|, 1 where both are empty (Critic-V leaves that case out)."""
    true, found = set(true), set(found)
    union = len(true | found)
    return len(true & found) / union if union else 1.0


def vote(predictions: Sequence[int | None]) -> int | None:
    """Return the most frequent prediction of several critiques (ProcessBench's voting), None where none was parsed.

    Unparsed ones do not vote; a tie goes to the one seen first.
    """
    votes: dict[int, int] = {}
    for prediction in predictions:
        if prediction is not None:
            votes[prediction] = votes.get(prediction, 0) + 1
    return max(votes, key=votes.get) if votes else None
