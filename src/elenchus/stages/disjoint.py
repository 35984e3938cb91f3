"""Proof that no problem is in two splits: their ids, and the prompts behind them, have no member in common."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from elenchus.errors import UserError
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams

if TYPE_CHECKING:
    from elenchus.job import Job

INPUTS = {"problems*": "problems"}
OUTPUTS = ("disjoint.json",)
SEEDED = False
THREADS = 1


class Params(StageParams):
    """Nothing to choose."""


def run(job: Job) -> None:
    """Write how many problems each split has; UserError naming the first problem that two splits share."""
    splits: dict[str, dict[str, str]] = {}
    for result in job.inputs["problems"]:
        table = result.columns("problems", ["problem_id", "prompt", "split"])
        for split, rows in table.groupby("split"):
            splits.setdefault(split, {}).update(zip(rows["problem_id"], rows["prompt"]))
    for (a, left), (b, right) in combinations(sorted(splits.items()), 2):
        shared_ids, shared_prompts = sorted(set(left) & set(right)), sorted(set(left.values()) & set(right.values()))
        if shared_ids or shared_prompts:
            raise UserError(
                f"splits {a!r} and {b!r} share {len(shared_ids)} problem ids and {len(shared_prompts)} prompts, "
                f"the first: {(shared_ids or shared_prompts)[0]!r}. Results on {b!r} would be leaked: mend the family's split rule"
            )
    job.write_json("disjoint", {"splits": {name: len(ids) for name, ids in sorted(splits.items())}, "shared": 0})


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return a row per split pair; no tokens."""
    return Estimate(rows=1)
