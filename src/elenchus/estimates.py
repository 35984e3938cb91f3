"""What a plan will take before it runs: tokens from each kind's own estimate, seconds from rates measured earlier."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from elenchus import stages
from elenchus.graph import RESULTS, Stage
from elenchus.plan import Plan
from elenchus.stages import LAPTOP, Estimate, Lengths

# Two laptop cores, a model of half a million parameters: tokens a second where nothing has been measured yet.
SAMPLED, PROMPT, TRAINED = 12_000, 60_000, 22_000
START = {"torch": 6.0, "other": 1.5}  # seconds before the first token


@dataclass(frozen=True)
class Row:
    """A stage of a plan. seconds and tokens are what it spent where it is done, else what it is expected to."""

    stage: Stage
    names: tuple[str, ...]
    done: bool
    sampled: int
    prompt: int
    trained: int
    seconds: float
    also: tuple[str, ...]  # the other recipes that need it: whichever runs first pays


@cache
def measured(results: Path) -> dict[str, tuple[float, float, int]]:
    """Return {kind: (work, seconds, stages)} of the results on disk; work in the default rates' seconds."""
    found: dict[str, tuple[float, float, int]] = {}
    for path in results.glob("[!._]*/*/cost.json"):
        try:
            c = json.loads(path.read_text())
            seconds = float(c["seconds"])
        except (OSError, ValueError, KeyError):
            continue
        work, spent, n = found.get(path.parts[-3], (0.0, 0.0, 0))
        found[path.parts[-3]] = (
            work + work_of(c.get("sampled", 0), c.get("prompt", 0), c.get("trained", 0)),
            spent + seconds,
            n + 1,
        )
    return found


def work_of(sampled: float, prompt: float, trained: float) -> float:
    """Return the seconds that tokens take at the default rates."""
    return sampled / SAMPLED + prompt / PROMPT + trained / TRAINED


def seconds_of(kind: str, expected: Estimate, rates: dict[str, tuple[float, float, int]]) -> float:
    """Return the seconds that a stage will take: by its kind's measured speed, else by the default rates."""
    work = work_of(expected.sampled, expected.prompt, expected.trained)
    known_work, known_seconds, n = rates.get(kind, (0.0, 0.0, 0))
    if n and work > 0.1 and known_work > 0.1:
        return work * known_seconds / known_work
    if n and work <= 0.1:
        return known_seconds / n
    return work + START["torch" if stages.trains(kind) or (stages.writes(kind) and work > 0) else "other"]


def expectations(chosen: Iterable[Stage], tokens: Lengths = LAPTOP) -> dict[str, Estimate]:
    """Return {digest: estimate} of stages given parents first, of texts of these lengths; an input of many counts the rows of all."""
    found: dict[str, Estimate] = {}
    for stage in chosen:
        module = stages.load(stage.kind)
        found[stage.digest] = module.estimate(
            module.Params.model_validate(stage.params), given_rows(stage, found), tokens
        )
    return found


def given_rows(stage: Stage, expected: dict[str, Estimate]) -> dict[str, int]:
    """Return {input: rows of its main table} of a stage, given the estimates of its parents."""
    several = {name: given if isinstance(given, tuple) else (given,) for name, given in stage.inputs.items()}
    return {name: sum(expected[s.digest].rows for s in given) for name, given in several.items()}


def parts_of(stage: Stage, expected: dict[str, Estimate]) -> int:
    """Return the parts of a stage that several jobs can share, 0 where its kind has none."""
    module = stages.load(stage.kind)
    if not hasattr(module, "shares"):
        return 0
    return module.shares(module.Params.model_validate(stage.params), given_rows(stage, expected))


def rows_of(plan: Plan, name: str, evidence: bool = False) -> list[Row]:
    """Return a row for each stage of a recipe, or of its evidence over all seeds, parents first."""
    planned = plan.evidence if evidence else plan.recipe
    recipe = planned(name)
    names: dict[str, list[str]] = {}
    for n in recipe.named:
        at = f"{n.arm}/seed{n.seed}" + (f"/round{n.round}" if n.round else "") + f"/{n.name}"
        names.setdefault(n.stage.digest, []).append(at)
    expected = expectations(list(recipe.stages))
    rates = measured(plan.root / RESULTS)
    others = {n: {s.digest for s in planned(n).stages} for n in plan.recipes if n != recipe.recipe.id}
    made = []
    for s in recipe.stages:
        e, path = expected[s.digest], plan.root / s.folder / "cost.json"
        called = tuple(names.get(s.digest, ["summary"]))
        also = tuple(n for n, theirs in others.items() if s.digest in theirs)
        if path.is_file() and (plan.root / s.manifest).is_file():
            c = json.loads(path.read_text())
            spent = tuple(c.get(k, 0) for k in ("sampled", "prompt", "trained", "seconds"))
            made.append(Row(s, called, True, *spent, also))
        else:
            seconds = seconds_of(s.kind, e, rates)
            made.append(Row(s, called, False, e.sampled, e.prompt, e.trained, seconds, also))
    return made


def totals(rows: list[Row]) -> dict:
    """Return the sums of a plan: stages, done, tokens and seconds of what is done, of what of it others share, of the rest."""
    found = {"stages": len(rows), "done": sum(r.done for r in rows)}
    found["shared_with"] = list(dict.fromkeys(name for r in rows for name in r.also))
    done = [r for r in rows if r.done]
    parts = {"spent": done, "shared": [r for r in done if r.also], "expected": [r for r in rows if not r.done]}
    for name, chosen in parts.items():
        found[name] = {k: sum(getattr(r, k) for r in chosen) for k in ("sampled", "prompt", "trained")}
        found[name]["seconds"] = round(sum(r.seconds for r in chosen), 1)
    return found
