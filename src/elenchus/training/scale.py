"""How trainers run: the section `training` of params.yaml, with its one default of each knob.

What changes numbers beyond the order of sums goes into the stages' parameters, so into their digests; a recipe's own knobs
go before. How many processes share the work changes the order of sums only, and is in no digest.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from elenchus import stages
from elenchus.errors import UserError
from elenchus.training.parallel import uneven
from elenchus.training.settings import Lora, Training


class Machine(BaseModel):
    """How many processes train one model, and how. In no digest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    processes: int = Field(1, ge=1, description="processes of one node that train one model together; one for each GPU")
    nodes: int = Field(1, ge=1, description="nodes of a cluster that train one model together")
    strategy: Literal["none", "ddp", "fsdp"] = Field(
        "none",
        description="none: one process; ddp: each process has the whole model; fsdp: weights and optimizer are spread over them",
    )

    @model_validator(mode="after")
    def _together(self) -> Machine:
        if self.world > 1 and self.strategy == "none":
            raise ValueError(
                f"{self.world} processes need a strategy: ddp (each has the whole model) or fsdp (it is spread over them)"
            )
        if self.world == 1 and self.strategy != "none":
            raise ValueError(f"strategy {self.strategy!r} takes more than one process; say how many: processes: 2")
        return self

    @property
    def world(self) -> int:
        """Return how many processes train together."""
        return self.processes * self.nodes

    def check_batch(self, where: str, params: dict) -> None:
        """Raise UserError where the processes do not divide the batch of a trainer stage with these parameters."""
        batch, micro = params.get("batch", self.world), params.get("micro_batch", 0)
        if batch % (max(micro, 1) * self.world):
            raise UserError(f"{where}: {uneven(batch, micro, self.world)}")


SMALL = "small"  # how `models` names the model that the workflow trains itself


class Choice(Machine):
    """The section `training` of params.yaml."""

    models: dict[str, Machine] = Field(
        {},
        description="processes, nodes and strategy of trainings that go back to one model, in place of those above: by its hub id, "
        "or `small` for the workflow's own",
    )
    precision: Literal["float32", "bfloat16"] | None = Field(
        None, description="of the passes of all trainers; null: as the recipe says"
    )
    activation_checkpointing: bool | None = Field(
        None, description="recompute activations in all trainers to save memory; null: as the recipe says"
    )
    micro_batch: int | None = Field(
        None, ge=0, description="examples in one pass of one process, in all trainers; null: as the recipe says"
    )
    packing: bool | None = Field(
        None, description="examples of a pass in one row, without padding (kinds sft and sft_turns)"
    )
    lora: Lora | None = Field(None, description="low-rank adapters in all trainers; null: as the recipe says")

    def of_stage(self, kind: str) -> dict:
        """Return the parameters that this section gives to stages of `kind`: those that were set and that the kind has."""
        known = stages.load(kind).Params.model_fields
        said = self.model_dump(mode="json", exclude={*Machine.model_fields, "models"}, exclude_none=True)
        return {name: value for name, value in said.items() if name in known}

    def of_model(self, name: str) -> Machine:
        """Return how trainings that go back to the pretrained model `name` run; "": to the workflow's own."""
        own = Machine.model_construct(**{field: getattr(self, field) for field in Machine.model_fields})
        return self.models.get(name or SMALL, own)


def spreads(kind: str) -> bool:
    """Return whether stages of `kind` can be trained by several processes: all trainers on the one loop (not seed_model)."""
    return issubclass(stages.load(kind).Params, Training)
