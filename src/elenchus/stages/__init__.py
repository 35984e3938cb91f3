"""Stage kinds: one module each. `docs/contracts.md` says what such a module defines."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from types import ModuleType

from pydantic import BaseModel, ConfigDict

from elenchus.errors import UserError, did_you_mean


class StageParams(BaseModel):
    """Base of all kinds' parameters: typed, immutable, unknown names refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class Estimate:
    """What a stage is expected to make and spend: rows of its main table, tokens sampled, read and trained on."""

    rows: int = 0
    sampled: int = 0
    prompt: int = 0
    trained: int = 0


@dataclass(frozen=True)
class Lengths:
    """Mean tokens of a text of each sort: what estimates are made of. The defaults are the laptop's."""

    problem: int = 20  # a question in its chat template
    around: int = 10  # what a prompt has about each further text
    solution: int = 30
    steps: int = 5  # of a solution
    step: int = 7
    critique: int = 50  # of a whole solution
    refinement: int = 35
    judgement: int = 10  # of one step
    turns: int = 6  # of an agent's episode
    action: int = 4

    @property
    def solved(self) -> int:
        """Return the tokens of a question and its solution."""
        return self.problem + self.around + self.solution

    @property
    def criticised(self) -> int:
        """Return the tokens of a question, its solution and a critique of that."""
        return self.solved + self.critique

    @property
    def prefix(self) -> int:
        """Return the tokens of a question and a third of its solution: where a search or a game stands on average."""
        return self.problem + self.around + self.solution // 3

    @property
    def rollout(self) -> int:
        """Return the tokens from there to the end."""
        return self.solution - self.solution // 3


LAPTOP = Lengths()


@cache
def names() -> tuple[str, ...]:
    """Return the names of all kinds: the modules of this package."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__)))


@cache
def load(kind: str) -> ModuleType:
    """Return the module of `kind`; UserError with the nearest name where there is none."""
    if kind not in names():
        raise UserError(f"unknown stage kind {kind!r}{did_you_mean(kind, names())}; kinds: {', '.join(names())}")
    return importlib.import_module(f"elenchus.stages.{kind}")


def trains(kind: str) -> bool:
    """Return whether a kind trains: it then writes the history of its losses beside the model."""
    return "history" in load(kind).OUTPUTS


def writes(kind: str, given: Iterable[str] | None = None) -> bool:
    """Return whether a kind computes with a model or a process head, among the inputs that are `given` (default: any)."""
    offers = {name.rstrip("?*"): offer for name, offer in load(kind).INPUTS.items()}
    return any(offers[name] in ("model", "process_head") for name in (offers if given is None else given))
