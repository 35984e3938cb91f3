"""ProcessBench (arXiv 2412.06559): the earliest wrong step, by a prompted critic or by a process reward model.

Scores are `elenchus.metrics.critique.first_error`: accuracies on erroneous and on right solutions, and their harmonic
mean. The headline is the plain mean of the subsets' F1. Indices are 0-based; -1 says that no step is wrong; None is a
reply without a readable index, which matches nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from elenchus.metrics.critique import FirstError, first_error

BOXED = re.compile(r"\\boxed\{([^{}]*)\}")


def boxed_string(reply: str) -> str | None:
    r"""Return what the last \boxed{} without inner braces holds, None where there is none."""
    found = BOXED.findall(reply)
    return found[-1].strip() if found else None


def index(boxed: str | None) -> int | None:
    """Return the index that a boxed string states, None where it is not a whole number."""
    try:
        return None if boxed is None else int(boxed)
    except ValueError:
        return None


def vote(replies: Sequence[str]) -> int | None:
    """Return the index that most of several replies state (the paper: 8), None where none is readable.

    As the released script does it, strings are counted ("2" and "02" are two candidates), ties go to the one seen first,
    and only then the winner is read as a number.
    """
    boxes = [b for b in map(boxed_string, replies) if b is not None and index(b) is not None]
    return index(Counter(boxes).most_common(1)[0][0]) if boxes else None


def first_below(scores: Sequence[float], threshold: float) -> int:
    """Return the first step whose score is below `threshold`, -1 where none is (a process reward model's prediction)."""
    return next((i for i, score in enumerate(scores) if score < threshold), -1)


def best_threshold(labels: Sequence[int], scores: Sequence[Sequence[float]]) -> tuple[float, FirstError]:
    """Return the threshold with the highest F1 on these items and the scores it gives; of equals the lowest.

    The paper tunes one threshold on the GSM8K subset and uses it for all four. An item is hit for the thresholds in an
    interval: (running minimum at the label, running minimum before it], up to the minimum where no step is wrong; so one
    sweep over the ends of all intervals finds the best of all thresholds.
    """
    if not labels:
        raise ValueError("no items to choose a threshold on")
    ends: dict[float, list[int]] = {}  # threshold -> changes of (hits among erroneous, hits among right) above it
    for label, steps in zip(labels, scores, strict=True):
        low = np.minimum.accumulate(np.asarray(steps, dtype=float))
        if label >= len(low) or not len(low):
            continue  # a label beyond the scored steps is never hit
        right = label == -1
        begins = -np.inf if right else low[label]
        stops = low[-1] if right else (low[label - 1] if label else np.inf)
        if begins < stops:
            ends.setdefault(begins, [0, 0])[right] += 1
            ends.setdefault(stops, [0, 0])[right] -= 1
    at = sorted(ends)
    if not at:
        return 0.0, first_error(labels, [first_below(s, 0.0) for s in scores])
    hits = np.cumsum([ends[t] for t in at], axis=0)  # for thresholds in (at[i], at[i + 1]]
    n_right = sum(y == -1 for y in labels)
    error, correct = hits[:, 0] / max(len(labels) - n_right, 1), hits[:, 1] / max(n_right, 1)
    f1 = np.divide(2 * error * correct, error + correct, out=np.zeros(len(at)), where=error + correct > 0)
    best = int(np.argmax(f1))
    # the upper end belongs to the interval; the last has none
    threshold = at[best + 1] if best + 1 < len(at) else float(np.nextafter(at[best], np.inf))
    if not np.isfinite(threshold):
        threshold = float(np.nextafter(at[best], np.inf))
    return float(threshold), first_error(labels, [first_below(s, threshold) for s in scores])


def report(labels: Mapping[str, Sequence[int]], predictions: Mapping[str, Sequence[int | None]]) -> dict:
    """Return {"subsets": {subset: FirstError}, "average_f1": mean of the subsets' F1}; KeyError for a missing subset."""
    subsets = {name: first_error(labels[name], predictions[name]) for name in labels}
    return {"subsets": subsets, "average_f1": float(np.mean([s.f1 for s in subsets.values()]))}
