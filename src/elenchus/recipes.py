"""Recipes: one file per paper in `workflow/recipes/`. A recipe is a function that wires stages; it does no work itself.

    class Params(RecipeParams):       # the recipe's own section of params.yaml; each field names its source
        rounds: int = Field(3, ge=1, description="self-training rounds (paper: 9)")

    @recipe(title="B-STaR: ...", arxiv="2412.17256", arms=("b_star", "online_rft"))
    def b_star(lab, p):
        '''The idea in a few sentences.

        Departures
        1. ...
        '''

The file's name is the recipe's id and the name of its Snakemake target.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import BaseModel

from elenchus.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Recipe:
    """A paper's method and its baselines."""

    id: str
    title: str
    arxiv: str
    arms: tuple[str, ...]
    wire: Callable  # (lab, params) -> None
    params: type[BaseModel]

    @property
    def summary(self) -> str:
        """Return the first paragraph of the recipe's docstring."""
        return " ".join((self.wire.__doc__ or "").strip().split("\n\n")[0].split())

    @property
    def departures(self) -> list[str]:
        """Return the numbered departures from the paper, as its docstring lists them."""
        return self._listed("Departures")

    @property
    def findings(self) -> list[str]:
        """Return the numbered findings, what was seen where a claim failed and why, as its docstring lists them."""
        return self._listed("Findings")

    def _listed(self, heading: str) -> list[str]:
        text = re.split(rf"^\s*{heading}\s*$", self.wire.__doc__ or "", maxsplit=1, flags=re.M)
        own = re.split(r"^\s*(?:Departures|Findings)\s*$", text[1], maxsplit=1, flags=re.M)[0] if len(text) > 1 else ""
        return [" ".join(item.split()) for item in re.split(r"^\s*\d+\.\s+", own, flags=re.M)[1:]]


def recipe(*, title: str, arms: tuple[str, ...], arxiv: str = "") -> Callable:
    """Return the decorator that makes a Recipe of a wiring function."""

    def decorate(wire: Callable) -> Recipe:
        module = sys.modules[wire.__module__]
        return Recipe(Path(module.__file__).stem, title, arxiv, arms, wire, module.Params)

    return decorate


@cache
def load_all(folder: Path) -> dict[str, Recipe]:
    """Return {id: recipe} of every file in `folder`; UserError where a file does not define exactly one."""
    found = {}
    for path in sorted(folder.glob("[!_]*.py")):
        spec = importlib.util.spec_from_file_location(f"elenchus_recipe_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        made = [v for v in vars(module).values() if isinstance(v, Recipe)]
        if len(made) != 1 or made[0].id != path.stem:
            raise UserError(f"{path}: a recipe file defines one recipe; found {len(made)}")
        found[path.stem] = made[0]
    return found


def pick(recipes: dict[str, Recipe], name: str) -> Recipe:
    """Return the recipe `name` (dashes and underscores alike); UserError with the nearest name where there is none."""
    key = name.replace("-", "_")
    if key not in recipes:
        raise UserError(f"unknown recipe {name!r}{did_you_mean(key, recipes)}; recipes: {', '.join(recipes)}")
    return recipes[key]
