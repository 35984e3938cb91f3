"""The solutions that stand after a turn of refinement: the refinement where there is one, else the solution before.

Several turns of criticism and refinement are stages in a row: critique, refine, revised, critique, ...
"""

from __future__ import annotations

from elenchus import slices
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams


class Params(StageParams):
    """Nothing to choose: of several refinements of a solution, the first stands."""


INPUTS = {"refinements": "refinements", "solutions": "solutions", "problems": "problems"}
OUTPUTS = ("solutions",)
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write the solutions in their order, read and labelled anew; tokens and log-probability are the last writer's."""
    from elenchus import solutions
    from elenchus.critics.drafts import by_id

    with job.writing("solutions") as (add,):
        for part in slices.walk(job, INPUTS, "solutions", "problems", "refinements"):
            known, revised, rows = by_id(part["problems"]), {}, []
            for row in part["refinements"].to_dict("records"):
                revised.setdefault(row["solution_id"], row)
            for before in part["solutions"].to_dict("records"):
                last = revised.get(before["solution_id"], before)
                facts = {"tokens": last["tokens"], "logprob": last["logprob"]}
                facts |= {"finish": before["finish"], "temperature": before["temperature"]}
                problem = known[before["problem_id"]]
                rows.append(solutions.read(problem, last["text"], before["sample"], solutions.tag(job.seed), **facts))
            add(rows)


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return as many solutions as before; no tokens."""
    return Estimate(rows=rows.get("solutions", 0))
