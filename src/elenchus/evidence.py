"""A recipe's evidence: its claims with their verdicts over the evidence seeds, small enough for git, one JSON file a recipe.

Written by `snakemake evidence` to `evidence/<recipe>.json`, never by hand. It names every stage that it rests on, so that
`stale` says which of them the code and params.yaml of today would make otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from elenchus import carry, contamination, findings
from elenchus.claims import Claim, verdict
from elenchus.errors import UserError, did_you_mean
from elenchus.graph import Stage, walk
from elenchus.plan import Plan, RecipePlan, label_stages
from elenchus.report import costs
from elenchus.stages.summary import Subject

FOLDER = Path("evidence")
NOT_COUNTED = ("seed_model", "problems")  # what every arm starts from is no budget of any
DIGITS = 5


def path(root: Path, recipe: str) -> Path:
    """Return where a recipe's evidence lies."""
    return root / FOLDER / f"{recipe}.json"


def known(root: Path) -> list[str]:
    """Return the recipes that have evidence, sorted."""
    return sorted(p.stem for p in (root / FOLDER).glob("*.json"))


def read(root: Path, recipe: str) -> dict:
    """Return a recipe's evidence; UserError with the command that makes it where there is none."""
    file = path(root, recipe)
    try:
        return json.loads(file.read_text())
    except FileNotFoundError:
        there = known(root)
        raise UserError(
            f"{FOLDER}/{recipe}.json: no evidence of {recipe!r} yet{did_you_mean(recipe, there)}; make it with\n"
            f"  snakemake evidence_{recipe}"
        ) from None
    except json.JSONDecodeError as e:
        raise UserError(f"{file}: not valid JSON ({e}); make it again with\n  snakemake evidence_{recipe}") from None


def gather(plan: Plan, recipe: RecipePlan) -> dict:
    """Return the evidence of a recipe whose stages are all done, as plain data."""
    compared = {c["name"]: c for c in findings.comparisons(plan, recipe)}
    made = [findings.cost(plan.root, s) for s in recipe.stages]
    return rounded(
        {
            "id": recipe.recipe.id,
            "title": recipe.recipe.title,
            "arxiv": recipe.recipe.arxiv,
            "seeds": findings.seeds(recipe),
            "arms": {row.pop("arm"): row for row in costs.by_arm(plan, recipe)},
            "claims": [judge(plan, recipe, claim, compared[claim.statement]) for claim in recipe.claims],
            "metrics": metrics(plan, recipe),
            "overlap": contamination.report(plan, recipe),
            "cost": findings.total_cost(plan.root, recipe.stages),
            "digest": recipe.summary.digest,
            "stages": named_stages(recipe),
            "commits": sorted({c.get("commit", "unknown") for c in made}),
            "machines": sorted({c.get("machine", "unknown") for c in made}),
            "made": max((c.get("ended", "") for c in made), default=""),
            "carried": carry.summary(plan.root, recipe.stages),
        }
    )


def wanting(recipe: RecipePlan) -> dict:
    """Return the evidence of a recipe that has none yet: its claims without numbers."""
    numbers = dict.fromkeys(("value", "low", "high", "better_value", "than_value", "effect", "mdd"))
    undecided = {**numbers, "items": 0, "seeds": 0, "budgets": {}, "verdict": "not measured", "why": "no evidence yet"}
    return {
        "seeds": findings.seeds(recipe),
        "claims": [{**c.model_dump(mode="json"), **undecided} for c in recipe.claims],
        "metrics": [],
        "cost": {"seconds": 0},
        "made": "",
        "machines": [],
    }


def judge(plan: Plan, recipe: RecipePlan, claim: Claim, comparison: dict) -> dict:
    """Return a claim with its numbers, both sides' budgets and its verdict."""
    sides = [claim.better, *([claim.than] if claim.than else [])]
    budgets = tuple(budget(plan.root, recipe, side) for side in sides)
    found = verdict(claim, comparison, budgets if len(budgets) == 2 else None)
    numbers = ("value", "low", "high", "better_value", "than_value", "effect", "mdd", "items", "seeds")
    return {
        **claim.model_dump(mode="json"),
        **{k: comparison[k] for k in numbers},
        "budgets": dict(zip(("better", "than"), budgets)),
        "verdict": found.verdict,
        "why": found.why,
    }


def budget(root: Path, recipe: RecipePlan, side: Subject) -> dict[str, float]:
    """Return what one side of a claim spent a seed: tokens sampled and trained on and oracle calls on the way to what is
    measured, tokens sampled while measuring. What depends on test problems is measuring, everything before is the way.
    """
    measured = [m for m in recipe.measured if (m.arm, m.round, m.subject) == (side.arm, side.round, side.subject)]
    seeds = {m.seed for m in measured}
    needed = [s for s in walk(m.stage for m in measured) if s.kind not in NOT_COUNTED]
    testing = touches_test(needed)
    way = findings.total_cost(root, (s for s in needed if s.digest not in testing))
    test = findings.total_cost(root, (s for s in needed if s.digest in testing))
    spent = {k: way[k] for k in ("sampled", "trained", "oracle_calls")} | {"test_sampled": test["sampled"]}
    return {k: v / max(len(seeds), 1) for k, v in spent.items()}


def touches_test(stages: Iterable[Stage]) -> set[str]:
    """Return the digests of those stages that depend on test problems; parents come before children."""
    found: set[str] = set()
    for s in stages:
        on_test = any(p.kind == "problems" and p.params["split"] == "test" for p in s.parents)
        if on_test or any(p.digest in found for p in s.parents):
            found.add(s.digest)
    return found


def metrics(plan: Plan, recipe: RecipePlan) -> list[dict]:
    """Return one row per arm, round, subject and metric: value, low and high over all seeds, and the value of each."""
    by_seed: dict[tuple, dict[int, float | None]] = {}
    for m in findings.measurements(plan, recipe):
        key = (m["arm"], m["round"], m["subject"], m["metric"])
        by_seed.setdefault(key, {})[m["seed"]] = m["value"]
    rows = []
    for r in findings.pooled(plan, recipe):
        key = (r["arm"], r["round"], r["subject"], r["metric"])
        own = by_seed.get(key, {})
        rows.append({**{k: v for k, v in r.items() if k != "seeds"}, "by_seed": [own[s] for s in sorted(own)]})
    return rows


def named_stages(recipe: RecipePlan) -> dict[str, str]:
    """Return {digest: the name under which people know it} of every stage that the evidence rests on."""
    names: dict[str, str] = {}
    label_stages(recipe, names)
    return {s.digest: f"{s.kind}: {names[s.digest].partition('/')[2] or names[s.digest]}" for s in recipe.stages}


def stale(evidence: dict, recipe: RecipePlan) -> list[str]:
    """Return the stages that today's code and params.yaml make otherwise than the evidence's, the causes before the
    consequences; [] where it is up to date."""
    before = evidence["stages"]
    now = named_stages(recipe)
    changed = {d for d in now if d not in before}
    causes = [s for s in recipe.stages if s.digest in changed and not any(p.digest in changed for p in s.parents)]
    return [now[s.digest] for s in causes] or [before[d] for d in before if d not in now]


def write(plan: Plan, recipe: RecipePlan) -> Path:
    """Write `evidence/<recipe>.json` at once; return its path."""
    from elenchus.views import replace

    file = path(plan.root, recipe.recipe.id)
    replace(file, text(gather(plan, recipe)))
    return file


def text(evidence: dict) -> str:
    """Return evidence as JSON, a line for each entry of a list or mapping, so that git shows what changed."""
    parts = []
    for key, value in evidence.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            body = "[\n" + ",\n".join("  " + json.dumps(v, ensure_ascii=False) for v in value) + "\n ]"
        elif isinstance(value, dict):
            lines = (f"  {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in value.items())
            body = "{\n" + ",\n".join(lines) + "\n }"
        else:
            body = json.dumps(value, ensure_ascii=False)
        parts.append(f" {json.dumps(key)}: {body}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def spoken(evidence: dict) -> str:
    """Return the claims with their verdicts, a line or two each, for a terminal."""
    lines = [f"{evidence['title']}: seeds {', '.join(map(str, evidence['seeds']))}"]
    for c in evidence["claims"]:
        lines.append(f"  {c['verdict']:>14}  {c['statement']}")
        lines.append(f"{'':18}{c['metric']} {findings.difference(c)}: {c['why']}; paper: {c['paper']}")
    return "\n".join(lines)


def rounded(value):
    """Return plain data with its numbers to DIGITS decimals, whole ones as integers."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(v) for v in value]
    if isinstance(value, float):
        return int(value) if value.is_integer() else round(value, DIGITS)
    return value
