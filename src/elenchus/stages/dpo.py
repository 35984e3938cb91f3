"""A model trained by direct preference optimisation (TRL's DPOTrainer) on preference pairs, most often of critiques.

Departures
1. It stands where MultiCritique (2410.15287) trains a reward model and runs PPO.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths
from elenchus.training.settings import OverData


class Params(OverData):
    """Parameters of direct preference optimisation."""

    learning_rate: float = Field(1.0e-4, gt=0, description="peak learning rate")
    beta: float = Field(0.1, gt=0, description="strength of the tie to the reference, the model at the start")
    loss_type: Literal["sigmoid", "hinge", "ipo", "robust", "apo_zero", "apo_down", "sigmoid_norm"] = Field(
        "sigmoid", description="TRL's name of the loss; sigmoid is DPO's own"
    )
    sft_weight: float = Field(0.0, ge=0, description="weight of the chosen replies' own likelihood (RPO: 1)")
    use_filtered: bool = Field(True, description="only pairs that passed the revision filter (column `kept`)")
    max_pairs: int = Field(0, ge=0, description="pairs at most, drawn at random; 0: all")
    max_length: int = Field(0, ge=0, description="longer pairs are left out, in tokens; 0: the model's context")


INPUTS = {"model": "model", "pairs": "pairs"}
OUTPUTS = ("model", "history")
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Train and write the model and its history."""
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus import models
    from elenchus.training import dpo, sharding

    model, tokenizer = sharding.load(job.inputs["model"].dir("model"))
    trained = dpo.train(
        model,
        tokenizer,
        chosen_pairs(job),
        job.params,
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


def chosen_pairs(job: Job) -> Iterator[dict]:
    """Return the rows of the pairs table that the parameters ask for; UserError where none is left.

    They come in the table's order; `place` is a pair's place among those drawn.
    """
    from elenchus.training import rows

    there = job.inputs["pairs"].columns("pairs", ["kept"])["kept"].to_numpy(dtype=bool)
    kept = there.nonzero()[0] if job.params.use_filtered else range(len(there))
    if not len(kept):
        why = (
            "none passed the revision filter; use_filtered: false takes them all"
            if len(there)
            else "the table is empty"
        )
        raise UserError(f"0 of {len(there)} preference pairs to train on: {why}")
    if job.params.max_pairs and len(kept) > job.params.max_pairs:
        kept = [kept[i] for i in job.rng("pairs").sample(range(len(kept)), job.params.max_pairs)]
    places = array("q", [-1]) * len(there)
    for place, at in enumerate(kept):
        places[at] = place
    pairs = rows.records(job.inputs["pairs"], "pairs")
    return ({**pair, "place": place} for pair, place in zip(pairs, places, strict=True) if place >= 0)


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: two questions a pair, each with a reply as long as a critique."""
    each = tokens.problem + tokens.around + tokens.critique
    return Estimate(rows=0, trained=2 * each * params.batch * params.of(rows.get("pairs", 0)).steps)
