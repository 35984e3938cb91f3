"""One solution per problem, chosen of several without a look at the outcome: by score, by majority, or by summed scores.

The answer of a search tree is chosen alike of its finished leaves (ReST-MCTS*, 2406.03816: the leaf of the highest value,
or the answer with the largest sum of values). A problem without a readable solution goes unanswered.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from elenchus import slices
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams


class Params(StageParams):
    """How the solution is chosen."""

    rule: Literal["best", "majority", "vote"] = Field(
        "best", description="the highest score; the most frequent answer; the answer with the largest sum of scores"
    )


INPUTS = {"solutions": "solutions", "problems": "problems", "scores?": "scores"}
OUTPUTS = ("solutions",)
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write the chosen solutions, in the order of the problems; ties at random."""
    from elenchus import problems, solutions

    rule = job.params.rule
    if (rule == "majority") == ("scores" in job.inputs):
        raise UserError(f"rule {rule!r} {'takes no' if rule == 'majority' else 'needs the'} input `scores`")
    with job.writing("solutions") as (add,):
        for part in slices.walk(job, INPUTS, "problems", "solutions", "scores"):
            table, given = part["solutions"], part.get("scores")
            scores = {} if given is None else dict(zip(given["solution_id"], given["score"], strict=True))
            of: dict[str, list[dict]] = {}
            for row in table[table["parsed"]].to_dict("records"):
                of.setdefault(row["problem_id"], []).append(row)
            rows = []
            for problem in map(problems.from_row, part["problems"].to_dict("records")):
                if own := of.get(problem.id):
                    answers, worth = [r["answer"] for r in own], [scores.get(r["solution_id"], 0.0) for r in own]
                    rows.append(own[chosen(answers, worth, rule, job.rng(problem.id))])
                else:
                    facts = {"finish": "length", "tokens": 0, "logprob": 0.0, "temperature": 0.0}
                    rows.append(solutions.read(problem, "", 0, solutions.tag(job.seed), **facts))
            add(rows)


def chosen(answers: list[str], scores: list[float], rule: str, rng) -> int:
    """Return the place of the chosen solution; of an answer that was voted for, the best-scored one."""
    places = rng.sample(range(len(answers)), len(answers))  # ties go to the first in this order
    if rule == "best":
        return max(places, key=lambda i: scores[i])
    votes: dict[str, float] = {}
    for i in places:
        votes[answers[i]] = votes.get(answers[i], 0.0) + (1.0 if rule == "majority" else scores[i])
    return max(places, key=lambda i: (votes[answers[i]], scores[i]))


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return one solution per problem; no tokens."""
    return Estimate(rows=rows.get("problems", 0))
