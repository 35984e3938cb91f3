"""Replies that were written elsewhere, from a JSONL file of (id, text): graded by the same stages as a model's own.

A line is {"id": ..., "text": ...}, with "sample" (0, 1, ...) where an item has several. An id is the published one, or the
problem's or attempt's own. Every item needs a reply, and as many as the others.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams


class Params(StageParams):
    """Which replies."""

    name: str = Field(min_length=1, description="the file's name")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="digest of the file's bytes")
    role: Literal["solver", "critic", "corrector"] = Field("solver", description="what wrote them")


INPUTS = {"problems": "problems", "attempts?": "attempts"}
OUTPUTS = ("replies",)
SEEDED = False
THREADS = 1


def run(job: Job) -> None:
    """Write the replies in the items' order; UserError for ids that are missing, unknown or there twice."""
    from elenchus.benchmarks import imports

    job.write("replies", imports.replies(job))


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return a reply for each item; no tokens."""
    return Estimate(rows=rows.get("attempts", 0) or rows.get("problems", 0))
