"""The seed model of the laptop scale: trained here, from scratch, to solve, criticise and refine, each imperfectly.

No paper's: papers start from a pretrained model, and this stands in for one. See docs/seed-model.md for what it can do.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from elenchus import problems
from elenchus.job import Job
from elenchus.stages import LAPTOP, Estimate, Lengths, StageParams

Window = tuple[float, float]


class Params(StageParams):
    """Parameters of the seed model and its training."""

    family: str = Field("chain", description="problem family")
    options: dict = Field(default_factory=dict, validate_default=True, description="the family's difficulty knobs")
    width: int = Field(128, ge=8, description="hidden size")
    layers: int = Field(3, ge=1, description="transformer layers")
    heads: int = Field(4, ge=1, description="attention heads")
    context: int = Field(256, ge=32, description="longest sequence, in tokens")
    batch: int = Field(32, ge=1, description="examples in one step")
    muon_rate: float = Field(1.0e-2, gt=0, description="learning rate of Muon (hidden matrices)")
    adamw_rate: float = Field(3.0e-3, gt=0, description="learning rate of AdamW (embeddings and norms)")
    warmup_steps: int = Field(50, ge=1, description="steps of linear warm-up, constant after it")
    verdict_weight: float = Field(10.0, gt=0, description="loss weight of a critique's verdict words, others weigh 1")
    error_rates: tuple[float, ...] = Field(
        (0.0, 0.3, 0.6),
        min_length=1,
        description="chances per step of an error in solutions to criticise, one drawn for each",
    )
    drill_steps: int = Field(400, ge=1, description="most steps of the first phase")
    drill_gate: float = Field(0.9, description="mean probability of held-out drills' words that ends the first phase")
    solve_steps: int = Field(600, ge=1, description="most steps of the second phase")
    solve_gate: float = Field(0.35, description="pass@1 that ends the second phase")
    mixture_steps: int = Field(600, ge=1, description="most steps of the third phase; then the nearest check is kept")
    shares: dict[Literal["drill", "solve", "critique", "refine"], float] = Field(
        {"drill": 0.2, "solve": 0.17, "critique": 0.35, "refine": 0.28}, description="tasks' shares of the mixture"
    )
    windows: dict[Literal["solve", "critique", "refine"], Window] = Field(
        {"solve": (0.35, 0.70), "critique": (0.36, 0.70), "refine": (0.54, 0.94)},
        description="where pass@1, first-error F1 and refinement success all have to be for training to stop",
    )
    least_formed: float = Field(0.75, description="share of solutions in the right form that training has to reach too")
    least_share: float = Field(0.15, ge=0, le=1, description="what is left of a task's share at its window's upper end")
    check_every: int = Field(25, ge=1, description="steps between measurements of the skills")
    check_problems: int = Field(128, ge=1, description="validation problems in one measurement")
    card_problems: int = Field(512, ge=4, description="problems of the last check and of the card (pass@32: a quarter)")
    max_tokens: int = Field(64, ge=8, description="longest solution or critique, in tokens")
    save_steps: int = Field(100, ge=1, description="steps between checkpoints; the result does not depend on it")

    @field_validator("options")
    @classmethod
    def _full(cls, given: dict, info) -> dict:
        return problems.full_options(info.data["family"], given)

    @model_validator(mode="after")
    def _complete(self) -> Params:
        for name, wanted in (("shares", 4), ("windows", 3)):
            if len(getattr(self, name)) != wanted:
                raise ValueError(
                    f"{name} needs a value for every task, it has {', '.join(getattr(self, name)) or 'none'}"
                )
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} is not a multiple of twice the heads ({self.heads})")
        return self


INPUTS: dict[str, str] = {}
OUTPUTS = ("model", "history", "card.json")
SEEDED = True
THREADS = 2


def run(job: Job) -> None:
    """Train and write the model, its history and its card."""
    from elenchus import environment

    environment.torch_setup(THREADS)
    from elenchus import models
    from elenchus.training import pretrain

    pupil, run, card = pretrain.train(job.params, job.derive("train"), job.work, job.cost, job.progress)
    models.save(pupil.model, pupil.tokenizer, job.out / "model")
    job.write("history", run.rows())
    job.write_json("card", card)


def estimate(params: Params, rows: dict[str, int], tokens: Lengths = LAPTOP) -> Estimate:
    """Return the estimate: all phases at two thirds of their most steps, at its own scale always."""
    steps = {"drill": params.drill_steps, "solve": params.solve_steps, "mixture": params.mixture_steps}
    length = {"drill": 55, "solve": 45, "mixture": 85}
    trained = sum(2 * steps[phase] * params.batch * length[phase] // 3 for phase in steps)
    checks = 2 * sum(steps.values()) // (3 * params.check_every)
    return Estimate(
        trained=trained, sampled=checks * params.check_problems * 80, prompt=checks * params.check_problems * 120
    )
