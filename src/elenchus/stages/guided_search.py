"""Solutions written step by step under a critic: a step that it calls bad is sampled again.

Source: SPC (arXiv 2504.19162), its test-time search: a step judged right stands, else another is sampled, a few times.
"""

from __future__ import annotations

from functools import partial

from pydantic import Field

from elenchus import parts, seeds
from elenchus.engines.settings import Sampler
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths


class Params(Sampler):
    """How steps are sampled and judged."""

    n: int = Field(1, ge=1, description="solutions per problem")
    tries: int = Field(5, ge=1, description="steps sampled in one place at most; the last stands (paper: about 5)")
    temperature: float = Field(1.0, ge=0, description="the solver's sampling temperature; the critic is greedy")
    max_steps: int = Field(12, ge=1, description="a solution of so many steps that has not ended is given up")
    step_tokens: int = Field(24, ge=1, description="tokens of one step at most")
    judgement_tokens: int = Field(24, ge=1, description="tokens of a judgement at most")
    batch_size: int = Field(256, ge=1, description="sequences in flight; bounds memory")


INPUTS = {"actor": "model", "critic": "model", "problems": "problems"}
OUTPUTS = ("solutions",)
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write the solutions, problem by problem; a solution's tokens are all that its solver sampled, rejected steps too."""
    starts = range(0, job.inputs["problems"].count("problems"), chunk(job.params))
    parts.make(job, OUTPUTS, starts, partial(_begin, job), "solutions")


def chunk(params: Params) -> int:
    """Return the problems of a part."""
    from elenchus import solutions

    return solutions.chunk_size(params.n, params.batch_size)


def _begin(job: Job):
    """Return what walks through the problems from one on, and its engines."""
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus import problems
    from elenchus.engines import Sampling
    from elenchus.engines.opening import opened
    from elenchus.search import guided
    from elenchus.search.tree import mark

    p = job.params
    solver, critic = (opened(job, name, beside=1) for name in ("actor", "critic"))
    stops = tuple(mark(k) for k in range(1, p.max_steps + 2))

    def write(start: int) -> parts.Rows:
        table = job.inputs["problems"].rows("problems", start, start + chunk(p))
        asked = [problems.from_row(row) for row in table.to_dict("records")]
        walks = guided.walk(
            solver,
            critic,
            [problem for problem in asked for _ in range(p.n)],
            step=Sampling(p.temperature, p.step_tokens, stop=stops),
            judgement=Sampling(0.0, p.judgement_tokens),
            tries=p.tries,
            max_steps=p.max_steps,
            seed=seeds.derive(job.derive("walks"), start * p.n),
        )
        return {"solutions": [_row(w, i % p.n, job) for i, w in enumerate(walks)]}

    return write, [solver, critic]


def _row(walk, sample: int, job: Job) -> dict:
    """Return the row of one solution."""
    from elenchus import solutions

    facts = {"finish": walk.node.finish, "tokens": walk.tokens, "logprob": walk.node.logprob}
    facts["temperature"] = float(job.params.temperature)
    return solutions.read(walk.problem, walk.node.text, sample, solutions.tag(job.seed), **facts)


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: steps and judgements of them, half of them tried twice."""
    found = rows.get("problems", 0) * params.n
    steps = int(tokens.steps * found * (1.5 if params.tries > 1 else 1))
    read = tokens.problem + tokens.around + tokens.prefix
    return Estimate(rows=found, sampled=(tokens.step + tokens.judgement) * steps, prompt=read * steps)


def shares(params: Params, rows: dict[str, int]) -> int:
    """Return the parts that shards can share."""
    return -(-rows.get("problems", 0) // chunk(params))
