"""A model fine-tuned on examples (TRL's SFTTrainer), the loss on completions only.

B-STaR (2412.17256, section 2.1) names three ways to train in rounds. Online RFT: `model` and `previous` are the last
round's result, and start_step and total_steps place this round in the one schedule. Iterative RFT: `model` is the last
round's, no `previous`. ReST-EM: `model` is the base, no `previous`.

Departures
1. The data of a round are passed over as often as its steps need; B-STaR's code skips the batches that the steps of
   earlier rounds would have used, so that part of the new data may stay unseen.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths
from elenchus.training.settings import OverData


class Params(OverData):
    """Parameters of supervised fine-tuning."""

    max_length: int = Field(0, ge=0, description="longer examples are left out, in tokens; 0: the model's context")
    loss_type: Literal["nll", "dft"] = Field("nll", description="negative log-likelihood, or dynamic fine-tuning's")
    save_optimizer: bool = Field(True, description="keep the optimizer's state, for a next round to inherit")
    packing: bool = Field(
        False, description="examples of a pass in one row, without padding (models that tell them apart by position)"
    )


INPUTS = {"model": "model", "examples*": "examples", "previous?": "optimizer.safetensors"}
OUTPUTS = ("model", "history", "optimizer.safetensors")
SEEDED = True
THREADS = 1  # two threads gain little at laptop scale, and lose much where other jobs run beside


def run(job: Job) -> None:
    """Train and write the model, its history and the optimizer's state (empty unless save_optimizer)."""
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus import models
    from elenchus.training import checkpoints, rows, sft, sharding

    model, tokenizer = sharding.load(job.inputs["model"].dir("model"))
    previous = job.inputs.get("previous")
    trained = sft.train(
        model,
        tokenizer,
        rows.records(job.inputs["examples"], "examples"),
        job.params,
        max_length=job.params.max_length,
        loss_type=job.params.loss_type,
        packing=job.params.packing,
        work=job.work,
        seed=job.derive("train"),
        cost=job.cost,
        progress=job.progress,
        inherit=previous and previous.file("optimizer.safetensors"),
        save_optimizer=job.out / "optimizer.safetensors" if job.params.save_optimizer else None,
    )
    if not job.params.save_optimizer:
        checkpoints.save_no_optimizer(job.out / "optimizer.safetensors")
    models.save(model, tokenizer, job.out / "model")
    job.write("history", trained.rows())


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: questions with solutions."""
    return Estimate(rows=0, trained=tokens.solved * params.batch * params.of(rows.get("examples", 0)).steps)
