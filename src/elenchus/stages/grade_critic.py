"""Critics' replies about a benchmark's solutions, read and held against the labels.

Sources: ProcessBench (2412.06559) for first errors, the vote and the threshold rule; both CriticBenches (2402.14809,
2310.04815) for verdicts. Where steps are labelled and the critic names a step, its verdict is held against whether any step
is wrong; elsewhere against the outcome.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams


class Params(StageParams):
    """How replies are read."""

    benchmark: str = Field(description="the benchmark's name, which says which published metrics there are")
    reader: Literal["judgment", "brackets", "boxed_index", "family", "scores"] = Field(
        "judgment", description="how a verdict is found in a reply; scores: by step scores, below `threshold` is wrong"
    )
    threshold: float = Field(0.5, gt=0, lt=1, description="scores: a step below it is called wrong")


INPUTS = {"problems": "problems", "attempts": "attempts", "replies": "replies"}
OUTPUTS = ("verdicts", "items", "metrics", "published.json")
SEEDED = False
THREADS = 1


def run(job: Job) -> None:
    """Write the verdicts, the parts of metrics by problem, the metrics, and the published metrics."""
    from elenchus.benchmarks import judging
    from elenchus.stages.evaluate import summarise

    verdicts, items, published = judging.verdicts(job)
    job.write("verdicts", verdicts)
    job.write("items", items)
    job.write("metrics", summarise([items], job.derive("bootstrap")))
    job.write_json("published", published)


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return a verdict for each reply; no tokens."""
    return Estimate(rows=rows.get("replies", 0))
