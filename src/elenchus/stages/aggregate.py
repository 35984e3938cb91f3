"""One critique of each solution out of several critics': merged in units, or by a simpler rule.

Source: MultiCritique (2410.15287), steps 4 and 5: a meta-judge puts every unit into a quality category with a severity,
sound units are merged, flawed ones dropped.

Departures
1. The meta-judge is an exact checker with noise (`judge_noise`), in place of GPT-4.
2. The seven categories and their severities are ours (`critics/aggregate.py`); the paper's are not public.
3. A unit is one step's judgement, "good" ones included, so that a missed error counts against its critic.
4. Flawed units are dropped, never repaired.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from elenchus import seeds, slices
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams


class Params(StageParams):
    """The rule, and the meta-judge's noise."""

    method: Literal["units", "union", "majority", "single"] = Field(
        "units",
        description="units: judged and merged; union: all findings; majority: of whole critiques; single: one critic",
    )
    name: str = Field("merged", min_length=1, description="name of the resulting critic in tables")
    single: str = Field("", description="whose critiques, where method is single")
    judge_noise: float = Field(
        0.0, ge=0, le=1, description="probability that the meta-judge puts a unit into a wrong category"
    )
    keep: float = Field(
        0.75, ge=0, le=1, description="least quality of a unit that is kept (1 sound, 0.75 wrong type only)"
    )


INPUTS = {"critiques*": "critiques", "solutions": "solutions", "problems": "problems"}
OUTPUTS = ("critiques", "units")
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write one critique a solution (none where no critic's can be read) and every unit with its judgement."""
    from elenchus.critics import aggregate, rows, several
    from elenchus.critics.drafts import drafts
    from elenchus.critics.format import parse, render

    p = job.params
    if p.method == "single":
        _check_single(job)
    with job.writing("critiques", "units") as (add_critiques, add_units):
        for part in slices.walk(job, INPUTS, "solutions", "problems", "critiques"):
            said = several.by_solution(part["critiques"])
            for draft in drafts(part["solutions"], part["problems"]):
                critiques = several.read(draft, said.get(draft.id, {}))
                readable = {name: c for name, c in critiques.items() if c.parsed}
                judged = aggregate.judge(readable, draft.truth(), p.judge_noise, seeds.rng(job.seed, "judge", draft.id))
                units = add_units(_unit_rows(draft, critiques, judged, p.keep))
                job.cost.oracle_calls += units if p.method == "units" else 0
                chosen = _merge(p, readable, judged, len(draft.steps))
                if chosen is None:
                    continue
                text = render(chosen)
                critique = parse(text, len(draft.steps), draft.family.error_types())
                agree = sum(c.verdict == critique.verdict for c in readable.values()) / len(readable)
                add_critiques([rows.row(draft, p.name, 0, text, critique, confidence=agree)])


def _check_single(job: Job) -> None:
    """Raise UserError where no critic has the name that is asked for."""
    from elenchus.critics import several

    tables = (c.columns("critiques", ["critic", "sample"]).drop_duplicates() for c in job.inputs["critiques"])
    names = {several.name_of(*row) for table in tables for row in table.itertuples(index=False)}
    if job.params.single not in names:
        raise UserError(f"method single: no critic {job.params.single!r}; critics: {', '.join(sorted(names))}")


def _merge(p: Params, readable: dict, judged: list, n_steps: int) -> list | None:
    """Return the units of the resulting critique, None where there is nothing to make it of."""
    from elenchus.critics import aggregate

    if not readable:
        return None
    if p.method == "units":
        return aggregate.merge(judged, n_steps, p.keep)
    if p.method == "union":
        return aggregate.by_union(readable, n_steps)
    return aggregate.by_majority(readable) if p.method == "majority" else aggregate.by_single(readable, p.single)


def _unit_rows(draft, critiques: dict, judged: list, keep: float) -> list[dict]:
    """Return the rows of `units`; an unreadable critique has one, with step -1."""
    from elenchus.critics import aggregate

    worst = aggregate.CATEGORIES["unreadable"].severity

    def row(critic: str, step: int, error: str, fix: str, quality: float, severity: float, kept: bool) -> dict:
        facts = {"step": step, "error": error, "fix": fix, "quality": quality, "severity": severity, "kept": kept}
        return {"solution_id": draft.id, "critic": critic, **facts}

    rows = [
        row(j.critic, j.unit.step, j.unit.error, j.unit.expected, j.quality, j.severity, aggregate.kept(j, keep))
        for j in judged
    ]
    return rows + [row(name, -1, "", "", 0.0, worst, False) for name, c in critiques.items() if not c.parsed]


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return one critique a solution; no tokens."""
    return Estimate(rows=rows.get("solutions", 0))
