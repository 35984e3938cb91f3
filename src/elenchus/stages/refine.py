"""Refinements: solutions written anew after a critique was read, by a model that may be the actor or another.

Source: Critique-RL (2510.24320), the actor's second turn: (user: question)(assistant: solution)(critic: critique).

Departures
1. A critique that cannot be read leaves the solution as it is (`unreadable: revise` gives it to the reviser anyway).
2. `when: wrong` leaves solutions as they are that the critic calls right; the paper always revises (the default).
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Literal

from pydantic import Field

from elenchus import parts, seeds
from elenchus.engines.settings import Sampler
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths

CHUNK = 1024  # critiques followed of a part


class Params(Sampler):
    """How revisers sample, and what is revised."""

    n: int = Field(1, ge=1, description="refinements under each critique")
    temperature: float = Field(0.0, ge=0, description="sampling temperature; 0 is greedy (Critique-RL: 0)")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus of the sampling distribution")
    max_tokens: int = Field(64, ge=1, description="tokens of a refinement at most")
    batch_size: int = Field(256, ge=1, description="sequences in flight; bounds memory")
    when: Literal["always", "wrong"] = Field("always", description="wrong: revise only what the critic calls wrong")
    unreadable: Literal["keep", "revise"] = Field("keep", description="keep: no revision under an unreadable critique")


INPUTS = {"reviser": "model", "critiques": "critiques", "solutions": "solutions", "problems": "problems"}
OUTPUTS = ("refinements",)
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write the refinements, in the order of the critiques."""
    given = job.inputs["critiques"]
    wanted = ["parsed", "verdict"]
    asks = [_asks(c, job.params) for c in given.columns("critiques", wanted).to_dict("records")]
    asked = [i for i, a in enumerate(asks) if a]
    # A part: so many critiques that are followed, and those between them, which are not.
    starts = [0, *asked[CHUNK::CHUNK], len(asks)]
    tasks = [(k * CHUNK, low, high) for k, (low, high) in enumerate(pairwise(starts)) if low < high]
    parts.make(job, OUTPUTS, tasks, partial(_begin, job), "critiques followed")


def _begin(job: Job):
    """Return what refines the solutions of a slice of the critiques, and its engine."""
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus.critics import revise
    from elenchus.engines import Sampling
    from elenchus.engines.opening import opened

    p = job.params
    engine = opened(job, "reviser")
    sampling = Sampling(temperature=p.temperature, max_tokens=p.max_tokens, top_p=p.top_p)

    def write(task: tuple[int, int, int]) -> parts.Rows:
        start, low, high = task
        critiques = job.inputs["critiques"].rows("critiques", low, high).to_dict("records")
        of = _drafts(job, {c["solution_id"] for c in critiques})
        asked = [c for c in critiques if _asks(c, p)]
        tasks = [(of[c["solution_id"]], c["text"]) for c in asked]
        seed = seeds.derive(job.derive("samples"), start)
        samples = revise.revise(engine, engine.tokenizer, tasks, sampling, seed, p.n) if tasks else []
        revised = {c["critique_id"]: s for c, s in zip(asked, samples, strict=True)}
        return {"refinements": [r for c in critiques for r in _rows(c, of[c["solution_id"]], revised, p.n)]}

    return write, [engine]


def _drafts(job: Job, wanted: set[str]) -> dict:
    """Return {solution id: draft} of the criticised solutions `wanted`; UserError where one is not there."""
    from elenchus.critics.drafts import drafts

    table = job.inputs["solutions"].those("solutions", "solution_id", wanted)
    found = drafts(table, job.inputs["problems"].those("problems", "problem_id", table["problem_id"]))
    lost = wanted - {d.id for d in found}
    if lost:
        raise UserError(f"{len(lost)} criticised solutions are not among the solutions given, the first: {min(lost)}")
    return {d.id: d for d in found}


def _asks(critique: dict, p: Params) -> bool:
    """Return whether a reviser is to follow this critique."""
    if not critique["parsed"]:
        return p.unreadable == "revise"
    return p.when == "always" or critique["verdict"] == "wrong"


def _rows(critique: dict, draft, revised: dict[str, list], n: int) -> list[dict]:
    """Return the rows of one critique's refinements; the draft itself where no reviser was asked."""
    from elenchus.critics.revise import unchanged

    return [
        {
            "refinement_id": f"{critique['critique_id']}>{i}",
            "critique_id": critique["critique_id"],
            "solution_id": draft.id,
            "problem_id": draft.problem.id,
            "sample": i,
            "text": r.text,
            "steps": list(r.solution.steps),
            "answer": r.solution.answer,
            "parsed": r.solution.ok,
            "correct": r.correct,
            "was_correct": draft.correct,
            "first_error": r.first_error,
            "tokens": r.tokens,
            "logprob": r.logprob,
        }
        for i, r in enumerate(revised.get(critique["critique_id"]) or [unchanged(draft)] * n)
    ]


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: refinements after prompts with solution and critique."""
    critiques = rows.get("critiques", 0)
    refinements = critiques * params.n
    written = min(tokens.refinement, params.max_tokens)
    return Estimate(rows=refinements, sampled=written * refinements, prompt=tokens.criticised * critiques)


def shares(params: Params, rows: dict[str, int]) -> int:
    """Return the parts that shards can share."""
    return -(-rows.get("critiques", 0) // CHUNK)
