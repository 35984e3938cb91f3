"""A model fine-tuned on dialogues, the loss on the agent's own learned turns: `sft` with a mask for every turn.

Source: Agent-R (2501.11425), whose revision trajectories are learned from the revision signal on. Plain examples are
learned as `sft` learns them.
"""

from __future__ import annotations

from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths
from elenchus.stages.sft import Params as Supervised


class Params(Supervised):
    """Parameters of supervised fine-tuning, as of `sft`."""


INPUTS = {"model": "model", "examples*": "examples", "previous?": "optimizer.safetensors"}
OUTPUTS = ("model", "history", "optimizer.safetensors")
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Train and write the model, its history and the optimizer's state (empty unless save_optimizer)."""
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus import models
    from elenchus.training import checkpoints, rows, sft, sharding, turns

    p, previous = job.params, job.inputs.get("previous")
    model, tokenizer = sharding.load(job.inputs["model"].dir("model"))
    trained = sft.train(
        model,
        tokenizer,
        rows.records(job.inputs["examples"], "examples"),
        p,
        label=turns.on_turns,
        max_length=p.max_length,
        loss_type=p.loss_type,
        packing=p.packing,
        work=job.work,
        seed=job.derive("train"),
        cost=job.cost,
        progress=job.progress,
        inherit=previous and previous.file("optimizer.safetensors"),
        save_optimizer=job.out / "optimizer.safetensors" if p.save_optimizer else None,
    )
    if not p.save_optimizer:
        checkpoints.save_no_optimizer(job.out / "optimizer.safetensors")
    models.save(model, tokenizer, job.out / "model")
    job.write("history", trained.rows())


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: questions with what was done."""
    return Estimate(rows=0, trained=tokens.solved * params.batch * params.of(rows.get("examples", 0)).steps)
