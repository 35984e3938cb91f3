"""A step critic's judgements of single steps, and how many of the wrong and of the right ones it recognises.

Source: SPC (arXiv 2504.19162): recall on wrong and on right steps, and their mean, on as many steps of either kind.

Departures
1. A judgement that cannot be read counts as a mistake on either kind; the paper asks again until more than 99 % can be.
"""

from __future__ import annotations

from itertools import islice

from pydantic import Field

from elenchus import seeds, tables
from elenchus.engines.settings import Sampler
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths

CHUNK = 4096  # cases per call of the engine: between two calls, progress is said


class Params(Sampler):
    """How the critic is asked."""

    temperature: float = Field(0.0, ge=0, description="sampling temperature; 0 is greedy (the paper's evaluation)")
    max_tokens: int = Field(24, ge=1, description="tokens of a judgement at most")
    batch_size: int = Field(256, ge=1, description="sequences in flight; bounds memory")


INPUTS = {"critic": "model", "cases*": "cases", "problems": "problems"}
OUTPUTS = ("judgements", "items", "metrics")
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write the judgements in the order of the cases, the recalls by problem, and the metrics."""
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus.critics import step
    from elenchus.critics.drafts import by_id
    from elenchus.engines import Sampling
    from elenchus.engines.opening import opened, spent
    from elenchus.metrics import measure
    from elenchus.stages.evaluate import summarise

    p, given = job.params, job.inputs["cases"]
    total = sum(result.count("cases") for result in given)
    table = (row for result in given for piece in result.pieces("cases") for row in piece.to_dict("records"))
    engine = opened(job, "critic")
    with job.writing("judgements") as (add,):
        for start in range(0, total, CHUNK):
            chunk = list(islice(table, CHUNK))
            known = by_id(job.inputs["problems"].those("problems", "problem_id", (row["problem_id"] for row in chunk)))
            cases = [step.from_row(row, known) for row in chunk]
            seed = seeds.derive(job.derive("samples"), start)
            said = step.ask(engine, engine.tokenizer, cases, Sampling(p.temperature, p.max_tokens), seed)
            add([_row(case, unit, reply) for case, (unit, reply) in zip(cases, said, strict=True)])
            job.progress(start + len(chunk), total, "steps judged")
    spent(job, engine)
    names = sorted(job.inputs["problems"].columns("problems", ["problem_id"])["problem_id"])
    judged = tables.columns("judgements", job.out / "judgements.parquet", ["problem_id", "ok", "said"])
    items = measure.steps(judged, names)
    job.write("items", items)
    job.write("metrics", summarise([items], job.derive("bootstrap")))


def _row(case, unit, reply) -> dict:
    """Return the row of one judgement."""
    said = "" if unit is None else "good" if unit.ok else "bad"
    return {
        "case_id": case.id,
        "problem_id": case.problem.id,
        "ok": case.truth().ok,
        "said": said,
        "text": reply.text.strip(),
        "tokens": len(reply.tokens),
    }


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: a judgement of each case."""
    cases = rows.get("cases", 0)
    return Estimate(rows=cases, sampled=tokens.judgement * cases, prompt=tokens.prefix * cases)
