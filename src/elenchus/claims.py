"""Claims of papers as data, and their verdicts, computed from a paired comparison and from what both sides spent.

With d the difference metric(better) - metric(than), counted positive in the claimed direction, [low, high] its 95 %
interval over problems and seeds (`metrics/bootstrap.py`), and m the claim's margin:

    not comparable   a budget that the claim says is equal differs by more than 10 %
    holds            low > m
    contradicted     high < m
    inconclusive     otherwise, and wherever fewer than three seeds were run

The margin is the difference from which on the claim is true: 0 for "better", a negative one for "not worse by more than".
Each claim is tested for itself; nothing is corrected for how many a paper makes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from elenchus.errors import UserError
from elenchus.graph import explain
from elenchus.metrics import catalogue
from elenchus.stages.summary import Subject

Word = Literal["holds", "contradicted", "inconclusive", "not comparable"]
Currency = Literal["sampled", "trained", "oracle_calls", "test_sampled"]
SEEDS = 3  # fewer decide nothing
TOLERANCE = 0.10  # relative difference of budgets that still counts as equal


class Claim(BaseModel):
    """One directional statement of a paper."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    statement: str = Field(min_length=10, description="what is claimed, in our words")
    paper: str = Field(min_length=1, description="the paper's value and setting, and where it stands there")
    metric: str = Field(description="a metric of `metrics/catalogue.py`")
    better: Subject = Field(description="what is claimed to have more of it (or less, by direction)")
    than: Subject | None = Field(None, description="than what; null: than the margin itself")
    direction: Literal["higher", "lower"] = Field(description="of metric(better) against metric(than)")
    margin: float = Field(0.0, description="the difference, in the claimed direction, from which on the claim is true")
    equal: tuple[Currency, ...] = Field(
        ("sampled", "trained"),
        description="budgets that have to agree: tokens sampled, tokens trained on and oracle calls on the way to what "
        "is measured, tokens sampled while measuring (test_sampled)",
    )

    @staticmethod
    def of(statement: str, where: str, facts: Mapping) -> Claim:
        """Return the claim; the direction is the metric's own better one where not given. UserError says what is wrong."""
        wanted = catalogue.find(facts["metric"]).better if "metric" in facts else "higher"
        known = {"direction": wanted or "higher", "equal": () if facts.get("than") is None else ("sampled", "trained")}
        try:
            return Claim.model_validate({"statement": statement, **known, **facts})
        except ValidationError as e:
            raise UserError(f"{where}: claim {statement!r}: {explain(e, Claim)}") from None


@dataclass(frozen=True)
class Verdict:
    """A claim's verdict, and in one clause why."""

    verdict: Word
    why: str


def verdict(claim: Claim, comparison: Mapping, budgets: tuple[Mapping, Mapping] | None = None) -> Verdict:
    """Return the verdict of a claim.

    comparison: {value, low, high, seeds} of metric(better) - metric(than), None where there is no number.
    budgets: {currency: amount} of both sides, None where there is only one.
    """
    if budgets:
        for currency in claim.equal:
            a, b = (side.get(currency, 0) for side in budgets)
            if abs(a - b) > TOLERANCE * max(a, b):
                return Verdict("not comparable", f"{currency.replace('_', ' ')}: {a:,.0f} against {b:,.0f}")
    if comparison["seeds"] < SEEDS:
        return Verdict("inconclusive", f"{comparison['seeds']} of at least {SEEDS} seeds")
    if any(comparison[k] is None for k in ("value", "low", "high")):
        return Verdict("inconclusive", "there is no number on one side")
    sign = 1 if claim.direction == "higher" else -1
    low, high = sorted(sign * comparison[k] for k in ("low", "high"))
    threshold = f"{claim.margin:+g}" if claim.margin else "zero"
    if low > claim.margin:
        return Verdict("holds", f"the whole interval is beyond {threshold}")
    if high < claim.margin:
        return Verdict("contradicted", f"the whole interval is short of {threshold}")
    return Verdict("inconclusive", f"the interval spans {threshold}")
