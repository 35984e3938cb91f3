"""Single steps to judge, as many wrong as right, and the lessons that they are for a step critic or a sneaky generator.

Source: SPC (arXiv 2504.19162), round 0 and its evaluation: pairs of a right and a wrong step after the same kind of prefix.

Departures
1. Wrong steps are the first wrong ones of a model's solutions (`natural`), or right ones spoilt by program (`corrupted`);
   the paper takes them from PRM800K.
2. The critic's lessons are an exact checker's units with misses and false alarms in place of a strong model's critiques.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams


class Params(StageParams):
    """Which steps, how many, and what is taught by them."""

    source: Literal["natural", "corrupted"] = Field(
        "natural", description="wrong steps: the solutions' own first errors, or their right steps spoilt by program"
    )
    teach: Literal["critic", "generator"] = Field(
        "critic", description="examples: the critic's judgement of each step, or the generator's wrong step"
    )
    limit: int = Field(0, ge=0, description="cases at most, half of them wrong, drawn at random; 0: all that pair up")
    miss_rate: float = Field(0.0, ge=0, le=1, description="critic's lessons: probability that a wrong step passes")
    false_alarm_rate: float = Field(
        0.0, ge=0, le=1, description="critic's lessons: probability that a right step is called bad"
    )


INPUTS = {"solutions": "solutions", "problems": "problems"}
OUTPUTS = ("cases", "examples")
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write the cases, wrong ones first, and the examples; a generator's lessons need cases by program."""
    from elenchus.critics.drafts import drafts
    from elenchus.errors import UserError

    p = job.params
    if p.teach == "generator" and p.source != "corrupted":
        raise UserError(f"teach 'generator' needs source 'corrupted' (errors of a named type), found {p.source!r}")
    found = drafts(job.inputs["solutions"].table("solutions"), job.inputs["problems"].table("problems"))
    right, wrong = right_steps(found), wrong_steps(found) if p.source == "natural" else []
    kinds: dict[str, str] = {}
    draw = job.rng("draw")
    if p.source == "corrupted":
        from elenchus.critics import mistakes
        from elenchus.critics.step import Case

        for case in right:
            kind, step = mistakes.draw(case.problem, case.prefix, case.right, draw)
            wrong.append(Case(f"{case.id}!", case.problem, case.prefix, step, case.right, "random"))
            kinds[wrong[-1].id] = kind
    n = min(len(right), len(wrong), p.limit // 2 if p.limit else len(wrong))
    wrong = [wrong[i] for i in sorted(draw.sample(range(len(wrong)), n))]
    right = [right[i] for i in sorted(draw.sample(range(len(right)), n))]
    job.write("cases", [case.row() for case in (*wrong, *right)])
    job.write("examples", _sneaking(wrong, kinds) if p.teach == "generator" else _judging(job, [*wrong, *right]))


def right_steps(drafts: list) -> list:
    """Return the right steps of drafts that only right steps stand before, each as a case."""
    from elenchus.critics.step import Case

    return [
        Case(f"{d.id}#{k + 1}", d.problem, d.steps[:k], d.steps[k], d.steps[k], "solver")
        for d in drafts
        for k in range(d.first_error if d.first_error >= 0 else len(d.steps))
    ]


def wrong_steps(drafts: list) -> list:
    """Return the first wrong step of each draft that has one, as a case; `right` where the exact solution says it."""
    from elenchus.critics.step import Case

    found = []
    for d in (d for d in drafts if d.first_error >= 0):
        k, exact = d.first_error, d.family.reference(d.problem)
        right = exact[k] if tuple(exact[:k]) == d.steps[:k] else ""
        found.append(Case(f"{d.id}#{k + 1}", d.problem, d.steps[:k], d.steps[k], right, "solver"))
    return found


def _sneaking(wrong: list, kinds: dict[str, str]) -> list[dict]:
    """Return the generator's lessons: the type of error, then the wrong step."""
    from elenchus.critics import mistakes, step
    from elenchus.examples import example

    return [
        example(c.id, c.problem.id, step.sneaking(c), "assistant", mistakes.announce(kinds[c.id], c.step))
        for c in wrong
    ]


def _judging(job: Job, cases: list) -> list[dict]:
    """Return the critic's lessons: the judgement of an exact checker with the dials' faults."""
    from elenchus import seeds
    from elenchus.critics import oracle, step
    from elenchus.critics.drafts import Draft
    from elenchus.examples import example
    from elenchus.search.tree import written

    dials, rows = oracle.Dials(job.params.miss_rate, job.params.false_alarm_rate), []
    for case in cases:
        steps = (*case.prefix, case.step)
        draft = Draft(case.id, case.problem, written(steps), steps, correct=False, first_error=-1)
        unit = oracle.judge(draft, dials, seeds.rng(job.derive("oracle"), case.id))[-1]
        rows.append(example(case.id, case.problem.id, step.judging(case), "critic", step.judgement(unit)))
    job.cost.oracle_calls += len(cases)
    return rows


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return about two cases a solution, `limit` at most; no tokens."""
    most = 2 * rows.get("solutions", 0)
    return Estimate(rows=min(most, params.limit) if params.limit else most)
