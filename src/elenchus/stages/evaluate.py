"""Metrics of what is measured, with bootstrap intervals over problems, and their per-problem parts.

Sources: B-STaR (2412.17256) for pass@k-s and diversity, ProcessBench (2412.06559) for first-error F1, "Confidence v.s.
Critique" (2412.19513) for CL, CS and RSS, RefCritic (2507.15024) for filtered votes, Agent-R (2501.11425) for loops and
delays; `metrics/catalogue.py` says what each metric is.

Departures
1. All k-of-n metrics are expectations over subsets of the n samples; B-STaR samples exactly k, and pass@1 greedily.
2. Solutions that break the format are left out of a critic's metrics, and stay as they are in a correction's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from elenchus import slices, tables
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams

NEEDS = {  # what is measured -> the input that it is measured on, beside problems
    "policy": "solutions",
    "agent": "solutions",
    "critic": "critiques",
    "vote": "critiques",
    "correction": "refinements",
    "pairs": "pairs",
    "step_pairs": "step_pairs",
    "values": "labels",
}


class Params(StageParams):
    """What is measured."""

    which: Literal["policy", "agent", "critic", "vote", "correction", "pairs", "step_pairs", "values"] = Field(
        "policy",
        description="what the tables are about. agent: a policy in a world; vote: majority votes that a critic filters; "
        "pairs: of critiques; values: step labels against those by true distance",
    )
    ks: tuple[int, ...] = Field(
        (), description="policy, agent, vote: sample counts of the metrics @k; empty: powers of two, and all samples"
    )
    s: tuple[int, ...] = Field(
        (4,), description="policy, agent: different right solutions asked for by pass@k-s, at the largest k"
    )
    steps: bool = Field(True, description="critic: check single findings too (precision, recall, fixes)")
    filtered: bool = Field(False, description="pairs: only those that passed the revision filter")


INPUTS = {
    "problems": "problems",
    "solutions?": "solutions",
    "critiques?": "critiques",
    "refinements?": "refinements",
    "scores?": "scores",
    "pairs?": "pairs",
    "step_pairs?": "step_pairs",
    "labels?": "labels",
}
OUTPUTS = ("metrics", "items")
SEEDED = False
THREADS = 1


def run(job: Job) -> None:
    """Write the metrics and the parts that they are made of, by problem."""
    which = job.params.which
    needed = [NEEDS[which]] if which in ("step_pairs", "values") else sorted({"solutions", NEEDS[which]})
    for name in needed:
        if name not in job.inputs:
            raise UserError(f"evaluating {which!r} needs the input `{name}`; it has {', '.join(sorted(job.inputs))}")
    whole = _whole(job)
    with job.writing("items") as (add,):
        for part in slices.walk(job, INPUTS, "problems", *needed, *(["scores"] if which == "policy" else [])):
            add(_parts(job, part, whole))
    job.write("metrics", summarise(tables.pieces("items", job.out / "items.parquet"), job.derive("bootstrap")))


def _whole(job: Job) -> dict:
    """Return what a slice's parts need to know of all of them: the counts @k, and whether solutions have several critiques."""
    from elenchus.metrics import measure

    p = job.params
    if p.which in ("policy", "agent", "vote"):
        problems = job.inputs["solutions"].columns("solutions", ["problem_id"])["problem_id"]
        return {"ks": measure.sample_counts(p.ks, int(problems.value_counts().min()) if len(problems) else 0)}
    if p.which == "critic":
        return {"voted": bool((job.inputs["critiques"].columns("critiques", ["sample"])["sample"] > 0).any())}
    return {}


def _parts(job: Job, part: dict, whole: dict):
    """Return the rows of `items` of one slice."""
    from elenchus.critics.drafts import by_id, drafts
    from elenchus.metrics import agent, measure, search

    p, frame = job.params, part["problems"]
    names, subject, seed = sorted(frame["problem_id"]), part[NEEDS[p.which]], job.derive("majority")
    if p.which == "step_pairs":
        return search.step_pairs(subject, by_id(frame), names)
    if p.which == "values":
        return search.values(subject, by_id(frame), names)
    solutions = part["solutions"]
    if p.which == "policy":
        return measure.policy(solutions, names, s=p.s, scores=part.get("scores"), seed=seed, **whole)
    if p.which == "agent":
        return agent.agent(solutions, frame, s=p.s, seed=seed, **whole)
    if p.which == "critic":
        return measure.critic(subject, drafts(solutions, frame), names, steps=p.steps, **whole)
    if p.which == "vote":
        return measure.vote(solutions, subject, names, seed=seed, **whole)
    if p.which == "pairs":
        return measure.pairs(subject, drafts(solutions, frame), names, filtered=p.filtered)
    return measure.correction(subject, solutions, names)


def summarise(rows: Iterable, seed: int) -> list[dict]:
    """Return the rows of `metrics`: all metrics that the parts allow, over their problems. n: problems with weight.

    rows: the `items` table, in pieces.
    """
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


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return about twenty metrics; no tokens."""
    return Estimate(rows=20)
