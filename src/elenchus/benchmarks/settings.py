"""The section `bench` of params.yaml: which model is evaluated on which benchmarks, and how. `snakemake bench` runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

if TYPE_CHECKING:
    from elenchus.config import Base


class OwnFile(BaseModel):
    """A file of the user's as a benchmark."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(min_length=1, description="JSON, JSONL, CSV or Parquet")
    fields: dict[str, str] = Field(description="{role: the file's field}, as of `elenchus data get --field`")


class Bench(BaseModel):
    """Which models are evaluated on which benchmarks (`snakemake bench`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: tuple[str, ...] = Field(
        (),
        description="a model's folder, a hub id in the local cache, or a result that holds a model; several: compared",
    )
    generations: str | dict[str, str] = Field(
        "", description="JSONL of (id, text) in a model's place; of several benchmarks or roles: {gsm8k.solver: file}"
    )
    benchmarks: tuple[str, ...] = Field(
        (), description="sets of `elenchus data list`, or problem families; set/split for one split"
    )
    files: dict[str, OwnFile] = Field(
        default_factory=dict,
        description="your own files as benchmarks: {mine: {path: q.csv, fields: {prompt: question, answer: target}}}",
    )
    roles: tuple[Literal["solver", "critic", "corrector"], ...] = Field(
        (), description="what the model is asked to be; empty: all that a benchmark has"
    )
    critic: tuple[Literal["written", "verdict", "head"], ...] = Field(
        ("written",),
        description="how a critic judges: it writes, by one word's probability after each step, by a process head",
    )
    head: str = Field("", description="critic head: a result or folder that holds a process head")
    items: int = Field(0, ge=0, description="items of each split at most; 0: all (families: problems.test)")
    pick: Literal["drawn", "first"] = Field("drawn", description="which items: drawn by a digest, or the first")
    samples: int = Field(1, ge=1, description="solver: replies to each question; from 3 on majorities are measured")
    critiques: int = Field(1, ge=1, description="critic: critiques of each solution; several vote")
    temperature: float = Field(0.0, ge=0, description="sampling temperature; 0 is greedy")
    top_p: float = Field(1.0, gt=0, le=1, description="nucleus of the sampling distribution")
    max_tokens: int = Field(512, ge=1, description="tokens of a reply at most (and half of the model's context)")
    vote_samples: int = Field(
        16, ge=0, description="samples a corrector's majority vote may draw on at equal tokens; 0: no such comparison"
    )
    vote_temperature: float = Field(0.7, gt=0, description="their temperature")
    shots: int = Field(0, ge=0, description="solver: worked examples from the train split, drawn by a digest")
    shots_file: str = Field(
        "", description="worked examples of any role: JSONL of prompt, reply and role (default solver)"
    )
    prompts: dict[str, str] = Field(
        default_factory=dict, description="prompt files in place of ours: {gsm8k.solver: file}"
    )
    options: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="difficulty of families; default: the section problems' of its own family"
    )

    @field_validator("model", "benchmarks", "roles", "critic", mode="before")
    @classmethod
    def _one(cls, given: object) -> object:
        return ([given] if given else []) if isinstance(given, str) else given

    @property
    def wanted(self) -> bool:
        """Return whether there is something to evaluate."""
        return bool(self.model or self.generations)

    def shared(self, base: Base) -> Base:
        """Return the shared sections as they are: a benchmark says nothing otherwise."""
        return base
