"""A set of generated problems of one split.

A problem's content decides its split (`problems.split_of`), so splits are disjoint by construction, whatever is drawn
and however many; a larger `n` begins with the problems of a smaller one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Literal

from pydantic import Field, field_validator

from elenchus import problems, seeds
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.problems import Problem
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams

PATIENCE = 2000  # problems drawn in a row without a new one, after which a split counts as exhausted


class Params(StageParams):
    """Parameters of a problem set."""

    family: str = Field("chain", description="problem family")
    options: dict = Field(default_factory=dict, validate_default=True, description="the family's difficulty knobs")
    split: Literal["train", "validation", "test"] = Field("train", description="which split")
    n: int = Field(100, ge=1, description="problems, all different")
    seed: int = Field(0, ge=0, description="which problems are drawn")

    @field_validator("options")
    @classmethod
    def _full(cls, given: dict, info) -> dict:
        return problems.full_options(info.data["family"], given)


INPUTS: dict[str, str] = {}
OUTPUTS = ("problems", "manifest.json")
SEEDED = False
THREADS = 1


def run(job: Job) -> None:
    """Draw the problems; write them, and the manifest of their ids."""
    p = job.params
    ids = []
    with job.writing("problems") as (add,):
        for problem in distinct(p):
            ids.append(problem.id)
            add([row(problem, p.split)])
    job.write_json("manifest", {**p.model_dump(mode="json"), "ids": ids})


def row(problem: Problem, split: str) -> dict:
    """Return the row of one problem."""
    return {
        "problem_id": problem.id,
        "family": problem.family,
        "split": split,
        "prompt": problem.prompt,
        "answer": problem.answer,
        "meta": json.dumps(problem.meta, sort_keys=True),
    }


def distinct(p: Params) -> Iterator[Problem]:
    """Yield `p.n` different problems of the split; UserError where it does not hold so many."""
    family = problems.load(p.family)
    options = family.Options.model_validate(p.options)
    rng = seeds.rng("problems", p.family, json.dumps(p.options, sort_keys=True), p.split, p.seed)
    found: set[str] = set()
    misses = 0
    while len(found) < p.n:
        problem = problems.draw(family, options, p.split, rng)
        if problem.id not in found:
            found.add(problem.id)
            misses = 0
            yield problem
            continue
        misses += 1
        if misses == PATIENCE:
            raise UserError(
                f"the {p.split} split of {p.family} with options {p.options} holds about {len(found)} problems, "
                f"{p.n} are asked for. Ask for fewer, or widen the options"
            )


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: n rows, no tokens."""
    return Estimate(rows=params.n)
