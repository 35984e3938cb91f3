"""A player trained offline on paid moves: sequence-level clipped policy loss plus imitation of round-0 examples.

Source: SPC (arXiv 2504.19162), its released trainer: the reward +1 or -1 is the advantage, the reference is the model that
the training starts from, and its KL penalty is only logged, not trained on.

Departures
1. Each step holds as many moves of positive as of negative reward (`balance`); the paper says about 1:1 of its data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths
from elenchus.training.settings import OverData


class Params(OverData):
    """Parameters of offline reinforcement learning. `batch` counts moves; as many examples go with them."""

    player: Literal["critic", "generator"] = Field("critic", description="whose moves are learned from")
    clip: float = Field(0.2, gt=0, lt=1, description="clipping of the ratio to the reference (paper: 0.2)")
    sft_weight: float = Field(0.15, ge=0, description="weight of the imitation of round-0 examples (paper: 0.15)")
    balance: bool = Field(True, description="as many moves of positive as of negative reward in every batch")
    without: tuple[str, ...] = Field((), description="outcomes of games whose moves are left out")
    max_length: int = Field(0, ge=0, description="longer moves are left out, in tokens; 0: the model's context")


INPUTS = {"model": "model", "moves*": "moves", "examples*": "examples"}
OUTPUTS = ("model", "history")
SEEDED = True
THREADS = 1


def run(job: Job) -> None:
    """Train and write the player and its history."""
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus import models
    from elenchus.training import offline_rl, rows, sharding

    p = job.params
    model, tokenizer = sharding.load(job.inputs["model"].dir("model"))
    trained = offline_rl.train(
        model,
        tokenizer,
        own_moves(job),
        rows.records(job.inputs["examples"], "examples"),
        p,
        clip=p.clip,
        sft_weight=p.sft_weight,
        balance=p.balance,
        max_length=p.max_length,
        work=job.work,
        seed=job.derive("train"),
        cost=job.cost,
        progress=job.progress,
    )
    models.save(model, tokenizer, job.out / "model")
    job.write("history", trained.rows())


def own_moves(job: Job) -> Iterator[dict]:
    """Yield the moves that the parameters ask for; UserError at the end where there are none."""
    from elenchus.training import rows

    found, p = 0, job.params
    for row in rows.records(job.inputs["moves"], "moves"):
        if row["player"] == p.player and row["outcome"] not in p.without:
            found += 1
            yield row
    if not found:
        raise UserError(f"0 moves of the {p.player} to train on; the games may have had no valid proposal")


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: moves and examples as long as a judged step."""
    moves = rows.get("moves", 0)
    each = tokens.prefix + tokens.judgement
    return Estimate(rows=0, prompt=each * moves, trained=2 * each * params.batch * params.of(moves).steps)
