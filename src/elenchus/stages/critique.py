"""Critiques of solutions, by a language model or by an exact checker with dials.

Sources: Critique-RL (2510.24320), the critic's role and verdict; MultiCritique (2410.15287), critics that differ.

Departures
1. MultiCritique's critics are four models; the oracle's dials (misses, false alarms, blind spots) make critics differ.
2. Verdicts are read strictly, one per step and one overall; Critique-RL's code looks for substrings, and a critique
   that holds both verdicts then always counts as right.
3. Solutions that break the format are not criticised: they have no steps to judge, and are known to be wrong.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from pydantic import Field

from elenchus import parts, seeds
from elenchus.engines.settings import AnyEngine, Sampler
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths

CHUNK = 1024  # readable solutions of a part


class Params(Sampler):
    """Who criticises, and how."""

    source: Literal["oracle", "model", "server"] = Field(
        "model", description="an exact checker, a model (input `critic`), or a model behind a server (`engine`)"
    )
    engine: AnyEngine | None = Field(None, description="model: vLLM in place of transformers; server: which model")
    critic: str = Field("critic", min_length=1, description="the critic's name in tables")
    n: int = Field(1, ge=1, description="critiques of each solution")
    miss_rate: float = Field(0.0, ge=0, le=1, description="oracle: probability that a wrong step is called good")
    false_alarm_rate: float = Field(0.0, ge=0, le=1, description="oracle: probability that a good step is called bad")
    wrong_fix_rate: float = Field(
        0.0, ge=0, le=1, description="oracle: probability that a found error gets a wrong fix"
    )
    blind: tuple[str, ...] = Field((), description="oracle: error types that it never sees")
    temperature: float = Field(1.0, ge=0, description="model: sampling temperature; 0 is greedy")
    top_p: float = Field(1.0, gt=0, le=1, description="model: nucleus of the sampling distribution")
    max_tokens: int = Field(128, ge=1, description="model: tokens of a critique at most")
    batch_size: int = Field(256, ge=1, description="model: sequences in flight; bounds memory")


INPUTS = {"critic?": "model", "solutions": "solutions", "problems": "problems"}
OUTPUTS = ("critiques",)
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write the critiques, in the order of the solutions; UserError where source and inputs do not fit."""
    p = job.params
    if (p.source == "model") != ("critic" in job.inputs):
        raise UserError(f"source {p.source!r} {'needs' if p.source == 'model' else 'takes no'} input `critic`")
    if (p.source == "server") != (p.engine is not None and p.engine.kind == "openai"):
        raise UserError(
            f"source {p.source!r} {'needs' if p.source == 'server' else 'takes no'} engine of kind 'openai'"
        )
    readable = job.inputs["solutions"].columns("solutions", ["parsed"])["parsed"].to_numpy(dtype=bool).nonzero()[0]
    tasks = [(start, readable[start : start + CHUNK]) for start in range(0, len(readable), CHUNK)]
    parts.make(
        job, OUTPUTS, tasks, partial(_by_oracle if p.source == "oracle" else _by_model, job), "solutions criticised"
    )


def _drafts(job: Job, where) -> list:
    """Return the solutions in the rows `where` of the table, with their problems."""
    from elenchus.critics.drafts import drafts

    table = job.inputs["solutions"].rows("solutions", int(where[0]), int(where[-1]) + 1)
    return drafts(table, job.inputs["problems"].those("problems", "problem_id", table["problem_id"]))


def _by_oracle(job: Job):
    """Return what an exact checker with dials says of a part."""
    from elenchus.critics import oracle

    p = job.params
    dials = oracle.Dials(p.miss_rate, p.false_alarm_rate, p.wrong_fix_rate, p.blind)

    def write(task: tuple) -> parts.Rows:
        found = _drafts(job, task[1])
        for family in {d.family for d in found}:
            oracle.check_blind(dials, family.error_types())
        job.cost.oracle_calls += p.n * sum(len(d.steps) for d in found)
        rows = [oracle.criticise(d, p.critic, dials, job.derive("oracle"), i) for d in found for i in range(p.n)]
        return {"critiques": rows}

    return write, []


def _by_model(job: Job):
    """Return what a model says of a part, and its engine."""
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus.critics import model
    from elenchus.engines import Sampling
    from elenchus.engines.opening import opened

    p = job.params
    engine = opened(job, "critic" if p.source == "model" else None)
    sampling = Sampling(temperature=p.temperature, max_tokens=p.max_tokens, top_p=p.top_p)

    def write(task: tuple) -> parts.Rows:
        start, where = task
        seed = seeds.derive(job.derive("samples"), start)
        return {
            "critiques": model.criticise(engine, engine.tokenizer, _drafts(job, where), p.critic, sampling, seed, p.n)
        }

    return write, [engine]


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: a critique each, after a prompt with the solution."""
    solutions = rows.get("solutions", 0)
    critiques = solutions * params.n
    if params.source == "oracle":
        return Estimate(rows=critiques)
    return Estimate(
        rows=critiques, sampled=min(tokens.critique, params.max_tokens) * critiques, prompt=tokens.solved * solutions
    )


def shares(params: Params, rows: dict[str, int]) -> int:
    """Return the parts that shards can share."""
    return -(-rows.get("solutions", 0) // CHUNK)
