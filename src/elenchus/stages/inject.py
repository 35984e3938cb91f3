"""Right solutions with errors put in on purpose: where they are, and of which type, is known exactly.

Source: Critic-V (2411.18203), vision error insertion: one to five false details are put into a true answer.

Departures
1. Errors are drawn by the problem family and confirmed by its exact checker; the paper asks GPT-4o to rewrite answers.
2. What follows a wrong step goes on from its result, as a solver would; the paper's details stand side by side.
3. `clean` leaves a share of solutions without errors; the paper has none, so that a critic learns to complain always.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from elenchus import seeds, slices
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams


class Params(StageParams):
    """How many errors, and which."""

    n: int = Field(1, ge=1, description="solutions of each problem, or of each sound solution given")
    fewest: int = Field(1, ge=1, description="errors in a solution at least (Critic-V: 1)")
    most: int = Field(5, ge=1, description="errors in a solution at most, and no more than it has steps (Critic-V: 5)")
    types: tuple[str, ...] = Field((), description="error types to inject; empty: as the family draws them")
    clean: float = Field(0.0, ge=0, le=1, description="probability that a solution stays without errors (Critic-V: 0)")

    @model_validator(mode="after")
    def _ordered(self) -> Params:
        if self.fewest > self.most:
            raise ValueError(f"fewest {self.fewest} is above most {self.most}")
        return self


INPUTS = {"problems": "problems", "solutions?": "solutions"}
OUTPUTS = ("solutions", "labels")
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write the solutions, problem by problem, and their steps' labels: 1 for a right step, 0 for a wrong one.

    With the input `solutions` errors go into its sound ones, those in which every step is right; else into exact ones.
    """
    from elenchus import problems, solutions
    from elenchus.critics import inject
    from elenchus.stages import label

    p, made, done, total = job.params, 0, 0, job.inputs["problems"].count("problems")
    facts = {"finish": "end", "tokens": 0, "logprob": 0.0, "temperature": 0.0}  # nobody sampled them
    with job.writing("solutions", "labels") as (add_solutions, add_labels):
        for part in slices.walk(job, INPUTS, "problems", "solutions"):
            known = [problems.from_row(row) for row in part["problems"].to_dict("records")]
            for family in {problem.family for problem in known}:
                inject.check_types(p.types, problems.load(family).error_types())
            for problem, several in _sources(part, known):
                family, rows, labels = problems.load(problem.family), [], []
                for i in range(len(several) * p.n):
                    source = several[i // p.n]
                    rng = seeds.rng(job.seed, "inject", problem.id, i)
                    steps = list(source) if rng.random() < p.clean else _injected(p, problem, source, rng)
                    if steps is None:
                        continue
                    text = family.render(problem, steps)
                    rows.append(solutions.read(problem, text, i, solutions.tag(job.seed), **facts))
                    right = [float(check.ok) for check in family.check_steps(problem, steps)]
                    labels.append(label.row(rows[-1]["solution_id"], problem.id, steps, right, "injected"))
                job.cost.oracle_calls += sum(len(row["steps"]) for row in rows)
                made, done = made + add_solutions(rows), done + 1
                add_labels(labels)
                job.progress(done, total, "problems")
    if not made:
        raise UserError(f"no solution of {total} problems could take {p.fewest} to {p.most} errors of these types")


def _sources(part: dict, known: list) -> list[tuple]:
    """Return (problem, the right solutions' steps to put errors into), problem by problem."""
    from elenchus import problems

    if "solutions" not in part:
        return [(problem, [problems.load(problem.family).reference(problem)]) for problem in known]
    table = part["solutions"]
    sound = table[table["parsed"] & table["correct"] & (table["first_error"] == -1)]
    steps: dict[str, list] = {}
    for problem_id, own in zip(sound["problem_id"], sound["steps"], strict=True):
        steps.setdefault(problem_id, []).append(list(own))
    return [(problem, steps.get(problem.id, [])) for problem in known]


def _injected(p: Params, problem, source: list[str], rng) -> list[str] | None:
    """Return the steps of a solution with a random number of errors, None where it cannot take as many."""
    from elenchus.critics import inject

    if p.fewest > len(source):
        return None
    return inject.inject(problem, rng, rng.randint(p.fewest, min(p.most, len(source))), p.types, source)


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return n solutions a problem, or a solution; no tokens."""
    return Estimate(rows=params.n * (rows.get("solutions", 0) or rows.get("problems", 0)))
