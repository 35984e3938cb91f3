"""Premise Critique Bench (arXiv 2505.23715): does a model notice that a problem's premises are flawed?

The paper's names and the released files' differ: "active" in the files is the flawed problem without a hint (proactive
rate, PPCR), "passive" the one with the instruction to check the premises (APCR). "normal" is the problem without flaw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from elenchus.metrics.critique import rate


@dataclass(frozen=True)
class Judged:
    """One problem's judgements and lengths in tokens. False_alarm: a flaw was claimed in the problem without one, None
    where nobody judged that (the benchmark does not: a model that always complains would score 1)."""

    active: bool
    passive: bool
    normal_length: float
    active_length: float
    passive_length: float
    false_alarm: bool | None = None


@dataclass(frozen=True)
class Premise:
    """Rates in [0, 1] and ratios of mean lengths (flawed over normal); NaN where there is nothing to divide by.

    *_cost: over all problems (PPCCR, APCCR). *_cost_on_success: over the problems whose flaw was noticed.
    """

    active: float
    passive: float
    active_cost: float
    passive_cost: float
    active_cost_on_success: float
    passive_cost_on_success: float
    false_alarm: float
    items: int


def score(items: Sequence[Judged]) -> Premise:
    """Return the benchmark's scores over `items`: all of them, one type of conflict, or one difficulty."""

    def cost(key: str, of: Sequence[Judged]) -> float:
        normal = sum(i.normal_length for i in of)
        return sum(getattr(i, f"{key}_length") for i in of) / normal if normal else float("nan")

    alarms = [i.false_alarm for i in items if i.false_alarm is not None]
    return Premise(
        rate([i.active for i in items]),
        rate([i.passive for i in items]),
        cost("active", items),
        cost("passive", items),
        cost("active", [i for i in items if i.active]),
        cost("passive", [i for i in items if i.passive]),
        float(np.mean(alarms)) if alarms else float("nan"),
        len(items),
    )
