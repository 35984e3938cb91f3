"""Training examples made of critiques, refinements, pairs, solutions or exact solutions, each kept by a named rule.

Sources: Critique-RL (2510.24320), step 2: a critique is kept if the refinement under it is right (`keep: mends`);
"Confidence v.s. Critique" (2412.19513): refinements that keep a right answer and ones that mend a wrong one;
RefCritic (2507.15024): critiques whose verdict is right and that mend (`keep: verdict_and_mends`).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams

RULES = {
    "solutions": ("all", "right"),
    "critiques": ("all", "exact", "verdict", "mends", "verdict_and_mends"),
    "refinements": ("all", "right", "mended", "kept_right"),
    "pairs": ("all",),
    "references": ("all",),
}


class Params(StageParams):
    """What examples are made of, and which are kept."""

    of: Literal["auto", "solutions", "critiques", "refinements", "pairs", "references"] = Field(
        "auto", description="auto: the last given of solutions, critiques, refinements, pairs"
    )
    keep: Literal["all", "right", "exact", "verdict", "mends", "verdict_and_mends", "mended", "kept_right"] = Field(
        "all",
        description="right: right answers; exact: first error right; verdict: overall verdict right; mends: all "
        "refinements under it are right; verdict_and_mends: both; mended: wrong to right; kept_right: right to right",
    )
    limit: int = Field(0, ge=0, description="examples at most, drawn at random; 0: all")


INPUTS = {
    "problems": "problems",
    "solutions?": "solutions",
    "critiques?": "critiques",
    "refinements?": "refinements",
    "pairs?": "pairs",
}
OUTPUTS = ("examples",)
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write the examples, in the order of what they are made of; unreadable critiques and solutions are left out."""
    from elenchus import examples
    from elenchus.critics.drafts import by_id

    p = job.params
    of = p.of
    if of == "auto":
        of = next((n for n in ("pairs", "refinements", "critiques", "solutions") if n in job.inputs), "references")
    if p.keep not in RULES[of]:
        raise UserError(f"keep {p.keep!r} says nothing of {of}; rules for them: {', '.join(RULES[of])}")
    known = by_id(job.inputs["problems"].table("problems"))
    if of == "references":
        rows = examples.from_references(known.values())
    elif of == "pairs":
        rows = examples.from_pairs(_table(job, "pairs"))
    elif of == "solutions":
        rows = examples.from_solutions(known, _solutions(_table(job, "solutions"), p.keep))
    elif of == "critiques":
        rows = examples.from_critiques(known, _table(job, "solutions"), _critiques(job, p.keep))
    else:
        kept = _refinements(_table(job, "refinements"), p.keep)
        rows = examples.from_refinements(known, _table(job, "solutions"), _table(job, "critiques"), kept)
    if p.limit and len(rows) > p.limit:
        rows = [rows[i] for i in sorted(job.rng("limit").sample(range(len(rows)), p.limit))]
    job.write("examples", rows)


def _table(job: Job, name: str):
    """Return an input's table; UserError where the input is not given."""
    if name not in job.inputs:
        raise UserError(f"examples of this kind need the input `{name}`")
    return job.inputs[name].table(name)


def _solutions(table, keep: str):
    return table[table["parsed"] & (table["correct"] | (keep == "all"))]


def _critiques(job: Job, keep: str):
    """Return the readable critiques that the rule keeps."""
    table = _table(job, "critiques")
    table = table[table["parsed"]]
    if keep in ("mends", "verdict_and_mends"):
        outcome = _table(job, "refinements").groupby("critique_id")["correct"].min()
        table = table[table["critique_id"].map(outcome).fillna(False).astype(bool)]
    if keep in ("all", "mends"):
        return table
    solutions = _table(job, "solutions").set_index("solution_id")
    about = solutions.loc[table["solution_id"]]
    if keep == "exact":
        return table[table["first_error"].to_numpy(dtype=float) == about["first_error"].to_numpy(dtype=float)]
    return table[(table["verdict"].to_numpy(dtype=object) == "right") == about["correct"].to_numpy(dtype=bool)]


def _refinements(table, keep: str):
    """Return the parsed refinements that the rule keeps."""
    table = table[table["parsed"]]
    right, before = table["correct"], table["was_correct"]
    rules = {"all": right | ~right, "right": right, "mended": right & ~before, "kept_right": right & before}
    return table[rules[keep]]


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return as many examples as there are rows of what they are made of; no tokens."""
    most = max((rows.get(n, 0) for n in ("solutions", "critiques", "refinements", "pairs")), default=0)
    return Estimate(rows=min(most, params.limit) if params.limit else most)
