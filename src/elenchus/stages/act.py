"""Solutions acted out in a world: n episodes per problem, and more that branch off from inside failed ones.

Source: Agent-R's collection of trajectories (2501.11425).

Departures
1. In place of a tree by UCT: independent episodes, then episodes from random places of those that failed. Both share
   prefixes and back-track by reset and replay; none weighs where to look by values.
"""

from __future__ import annotations

from pydantic import Field

from elenchus import seeds
from elenchus.engines.settings import Sampler
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths


class Params(Sampler):
    """How episodes are played."""

    temperature: float = Field(1.0, ge=0, description="sampling temperature, 0 is greedy")
    n: int = Field(1, ge=1, description="episodes per problem from its start")
    branches: int = Field(0, ge=0, description="episodes per problem from inside its failed ones (else any)")
    max_tokens: int = Field(8, ge=1, description="tokens of an action at most")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus of the sampling distribution")
    batch_size: int = Field(256, ge=1, description="sequences in flight; bounds memory")


INPUTS = {"actor": "model", "problems": "problems"}
OUTPUTS = ("solutions",)
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write the episodes, problem by problem: those from the start, then the branches."""
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus import problems, solutions
    from elenchus.agents import episodes
    from elenchus.engines import Sampling
    from elenchus.engines.opening import opened, spent

    p, given = job.params, job.inputs["problems"]
    total, size = given.count("problems"), solutions.chunk_size(p.n, p.batch_size)
    engine = opened(job, "actor")
    sampling = Sampling(p.temperature, p.max_tokens, p.top_p, stop=episodes.TURN_ENDS)
    tag, rng = solutions.tag(job.seed), job.rng("branches")
    with job.writing("solutions") as (add,):
        for k, start in enumerate(range(0, total, size)):
            chunk = given.rows("problems", start, start + size).to_dict("records")
            part = [problems.from_row(row) for row in chunk]
            for problem in part:
                episodes.check_interactive(problem)
            starts = [episodes.Start(problem) for problem in part for _ in range(p.n)]
            seed = seeds.derive(job.derive("episodes"), k)
            first = episodes.play(engine, starts, sampling, seed, tag, 0, p.n)
            of = {problem.id: first[i * p.n : (i + 1) * p.n] for i, problem in enumerate(part)}
            if p.branches:
                starts = [s for problem in part for s in episodes.branches(problem, of[problem.id], p.branches, rng)]
                more = episodes.play(engine, starts, sampling, seeds.derive(seed, "branches"), tag, p.n, p.branches)
                for i, problem in enumerate(part):
                    of[problem.id] += more[i * p.branches : (i + 1) * p.branches]
            for own in of.values():
                add(own)
            job.progress((start + len(part)) * (p.n + p.branches), total * (p.n + p.branches), "episodes")
    spent(job, engine)


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: `turns` actions an episode, each after a prompt with what was done so far."""
    played = rows.get("problems", 0) * (params.n + params.branches)
    return Estimate(
        rows=played, sampled=tokens.turns * tokens.action * played, prompt=tokens.turns * tokens.prefix * played
    )
