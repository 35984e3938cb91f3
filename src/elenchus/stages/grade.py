"""Answers that a model wrote for a benchmark's items, read and graded: by solvers, by correctors, by majority vote.

Grading is the benchmark's own (`benchmarks.check`; programs run in the sandbox). A vote takes, of each problem's samples in
their order, as many as were written with the tokens that the replies of the input `spent` took on that problem: what is
compared with a test-time method has cost as much as it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams


class Params(StageParams):
    """What is graded, and how replies are read."""

    benchmark: str = Field(description="the benchmark's name, which says which published metrics there are")
    role: Literal["solver", "corrector", "vote"] = Field("solver", description="whose answers they are")
    reader: Literal["final", "code", "family"] = Field("final", description="how an answer is found in a reply")
    ks: tuple[int, ...] = Field((), description="sample counts of metrics @k; empty: powers of two, and all samples")


INPUTS = {"problems": "problems", "replies": "replies", "attempts?": "attempts", "spent*?": "replies"}
OUTPUTS = ("attempts", "items", "metrics", "published.json")
SEEDED = False
THREADS = 1


def run(job: Job) -> None:
    """Write the answers with their grades, the parts of metrics by problem, the metrics, and the published metrics."""
    from elenchus.benchmarks import grading
    from elenchus.stages.evaluate import summarise

    p = job.params
    wanted = {"corrector": "attempts", "vote": "spent"}.get(p.role)
    if wanted and wanted not in job.inputs:
        raise UserError(f"grading a {p.role} needs the input `{wanted}`")
    attempts, items, published = grading.answers(job)
    job.write("attempts", attempts)
    job.write("items", items)
    job.write("metrics", summarise([items], job.derive("bootstrap")))
    job.write_json("published", published)


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return a graded answer for each reply; no tokens."""
    return Estimate(rows=rows.get("replies", 0))
