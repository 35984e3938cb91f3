"""The two CriticBenches: verdicts on responses.

Lin et al. (arXiv 2402.14809) score the F1 of the class "wrong"; a missing verdict counts as the opposite of the truth.
Luo et al. (arXiv 2310.04815) score accuracy; a missing verdict counts as "correct". Numbers of one say nothing about the
other. Verdicts are True (the response is right), False, or None where none can be read.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Hashable, Sequence

from elenchus.metrics.critique import rate, unit_f1

JUDGMENT = re.compile(r"Judgment:\s*(correct|incorrect)\b", re.IGNORECASE)


def verdict_lin(text: str) -> bool | None:
    """Return the verdict in double brackets; else, the first of the released script's key words; else None."""
    low = text.lower()
    marks = {mark for mark in ("correct", "wrong") if f"[[{mark}]]" in low}
    if len(marks) == 1:
        return marks == {"correct"}
    if re.search(r"\b(?:wrong|incorrect|not correct)\b", low):
        return False
    return True if re.search(r"\bcorrect\b", low) else None


def verdict_luo(text: str) -> bool | None:
    """Return the last "Judgment: correct" or "Judgment: incorrect", None where there is none."""
    found = JUDGMENT.findall(text)
    return found[-1].lower() == "correct" if found else None


def critique_f1(labels: Sequence[bool], verdicts: Sequence[bool | None]) -> float:
    """Return Lin et al.'s critique score: the F1 of "wrong" over all items at once; 0 where nothing is found."""
    said = [(not label) if verdict is None else verdict for label, verdict in zip(labels, verdicts, strict=True)]
    found = sum(not label and not verdict for label, verdict in zip(labels, said, strict=True))
    return unit_f1(found, sum(not v for v in said), sum(not y for y in labels))[2]


def accuracy(labels: Sequence[bool], verdicts: Sequence[bool | None]) -> float:
    """Return Luo et al.'s score: the share of right verdicts, a missing one taken as "correct"."""
    return rate([(True if v is None else v) == y for y, v in zip(labels, verdicts, strict=True)])


def certainty(answers: Sequence[Hashable]) -> float:
    """Return log(n of the most frequent answer / n of the second); infinite where all samples agree, NaN for none."""
    counts = [n for _, n in Counter(a for a in answers if a is not None).most_common(2)]
    if not counts:
        return float("nan")
    return math.log(counts[0] / counts[1]) if len(counts) == 2 else math.inf


def self_check(answers: Sequence[Hashable], verdicts: Sequence[bool | None], threshold: float) -> Hashable | None:
    """Return the majority answer after self-check: below `threshold` of certainty, those judged wrong do not vote.

    The paper's thresholds: 2 for GPT-4, 1 for PaLM-2 and ChatGPT. Where all are judged wrong, all vote. Ties go to the
    answer seen first; None where there is no answer.
    """
    votes = [a for a in answers if a is not None]
    if certainty(answers) < threshold:
        kept = [a for a, v in zip(answers, verdicts, strict=True) if a is not None and v is not False]
        votes = kept or votes
    return Counter(votes).most_common(1)[0][0] if votes else None
