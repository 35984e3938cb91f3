"""A published benchmark's items as tables: its questions, and the solutions that were published with them.

The tables of `elenchus data get` are read (`results/benchmarks/<name>/<split>/<version>/`), whose version is a digest of the
set's files and of the code that read them. A smaller `items` is a part of a larger one.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from elenchus import seeds
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams


class Part(BaseModel):
    """One split of the set, in one version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    split: str = Field(description="the split")
    version: str = Field(pattern=r"^[0-9a-f]{16}$", description="digest of its files and of the code that read them")


class Params(StageParams):
    """Which items."""

    family: str = Field(description="the set: a module of src/elenchus/benchmarks/sets, or a name given to `data get`")
    parts: tuple[Part, ...] = Field(min_length=1, description="splits")
    items: int = Field(0, ge=0, description="items of each split at most; 0: all")
    pick: Literal["drawn", "first"] = Field("drawn", description="which of them: drawn by a digest, or the first")


INPUTS: dict[str, str] = {}
OUTPUTS = ("problems", "attempts")
SEEDED = False
THREADS = 1


def run(job: Job) -> None:
    """Write the items in the set's order."""
    import json

    import pyarrow.parquet as pq

    from elenchus.benchmarks import store

    p, asked, attempts = job.params, [], []
    for part in p.parts:
        folder = store.FOLDER / p.family / part.split / part.version
        if not (folder / "manifest.json").is_file():
            raise UserError(
                f"{folder}: not there any more; get it again with\n  elenchus data get {p.family} --from <folder>"
            )
        rows = pq.read_table(folder / "problems.parquet", use_threads=False).to_pylist()
        kept = {rows[i]["problem_id"] for i in chosen(len(rows), p, part)}
        asked += [{**row, "family": p.family} for row in rows if row["problem_id"] in kept]
        published = pq.read_table(folder / "solutions.parquet", use_threads=False).to_pylist()
        places: dict[str, int] = {}
        for row in published:
            place = places.get(row["problem_id"], 0)
            places[row["problem_id"]] = place + 1
            if row["problem_id"] in kept:
                attempts.append(
                    {
                        "attempt_id": row["solution_id"],
                        "problem_id": row["problem_id"],
                        "author": row["author"] or "published",
                        "sample": place,
                        "text": row["text"],
                        "steps": row["steps"] or [row["text"]],
                        "answer": row["answer"],
                        "parsed": True,
                        "correct": row["correct"],
                        "first_error": row["first_error"],
                        "tokens": None,
                    }
                )
    for row in asked:
        json.loads(row["meta"])  # a table that was damaged is found here, not by whoever reads it
    job.write("problems", asked)
    job.write("attempts", attempts)


def chosen(n: int, p: Params, part: Part) -> list[int]:
    """Return the places of the items to take."""
    if not p.items or p.items >= n:
        return list(range(n))
    if p.pick == "first":
        return list(range(p.items))
    return sorted(seeds.rng("benchmark", p.family, part.split, part.version).sample(range(n), n)[: p.items])


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the items asked for, or about a thousand of each split; no tokens."""
    return Estimate(rows=(params.items or 1000) * len(params.parts))
