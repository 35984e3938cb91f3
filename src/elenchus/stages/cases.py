"""Single steps to judge, as many wrong as right, and the lessons that they are for a step critic or a sneaky generator.

Source: SPC (arXiv 2504.19162), round 0 and its evaluation: pairs of a right and a wrong step after the same kind of prefix.

Departures
1. Wrong steps are the first wrong ones of a model's solutions (`natural`), or right ones spoilt by program (`corrupted`);
   the paper takes them from PRM800K.
2. The critic's lessons are an exact checker's units with misses and false alarms in place of a strong model's critiques.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from elenchus import slices
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
    from elenchus.errors import UserError

    p = job.params
    if p.teach == "generator" and p.source != "corrupted":
        raise UserError(f"teach 'generator' needs source 'corrupted' (errors of a named type), found {p.source!r}")
    draw, counts = job.rng("draw"), [0, 0]
    for sides in _sides(job, draw):
        counts = [n + len(side) for n, side in zip(counts, sides, strict=True)]
    n = min(*counts, p.limit // 2 if p.limit else counts[0])
    chosen = [sorted(draw.sample(range(count), n)) for count in counts]
    with job.writing("cases", "examples") as (add_cases, add_examples):
        for side, places in enumerate(chosen):  # made again, with the same draws: nothing but the places is kept
            for found in slices.picked((sides[side] for sides in _sides(job, job.rng("draw"))), places):
                cases = [case for case, _ in found]
                add_cases([case.row() for case in cases])
                if p.teach == "critic":
                    add_examples(_judging(job, cases))
                elif side == 0:
                    add_examples(_sneaking(found))


def _sides(job: Job, draw) -> Iterator[tuple[list, list]]:
    """Yield (wrong, right) cases of each slice, each with the type of error that was put in, "" where none was."""
    from elenchus.critics import mistakes
    from elenchus.critics.drafts import drafts
    from elenchus.critics.step import Case

    for part in slices.walk(job, INPUTS, "solutions", "problems"):
        found = drafts(part["solutions"], part["problems"])
        right = right_steps(found)
        wrong = [(case, "") for case in wrong_steps(found)] if job.params.source == "natural" else []
        for case in right if job.params.source == "corrupted" else ():
            kind, step = mistakes.draw(case.problem, case.prefix, case.right, draw)
            wrong.append((Case(f"{case.id}!", case.problem, case.prefix, step, case.right, "random"), kind))
        yield wrong, [(case, "") for case in right]


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


def _sneaking(wrong: list) -> list[dict]:
    """Return the generator's lessons of (case, type of error): the type, then the wrong step."""
    from elenchus.critics import mistakes, step
    from elenchus.examples import example

    return [
        example(c.id, c.problem.id, step.sneaking(c), "assistant", mistakes.announce(kind, c.step)) for c, kind in wrong
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
