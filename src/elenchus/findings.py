"""What a recipe found, read from its finished stages: measurements, costs, training histories. Plain data, no pandas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from elenchus.errors import CorruptResult, UserError
from elenchus.graph import Stage, walk
from elenchus.job import Result
from elenchus.plan import Plan, RecipePlan

SPENT = ("sampled", "prompt", "trained", "oracle_calls", "seconds")  # what adds up over stages


def result(root: Path, stage: Stage) -> Result:
    """Return a stage's result; UserError with the command that makes it where there is none."""
    folder = root / stage.folder
    if not (folder / "stage.json").is_file():
        raise UserError(f"{stage.folder}: not made yet; make it with\n  snakemake {stage.manifest}")
    return Result(folder)


def done(root: Path, stage: Stage) -> bool:
    """Return whether a stage's result is there."""
    return (root / stage.manifest).is_file()


def rows(found: Result, name: str) -> list[dict]:
    """Return the rows of table `name` of a result, its bytes checked."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = found.file(f"{name}.parquet")
    try:
        return pq.read_table(path, use_threads=False).to_pylist()
    except pa.ArrowException as e:
        raise CorruptResult(f"{path}: not a readable Parquet file ({e})") from e


def number(value: float | None) -> float | None:
    """Return a float, None where it is absent or not a number."""
    return None if value is None or value != value else value


def measurements(plan: Plan, recipe: RecipePlan, *, partial: bool = False) -> list[dict]:
    """Return one row per arm, seed, round, subject and metric, in the recipe's order.

    Keys: arm, seed, round, subject, metric, value, low, high, n, stage (digest). low and high are None where an
    evaluation gives no interval. partial: leave out what is not measured yet, in place of an error.
    """
    found = []
    for m in recipe.measured:
        if partial and not done(plan.root, m.stage):
            continue
        label = {"arm": m.arm, "seed": m.seed, "round": m.round, "subject": m.subject}
        for row in rows(result(plan.root, m.stage), "metrics"):
            found.append(
                {
                    **label,
                    "metric": row["metric"],
                    **{k: number(row[k]) for k in ("value", "low", "high")},
                    "n": row["n"],
                    "stage": m.stage.digest,
                }
            )
    return found


def cost(root: Path, stage: Stage) -> dict:
    """Return a stage's cost.json, {} where the stage is not done."""
    path = root / stage.folder / "cost.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def total_cost(root: Path, stages: Iterable[Stage]) -> dict:
    """Return the sums of `stages`' costs (tokens, calls, seconds) and the largest peak_memory_mb."""
    costs = [cost(root, s) for s in stages]
    total = {key: sum(c.get(key, 0) for c in costs) for key in SPENT}
    return {**total, "peak_memory_mb": max((c.get("peak_memory_mb", 0) for c in costs), default=0)}


def arms(recipe: RecipePlan) -> list[str]:
    """Return the arms that were measured, those of the recipe first, in its order."""
    measured = {m.arm for m in recipe.measured}
    return [a for a in recipe.recipe.arms if a in measured] + sorted(measured - set(recipe.recipe.arms))


def seeds(recipe: RecipePlan) -> list[int]:
    """Return the seeds of a recipe, ascending."""
    return sorted({m.seed for m in recipe.measured})


def arm_stages(recipe: RecipePlan, arm: str, seed: int) -> list[Stage]:
    """Return every stage that an arm's measurements of one seed need, those it shares with other arms included."""
    return list(walk(m.stage for m in recipe.measured if m.arm == arm and m.seed == seed))


def histories(plan: Plan, recipe: RecipePlan) -> Iterator[tuple[object, list[dict]]]:
    """Yield (named stage, history rows) for each training that a recipe names and that is done."""
    seen = set()
    for named in recipe.named:
        folder = plan.root / named.stage.folder
        if named.stage.digest in seen or not (folder / "history.parquet").is_file():
            continue
        seen.add(named.stage.digest)
        yield named, rows(Result(folder), "history")


# -- over all seeds ----------------------------------------------------------------------------------------------------


def pooled(plan: Plan, recipe: RecipePlan) -> list[dict]:
    """Return one row per arm, round, subject and metric over all seeds, in the recipe's order.

    Keys as in `measurements` without seed and stage, and seeds, how many it is over.
    """
    table = rows(result(plan.root, recipe.summary), "summary")
    return [
        {
            **{k: r[k] for k in ("arm", "round", "subject", "metric", "seeds")},
            **{k: number(r[k]) for k in ("value", "low", "high")},
            "n": r["items"],
        }
        for r in table
        if r["seed"] is None
    ]


def comparisons(plan: Plan, recipe: RecipePlan) -> list[dict]:
    """Return the recipe's paired differences, each with its outcome: "better", "worse" or "open".

    outcome: what the interval says, read in the metric's own direction; open where it spans zero or is missing.
    """
    found = json.loads(result(plan.root, recipe.summary).file("summary.json").read_text())["comparisons"]
    return [{**c, "outcome": outcome(c)} for c in found]


def outcome(c: dict) -> str:
    """Return which way a difference goes: "better", "worse", or "open" where its interval holds zero."""
    if c["value"] is None or c["low"] is None or c["high"] is None or c["low"] <= 0 <= c["high"]:
        return "open"
    return "better" if (c["low"] > 0) == (c.get("wanted") != "lower") else "worse"


def signed(value: float | None, digits: int = 3) -> str:
    """Return a difference with its sign."""
    return "–" if value is None else f"{value:+.{digits}f}".replace("-", "−")


def difference(c: dict) -> str:
    """Return "+0.120 [+0.051, +0.190]"."""
    interval = f" [{signed(c['low'])}, {signed(c['high'])}]" if c["low"] is not None and c["high"] is not None else ""
    return signed(c["value"]) + interval


def extent(c: dict) -> str:
    """Return over how many problems and seeds a comparison is."""
    n = c["seeds"]
    return f"{c['items']} problems, {n} seed{'s' if n > 1 else ''}"


def sentence(c: dict) -> str:
    """Return what a comparison shows, in plain words with its numbers."""
    if c["value"] is None:
        return f"{c['name']}: {c['metric']} could not be compared (nothing to measure it on)"
    said = {
        "better": f"better in {c['metric']}",
        "worse": f"worse in {c['metric']}",
        "open": f"no difference shown in {c['metric']}, the interval spans zero",
    }[c["outcome"]]
    return f"{c['name']}: {said}: {difference(c)} ({extent(c)})"


def sentences(plan: Plan, recipe: RecipePlan) -> list[str]:
    """Return a sentence for each comparison of a recipe."""
    return [sentence(c) for c in comparisons(plan, recipe)]
