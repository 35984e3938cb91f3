"""Scores of every step of every solution: by a process head, a critic, or an exact checker with noise.

Source: B-STaR (2412.17256): a solution's score is its least step score. The critic's score of a step is the probability
of its word "good" there, as generative verifiers are read. The exact checker with noise stands for a process reward
model whose quality is a dial.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from pydantic import Field

from elenchus import seeds, slices
from elenchus.engines.settings import Sampler
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths

CHUNK = 1024
Scorer = tuple[
    Callable[[list], list[list[float]]], Callable[[], None]
]  # (drafts -> their steps' scores, what is done at the end)


class Params(Sampler):
    """How steps are scored and what a solution's score is."""

    aggregate: Literal["min", "product", "mean", "last"] = Field(
        "min", description="a solution's score from its steps'"
    )
    flip: float = Field(0.0, ge=0, le=1, description="exact checker: probability that a step's score is turned round")
    blur: float = Field(
        0.0, ge=0, description="exact checker: standard deviation of Gaussian noise, then cut to [0, 1]"
    )
    draw: int = Field(0, ge=0, description="exact checker: which draw of the noise; equal steps meet equal noise in it")
    max_tokens: int = Field(128, ge=1, description="critic: tokens of a critique at most")
    batch_size: int = Field(256, ge=1, description="sequences in flight; bounds memory")


INPUTS = {"solutions": "solutions", "problems": "problems", "process_head?": "process_head", "critic?": "model"}
OUTPUTS = ("scores",)
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Write a row for every solution; one that breaks the format has no step scores and score 0.

    The process head scores where it is given, else the critic, else the exact checker.
    """
    from elenchus.critics.drafts import drafts

    if "process_head" in job.inputs and "critic" in job.inputs:
        raise UserError("score takes a process_head or a critic, not both")
    by = _by_head if "process_head" in job.inputs else _by_critic if "critic" in job.inputs else _by_checker
    score, end = by(job)
    with job.writing("scores") as (add,):
        for part in slices.walk(job, INPUTS, "solutions", "problems"):
            solutions, rows = part["solutions"], []
            found = drafts(solutions, part["problems"])
            steps = {d.id: scores for d, scores in zip(found, score(found), strict=True)}
            for solution, problem in zip(solutions["solution_id"], solutions["problem_id"], strict=True):
                own = steps.get(solution, [])
                facts = {"step_scores": own, "score": whole(own, job.params.aggregate)}
                rows.append({"solution_id": solution, "problem_id": problem, **facts})
            add(rows)
    end()


def whole(scores: list[float], aggregate: str) -> float:
    """Return a solution's score from its steps', 0 for none."""
    if not scores:
        return 0.0
    rules = {"min": min, "product": math.prod, "mean": lambda x: math.fsum(x) / len(x), "last": lambda x: x[-1]}
    return float(rules[aggregate](scores))


def _by_head(job: Job) -> Scorer:
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus.training import process_head

    scorer = process_head.load(job.inputs["process_head"].dir("process_head"), batch_size=job.params.batch_size)

    def score(found: list) -> list[list[float]]:
        return scorer.score_steps([d.problem.prompt for d in found], [list(d.steps) for d in found])

    def end() -> None:
        job.cost.prompt += scorer.tokens

    return score, end


def _by_critic(job: Job) -> Scorer:
    """Score by the greedy critique's probabilities of "good"; 0.5, which says nothing, where it cannot be read."""
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus.critics import model
    from elenchus.engines import Sampling
    from elenchus.engines.opening import opened, spent

    p, done, total = job.params, 0, job.inputs["solutions"].count("solutions")
    engine = opened(job, "critic")
    sampling = Sampling(temperature=0.0, max_tokens=p.max_tokens)

    def score(found: list) -> list[list[float]]:
        nonlocal done
        scores = []
        for start in range(0, len(found), CHUNK):
            chunk = found[start : start + CHUNK]
            read = model.step_scores(engine, engine.tokenizer, chunk, sampling, job.derive("samples"))
            scores += [s if s is not None else [0.5] * len(d.steps) for d, s in zip(chunk, read, strict=True)]
            done += len(chunk)
            job.progress(done, total, "solutions scored")
        return scores

    return score, lambda: spent(job, engine)


def _by_checker(job: Job) -> Scorer:
    """Score by the truth with noise that depends on the problem and the steps so far: a frozen model errs always alike."""
    p = job.params

    def score(found: list) -> list[list[float]]:
        scores = []
        for draft in found:
            own = []
            for k, unit in enumerate(draft.truth()):
                rng = seeds.rng("checker", p.draw, draft.problem.id, *draft.steps[: k + 1])
                exact = float(unit.ok != (rng.random() < p.flip))
                own.append(min(max(exact + rng.gauss(0.0, 1.0) * p.blur, 0.0), 1.0))
            scores.append(own)
        job.cost.oracle_calls += sum(map(len, scores))
        return scores

    return score, lambda: None


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: a critique of each solution, or its reading by a head; no tokens by the exact checker."""
    solutions = rows.get("solutions", 0)
    if "critic" in rows:
        written = min(tokens.critique, params.max_tokens)
        return Estimate(rows=solutions, sampled=written * solutions, prompt=tokens.solved * solutions)
    read = (tokens.problem + tokens.solution) * solutions if "process_head" in rows else 0
    return Estimate(rows=solutions, prompt=read)
