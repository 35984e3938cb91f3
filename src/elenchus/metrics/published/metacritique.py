"""MetaCritique (arXiv 2401.04518): a critique scored like a summary, by its atomic information units.

Precision: the share of the critique's own units that are true. Recall: the share of the reference critique's units that
the critique states. Corpus scores are means of the items' scores, so F1 is not the F1 of the means. Labels are bools.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from elenchus.metrics.critique import harmonic


@dataclass(frozen=True)
class Meta:
    """Precision, recall and F1, of an item or averaged over items."""

    precision: float
    recall: float
    f1: float


def item(precision_labels: Sequence[bool], recall_labels: Sequence[bool]) -> Meta:
    """Return one critique's scores.

    The released code divides by zero without units; here a critique without units has precision 0, and any critique
    recalls a reference without units in full.
    """
    p = float(np.mean(precision_labels)) if len(precision_labels) else 0.0
    r = float(np.mean(recall_labels)) if len(recall_labels) else 1.0
    return Meta(p, r, harmonic(p, r) if p * r else 0.0)


def corpus(items: Iterable[Meta]) -> Meta:
    """Return the mean over items of each score; ValueError for none."""
    rows = [(i.precision, i.recall, i.f1) for i in items]
    if not rows:
        raise ValueError("no items")
    return Meta(*(float(x) for x in np.mean(rows, axis=0)))


def units(text: str) -> list[str]:
    """Return the units of a model's list, one a line, without bullets, numbers and empty lines."""
    lines = (line.strip().lstrip("-*•").strip() for line in text.splitlines())
    numbered = (line.split(". ", 1)[1] if line.split(". ", 1)[0].isdigit() and ". " in line else line for line in lines)
    return [line for line in numbered if line]
