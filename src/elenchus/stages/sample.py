"""Solutions sampled from a policy: n per problem, labelled by the family's exact verifiers.

The labels cost no oracle calls here; what selects or trains by them counts them.
"""

from __future__ import annotations

from functools import partial

from pydantic import Field, field_validator

from elenchus import parts, seeds
from elenchus.engines.settings import Sampler
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths


class Params(Sampler):
    """How solutions are sampled."""

    temperature: float | tuple[float, ...] = Field(
        1.0,
        description="sampling temperature, 0 is greedy; several: n samples at each. The input `setting` overrides it",
    )
    n: int = Field(1, ge=1, description="solutions per problem (and temperature)")
    max_tokens: int = Field(64, ge=1, description="tokens of a solution at most")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus of the sampling distribution")
    top_k: int = Field(0, ge=0, description="only the k likeliest tokens; 0: all")
    batch_size: int = Field(256, ge=1, description="sequences in flight; bounds memory")

    @field_validator("temperature")
    @classmethod
    def _possible(cls, given: float | tuple[float, ...]) -> float | tuple[float, ...]:
        several = given if isinstance(given, tuple) else (given,)
        if not several or min(several) < 0 or len(set(several)) < len(several):
            raise ValueError(f"temperatures must be 0 or more, and different: {given}")
        return given


INPUTS = {"actor": "model", "problems": "problems", "setting?": "settings.json"}
OUTPUTS = ("solutions",)
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write the solutions: temperature by temperature, problem by problem."""
    size, total = chunk(job.params), job.inputs["problems"].count("problems")
    tasks = [(k, t, start) for k, t in enumerate(temperatures_of(job)) for start in range(0, total, size)]
    parts.make(job, OUTPUTS, tasks, partial(_begin, job, size), "solutions")


def _begin(job: Job, size: int):
    """Return what samples the solutions of a temperature and of the problems from one on, and its engine."""
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus import problems, solutions
    from elenchus.engines import Sampling
    from elenchus.engines.opening import opened

    p, engine = job.params, opened(job, "actor")

    def write(task: tuple[int, float, int]) -> parts.Rows:
        k, temperature, start = task
        table = job.inputs["problems"].rows("problems", start, start + size)
        asked = [problems.from_row(row) for row in table.to_dict("records")]
        sampling = Sampling(temperature=temperature, max_tokens=p.max_tokens, top_p=p.top_p, top_k=p.top_k)
        seed = seeds.derive(job.derive("samples"), temperature)
        tag = solutions.tag(job.seed)
        return {"solutions": solutions.solve(engine, engine.tokenizer, asked, sampling, seed, p.n, tag, first=k * p.n)}

    return write, [engine]


def chunk(params: Params) -> int:
    """Return the problems of a part."""
    from elenchus import solutions

    return solutions.chunk_size(params.n, params.batch_size)


def temperatures_of(job: Job) -> tuple[float, ...]:
    """Return the temperatures to sample at: the setting's where there is one, else the parameter's."""
    import json

    if "setting" in job.inputs:
        setting = json.loads(job.inputs["setting"].file("settings.json").read_text())
        if not isinstance(setting.get("temperature"), int | float) or setting["temperature"] < 0:
            raise UserError(f"the setting holds no temperature of 0 or more: {setting.get('temperature')!r}")
        return (float(setting["temperature"]),)
    given = job.params.temperature
    return given if isinstance(given, tuple) else (given,)


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: solutions, after prompts that are read once for all samples."""
    several = len(params.temperature) if isinstance(params.temperature, tuple) else 1
    problems, solutions = rows.get("problems", 0), rows.get("problems", 0) * params.n * several
    written = min(tokens.solution, params.max_tokens)
    return Estimate(rows=solutions, sampled=written * solutions, prompt=tokens.problem * problems * several)


def shares(params: Params, rows: dict[str, int]) -> int:
    """Return the parts that shards can share."""
    several = len(params.temperature) if isinstance(params.temperature, tuple) else 1
    return several * -(-rows.get("problems", 0) // chunk(params))
