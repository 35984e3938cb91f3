"""Solutions sampled from a policy: n per problem, labelled by the family's exact verifiers.

The labels cost no oracle calls here; what selects or trains by them counts them.
"""

from __future__ import annotations

from pydantic import Field, field_validator

from elenchus import seeds
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
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus import problems, solutions
    from elenchus.engines import Sampling
    from elenchus.engines.opening import opened, spent

    p = job.params
    asked = [problems.from_row(row) for row in job.inputs["problems"].table("problems").to_dict("records")]
    engine = opened(job, "actor")
    temperatures, rows = temperatures_of(job), []
    total = len(asked) * p.n * len(temperatures)
    for k, temperature in enumerate(temperatures):
        sampling = Sampling(temperature=temperature, max_tokens=p.max_tokens, top_p=p.top_p, top_k=p.top_k)
        seed = seeds.derive(job.derive("samples"), temperature)
        for part in solutions.chunks(asked, p.n, p.batch_size):
            rows += solutions.solve(
                engine, engine.tokenizer, part, sampling, seed, p.n, solutions.tag(job.seed), first=k * p.n
            )
            job.progress(len(rows), total, "solutions")
    spent(job, engine)
    job.write("solutions", rows)


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
