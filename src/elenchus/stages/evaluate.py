"""Metrics of a policy, an agent, a critic or a correction, with bootstrap intervals over problems, and their per-problem parts.

Sources: B-STaR (2412.17256) for pass@k-s and diversity, ProcessBench (2412.06559) for first-error F1, "Confidence v.s.
Critique" (2412.19513) for CL, CS and RSS; `metrics/catalogue.py` says what each metric is.

Departures
1. All k-of-n metrics are expectations over subsets of the n samples; B-STaR samples exactly k, and pass@1 greedily.
2. Solutions that break the format are left out of a critic's metrics, and stay as they are in a correction's.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import Estimate, StageParams

NEEDS = {"policy": (), "agent": (), "critic": ("critiques",), "correction": ("refinements",)}


class Params(StageParams):
    """What is measured."""

    which: Literal["policy", "agent", "critic", "correction"] = Field(
        "policy", description="what the tables are about; an agent is a policy in a world"
    )
    ks: tuple[int, ...] = Field(
        (), description="policy: sample counts of pass@k; empty: powers of two, and all samples"
    )
    s: tuple[int, ...] = Field(
        (4,), description="policy: different right solutions asked for by pass@k-s, at the largest k"
    )
    steps: bool = Field(True, description="critic: check single findings too (precision, recall, fixes)")


INPUTS = {
    "problems": "problems",
    "solutions": "solutions",
    "critiques?": "critiques",
    "refinements?": "refinements",
    "scores?": "scores",
}
OUTPUTS = ("metrics", "items")
SEEDED = False
THREADS = 1


def run(job: Job) -> None:
    """Write the metrics and the parts that they are made of, by problem."""
    p = job.params
    for name in NEEDS[p.which]:
        if name not in job.inputs:
            raise UserError(f"evaluating a {p.which} needs the input `{name}`")
    rows = _parts(job)
    job.write("items", rows)
    job.write("metrics", summarise(rows, job.derive("bootstrap")))


def _parts(job: Job):
    """Return the `items` table of what is measured."""
    from elenchus.critics.drafts import drafts
    from elenchus.metrics import agent, measure

    p = job.params
    frame, solutions = job.inputs["problems"].table("problems"), job.inputs["solutions"].table("solutions")
    names = sorted(frame["problem_id"])
    if p.which == "agent":
        return agent.agent(solutions, frame, ks=p.ks, s=p.s, seed=job.derive("majority"))
    if p.which == "policy":
        scores = job.inputs["scores"].table("scores") if "scores" in job.inputs else None
        return measure.policy(solutions, names, ks=p.ks, s=p.s, scores=scores, seed=job.derive("majority"))
    if p.which == "critic":
        critiques = job.inputs["critiques"].table("critiques")
        return measure.critic(critiques, drafts(solutions, frame), names, steps=p.steps)
    return measure.correction(job.inputs["refinements"].table("refinements"), solutions, names)


def summarise(rows, seed: int) -> list[dict]:
    """Return the rows of `metrics`: all metrics that the parts allow, over their problems. n: problems with weight."""
    from elenchus.metrics import items

    of, found = items.stack([rows]), []
    for metric in items.measured(of):
        interval = items.interval(of, metric, seed)
        if interval.value == interval.value:
            n = int((of.arrays(metric)[1].sum(axis=(0, 1)) > 0).sum())
            found.append(
                {"metric": metric, "value": interval.value, "low": interval.low, "high": interval.high, "n": n}
            )
    return found


def estimate(params: Params, rows: dict[str, int]) -> Estimate:
    """Return about twenty metrics; no tokens."""
    return Estimate(rows=20)
