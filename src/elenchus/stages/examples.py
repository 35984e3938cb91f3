"""Training examples made of critiques, refinements, pairs, solutions or exact solutions, each kept by a named rule.

Sources: Critique-RL (2510.24320), step 2: a critique is kept if the refinement under it is right (`keep: mends`);
"Confidence v.s. Critique" (2412.19513): refinements that keep a right answer and ones that mend a wrong one;
RefCritic (2507.15024): critiques whose verdict is right and that mend (`keep: verdict_and_mends`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from elenchus import slices
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
READ = {  # what is read for them, beside problems; that in whose order they are made comes first
    "solutions": ("solutions",),
    "critiques": ("critiques", "solutions"),
    "refinements": ("refinements", "solutions", "critiques"),
    "pairs": ("pairs",),
    "references": (),
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
    p = job.params
    of = p.of
    if of == "auto":
        of = next((n for n in ("pairs", "refinements", "critiques", "solutions") if n in job.inputs), "references")
    if p.keep not in RULES[of]:
        raise UserError(f"keep {p.keep!r} says nothing of {of}; rules for them: {', '.join(RULES[of])}")
    read = [*READ[of], *(["refinements"] if of == "critiques" and "mends" in p.keep else [])]
    for name in read:
        if name not in job.inputs:
            raise UserError(f"examples of this kind need the input `{name}`")
    made = _made(job, of, read)
    total = sum(map(len, _made(job, of, read))) if p.limit else 0
    if total > p.limit:
        made = slices.picked(made, sorted(job.rng("limit").sample(range(total), p.limit)))
    with job.writing("examples") as (add,):
        for rows in made:
            add(rows)


def _made(job: Job, of: str, read: list[str]) -> Iterator[list[dict]]:
    """Yield the examples of each slice."""
    from elenchus import examples
    from elenchus.critics.drafts import by_id

    keep = job.params.keep
    for part in slices.walk(job, INPUTS, *read, "problems"):
        known = by_id(part["problems"])
        if of == "references":
            yield examples.from_references(known.values())
        elif of == "pairs":
            yield examples.from_pairs(part["pairs"])
        elif of == "solutions":
            yield examples.from_solutions(known, _solutions(part["solutions"], keep))
        elif of == "critiques":
            yield examples.from_critiques(known, part["solutions"], _critiques(part, keep))
        else:
            kept = _refinements(part["refinements"], keep)
            yield examples.from_refinements(known, part["solutions"], part["critiques"], kept)


def _solutions(table, keep: str):
    return table[table["parsed"] & (table["correct"] | (keep == "all"))]


def _critiques(part: dict, keep: str):
    """Return the readable critiques that the rule keeps."""
    table = part["critiques"]
    table = table[table["parsed"]]
    if keep in ("mends", "verdict_and_mends"):
        outcome = part["refinements"].groupby("critique_id")["correct"].min()
        table = table[table["critique_id"].map(outcome).fillna(False).astype(bool)]
    if keep in ("all", "mends"):
        return table
    solutions = part["solutions"].set_index("solution_id")
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
