"""A model trained by conservative DPO on preferences between continuations of a partial solution (MCTS-DPO, 2405.00451).

Departures
1. `sft_weight` can add the chosen continuations' likelihood (RPO, 2404.19733); the paper has no such term.
2. Log-probabilities are summed over all tokens behind the shared prefix; MCTS-DPO's start at the first token in which
   the two sides differ. What comes before it cancels in the loss (not in IPO's, which counts it as length).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths
from elenchus.training.settings import OverData


class Params(OverData):
    """Parameters of conservative preference optimisation."""

    learning_rate: float = Field(1.0e-4, gt=0, description="peak learning rate (MCTS-DPO: 1e-6)")
    beta: float = Field(0.1, gt=0, description="strength of the tie to the reference (MCTS-DPO: 0.1)")
    loss_type: Literal["sigmoid", "ipo"] = Field("sigmoid", description="DPO with label smoothing, or IPO")
    sft_weight: float = Field(0.0, ge=0, description="weight of the chosen continuations' own likelihood (RPO: 1)")
    max_length: int = Field(0, ge=0, description="longer pairs are left out, in tokens; 0: the model's context")


INPUTS = {"model": "model", "pairs": "step_pairs", "reference?": "model"}
OUTPUTS = ("model", "history")
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Train and write the model and its history; UserError where there are no pairs."""
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus import models
    from elenchus.training import rows, sharding, step_dpo

    if not job.inputs["pairs"].count("step_pairs"):
        raise UserError("0 step pairs to train on: no tree's committed path was right, or no siblings differ in value")
    model, tokenizer = sharding.load(job.inputs["model"].dir("model"))
    # the reference is loaded apart: a resumed training finds its start there, not in the weights of the checkpoint
    reference = job.inputs.get("reference", job.inputs["model"]).dir("model")
    trained = step_dpo.train(
        model,
        tokenizer,
        rows.records(job.inputs["pairs"], "step_pairs"),
        job.params,
        reference=lambda: sharding.load(reference)[0],
        beta=job.params.beta,
        loss_type=job.params.loss_type,
        sft_weight=job.params.sft_weight,
        max_length=job.params.max_length,
        work=job.work,
        seed=job.derive("train"),
        cost=job.cost,
        progress=job.progress,
    )
    models.save(model, tokenizer, job.out / "model")
    job.write("history", trained.rows())


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: two steps a pair, each after its prompt."""
    each = tokens.prefix + tokens.step
    return Estimate(rows=0, trained=2 * each * params.batch * params.of(rows.get("pairs", 0)).steps)
