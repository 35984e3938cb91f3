"""A process-reward / value head trained on step labels: scores every step of a solution in [0, 1].

Sources: B-STaR (2412.17256, appendix: a pointwise head, binary cross-entropy), ReST-MCTS* (2406.03816: values, squared
error).

Departures
1. B-STaR's code puts a step's label on every token of the step; here it is on the last one, where the head is read.
2. ReST-MCTS* reads the value off the vocabulary's logits; here it is read off the last hidden state.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths
from elenchus.training.settings import OverData


class Params(OverData):
    """Parameters of the process head's training."""

    loss: Literal["bce", "mse"] = Field("bce", description="binary cross-entropy (soft labels too), or squared error")
    held_out: float = Field(0.1, ge=0, lt=1, description="share of the problems kept for validation")
    validate_every: int = Field(0, ge=0, description="steps between validations; 0: only at the end")
    max_length: int = Field(0, ge=0, description="longer paths are left out, in tokens; 0: the model's context")


INPUTS = {"model": "model", "labels": "labels", "problems": "problems"}
OUTPUTS = ("process_head", "history")
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Train and write the head (with its backbone, in `process_head`) and its history."""
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus.training import process_head

    model, tokenizer = process_head.new(job.inputs["model"].dir("model"))
    trained = process_head.train(
        model,
        tokenizer,
        questioned(job),
        job.params,
        loss_type=job.params.loss,
        held_out=job.params.held_out,
        validate_every=job.params.validate_every,
        max_length=job.params.max_length,
        work=job.work,
        seed=job.derive("train"),
        cost=job.cost,
        progress=job.progress,
    )
    process_head.save(model, tokenizer, job.out / "process_head", {"loss": job.params.loss})
    job.write("history", trained.rows())


def questioned(job: Job) -> Iterator[dict]:
    """Yield the labelled paths with their questions; UserError at the end where some have none."""
    from elenchus.training import rows

    for frame, known in rows.beside_problems(job.inputs["labels"], "labels", job.inputs["problems"], "labelled"):
        prompts = dict(zip(known["problem_id"], known["prompt"], strict=True))
        for path in frame.to_dict("records"):
            yield {**path, "question": prompts[path["problem_id"]]}


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: questions with solutions."""
    path = tokens.problem + tokens.solution
    return Estimate(rows=0, trained=path * params.batch * params.of(rows.get("labels", 0)).steps)
