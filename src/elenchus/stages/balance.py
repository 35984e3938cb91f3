"""B-STaR's setting of a round: the sampling temperature and reward threshold of the highest balance score on a grid.

Source: B-STaR (2412.17256), section 4. The solutions were sampled at every temperature of the grid; thresholds only cut
the same scored samples anew.

Departures
1. n* shrinks in proportion where the grid's pool has fewer samples per problem than the round will have (`samples`).
2. Ties go to the lower temperature, then to the higher threshold (the paper does not say).
3. `unique: false` counts equal solutions each: where a problem has a single right solution (chains), n' would never
   exceed 1, and the score would reward keeping little.
"""

from __future__ import annotations

from math import ceil
from typing import Literal

from pydantic import Field

from elenchus import slices
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams


class Params(StageParams):
    """The grid, and what suffices."""

    temperatures: tuple[float, ...] = Field(
        (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2), min_length=1, description="sampling temperatures of the grid"
    )
    thresholds: tuple[float, ...] = Field(
        tuple(round(-1 + i / 10, 1) for i in range(21)), min_length=1, description="reward thresholds of the grid"
    )
    target: int = Field(6, ge=0, description="n*: right solutions per problem that suffice; 0: ceil(wanted / queries)")
    wanted: int = Field(0, ge=0, description="N: training examples wanted a round (B-STaR: 67,500)")
    queries: int = Field(0, ge=0, description="M: problems sampled a round (B-STaR: 11,500)")
    samples: int = Field(0, ge=0, description="solutions per problem in the round; 0: as many as in the pool")
    process_weight: float = Field(1.0, ge=0, description="weight of the process score in the reward (paper: 1)")
    selector: Literal["threshold", "topk_fill"] = Field(
        "threshold", description="topk_fill: as the released code selects"
    )
    unique: bool = Field(True, description="count different solutions (paper); false: all, equal ones too")


INPUTS = {"solutions": "solutions", "scores?": "scores"}
OUTPUTS = ("settings.json",)
SEEDED = False
THREADS = 1


def run(job: Job) -> None:
    """Write the best setting and the whole grid; UserError where the pool has other temperatures than the grid."""
    from dataclasses import asdict

    from elenchus.rounds import balance, selection
    from elenchus.stages.select import step_scores

    p = job.params
    found = sorted(job.inputs["solutions"].columns("solutions", ["temperature"])["temperature"].unique().tolist())
    if found != sorted(set(p.temperatures)):
        raise UserError(f"the pool was sampled at temperatures {found}, the grid has {sorted(set(p.temperatures))}")
    cells = []
    for temperature in found:
        pool, queries, n = [], {}, 0
        for part in slices.walk(job, INPUTS, "solutions", "scores"):
            rows = part["solutions"]
            rows = rows[rows["temperature"] == temperature]
            pool += selection.candidates(rows, step_scores(part), p.process_weight)
            queries |= dict.fromkeys(rows["problem_id"])
            n += len(rows)
        target = target_of(p, n / len(queries))
        rule = {"selector": p.selector, "wanted": target * len(queries), "unique": p.unique}
        cells += [balance.measure(pool, list(queries), temperature, t, target, **rule) for t in p.thresholds]
    best = balance.best(cells)
    setting = {"temperature": best.temperature, "threshold": best.threshold, "balance_score": best.score}
    job.write_json("settings", {**setting, "target": target, "grid": [asdict(c) for c in cells]})


def target_of(p: Params, drawn: float) -> int:
    """Return n* for a pool with `drawn` samples per problem; UserError where neither it nor N and M are given."""
    from elenchus.rounds.balance import target_per_query

    if not p.target and not (p.wanted and p.queries):
        raise UserError("balance needs target (n*), or wanted (N) and queries (M)")
    target = p.target or target_per_query(p.wanted, p.queries)
    return max(ceil(target * drawn / p.samples), 1) if p.samples > drawn else target


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return one setting; no tokens."""
    return Estimate(rows=1)
