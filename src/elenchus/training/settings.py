"""What every training has in common to choose: steps, batches, optimizer, learning-rate schedule, checkpoints."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from itertools import islice
from typing import Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from elenchus import seeds
from elenchus.errors import UserError
from elenchus.stages import StageParams

# Knobs that came after the first results, with the values at which they change nothing: there they are left out of the
# parameters as dumped, from which random streams derive.
LATER = {"lora": None, "packing": False}


class Lora(StageParams):
    """Low-rank adapters (LoRA, 2106.09685) in place of training all weights; merged into the weights at the end."""

    rank: int = Field(16, ge=1, description="rank of the update of each matrix")
    alpha: float = Field(32.0, gt=0, description="the update is scaled by alpha / rank")
    targets: Literal["all-linear"] | tuple[str, ...] = Field(
        "all-linear",
        min_length=1,
        description="modules that get an adapter, by the end of their names (q_proj); all-linear: all but the output",
    )


class Training(StageParams):
    """Parameters of every trainer stage. The optimizer is AdamW with torch's betas (0.9, 0.999)."""

    steps: int = Field(100, ge=1, description="optimizer steps of this stage")
    batch: int = Field(32, ge=1, description="examples in one optimizer step")
    micro_batch: int = Field(0, ge=0, description="examples in one forward-backward pass; 0: the whole batch")
    learning_rate: float = Field(1.0e-3, gt=0, description="peak learning rate")
    schedule: Literal["constant", "cosine", "linear"] = Field("constant", description="learning rate after the warm-up")
    floor: float = Field(0.0, ge=0, le=1, description="share of the peak learning rate that cosine and linear end at")
    warmup_steps: int = Field(0, ge=0, description="steps of linear warm-up, on the clock of the one schedule")
    total_steps: int = Field(0, ge=0, description="length of the one schedule that spans all rounds; 0: start + steps")
    start_step: int = Field(0, ge=0, description="where in the one schedule this stage starts")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decoupled weight decay, on matrices only")
    max_grad_norm: float = Field(1.0, gt=0, description="gradients are clipped to this norm")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="of the passes; weights stay in float32")
    activation_checkpointing: bool = Field(False, description="recompute activations to save memory (large models)")
    save_steps: int = Field(50, ge=1, description="steps between checkpoints; the result does not depend on it")
    lora: Lora | None = Field(None, description="train low-rank adapters only, merged at the end; null: all weights")

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict:
        return {k: v for k, v in handler(self).items() if k not in LATER or v != LATER[k]}

    @model_validator(mode="after")
    def _fits(self) -> Training:
        if self.total_steps and self.start_step + self.steps > self.total_steps:
            raise ValueError(
                f"start_step {self.start_step} + steps {self.steps} run beyond total_steps {self.total_steps}"
            )
        if self.micro_batch and self.batch % self.micro_batch:
            raise ValueError(f"batch {self.batch} is not a multiple of micro_batch {self.micro_batch}")
        return self


class OverData(Training):
    """Training on given examples, whose length can be given in passes over them."""

    epochs: float = Field(
        0.0, ge=0, description="passes over the examples; above 0 they set the steps, in place of steps"
    )

    @model_validator(mode="after")
    def _steps_or_epochs(self) -> OverData:
        if self.epochs and (self.total_steps or self.start_step):
            raise ValueError(
                "epochs cannot go with total_steps and start_step: say steps where rounds share a schedule"
            )
        return self

    def of(self, examples: int) -> OverData:
        """Return the settings with the steps that `epochs` asks for, given so many examples."""
        if not self.epochs:
            return self
        return self.model_copy(update={"steps": max(math.ceil(self.epochs * examples / self.batch), 1)})


def rate(settings: Training, step: int) -> float:
    """Return the learning rate of this stage's step `step` (0-based) as a share of the peak.

    One schedule may span many rounds (B-STaR 2412.17256, section 2.1: online RFT inherits it): the clock is
    start_step + step, the end total_steps.
    """
    clock = settings.start_step + step
    total = settings.total_steps or settings.start_step + settings.steps
    if clock < settings.warmup_steps:
        return (clock + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return 1.0
    done = min((clock - settings.warmup_steps) / max(total - settings.warmup_steps, 1), 1.0)
    falling = 0.5 * (1 + math.cos(math.pi * done)) if settings.schedule == "cosine" else 1 - done
    return settings.floor + (1 - settings.floor) * falling


def cycle(n: int, seed: int, *name: object) -> Iterator[int]:
    """Yield 0 .. n - 1 in random order, then again in another order, without end."""
    epoch = 0
    while True:
        order = array("q", range(n))
        seeds.rng(seed, *name, epoch).shuffle(order)
        yield from order
        epoch += 1


def order(n: int, settings: Training, seed: int) -> array:
    """Return the example at every place of every batch, `steps * batch` indices: passes over the data, shuffled.

    Raises UserError where there are no examples.
    """
    if n == 0:
        raise UserError("0 training examples: nothing to train on. What the stage before kept may have been too little")
    return array("q", islice(cycle(n, seed, "order"), settings.steps * settings.batch))
