"""What of a recipe's results is recorded in MLflow: one run per arm and seed, its parameters, numbers and tags."""

from __future__ import annotations

import calendar
import re
import time
from dataclasses import dataclass
from pathlib import Path

from elenchus import findings
from elenchus.config import read_yaml
from elenchus.errors import UserError
from elenchus.graph import Stage, digest_of
from elenchus.lab import Named
from elenchus.plan import Plan, RecipePlan

SECTIONS = ("scale", "problems", "seed_model", "engine")  # of params.yaml, besides the recipe's own


@dataclass(frozen=True)
class Run:
    """One arm of one seed as MLflow will show it. metrics: (key, value, time in ms, step)."""

    arm: str
    seed: int
    spec: str
    params: dict[str, str]
    metrics: list[tuple[str, float, int, int]]
    spent: dict[str, float]  # seconds and memory: they vary from run to run, so no part of `content`
    tags: dict[str, str]
    start: int
    end: int

    @property
    def content(self) -> str:
        """Return the digest of parameters and metrics, times left out."""
        return digest_of([self.params, [[k, v, step] for k, v, _, step in self.metrics]])


def runs(plan: Plan, recipe: RecipePlan) -> list[Run]:
    """Return the runs of a recipe, from its finished stages."""
    measured = findings.measurements(plan, recipe)
    histories = list(findings.histories(plan, recipe))
    data = data_versions(plan.root)
    made = []
    for arm in findings.arms(recipe):
        for seed in findings.seeds(recipe):
            own = [m for m in measured if m["arm"] == arm and m["seed"] == seed]
            if own:
                trained = [(n, rows) for n, rows in histories if n.arm == arm and n.seed == seed]
                made.append(one_run(plan, recipe, arm, seed, own, trained, data))
    return made


def one_run(plan: Plan, recipe: RecipePlan, arm: str, seed: int, own: list[dict], trained: list, data: dict) -> Run:
    """Return the run of one arm and seed: `own` its measurements, `trained` its training histories."""
    stages = findings.arm_stages(recipe, arm, seed)
    times = {s.digest: ended(plan.root, s) for s in stages}
    metrics = []
    for m in own:
        key = metric_key(f"{m['subject']}/{m['metric']}")
        for suffix, value in (("", m["value"]), (".low", m["low"]), (".high", m["high"])):
            if value is not None:
                metrics.append((key + suffix, float(value), times[m["stage"]], m["round"]))
    for named, rows in trained:
        where = named.name + (f"-round{named.round}" if named.round else "")
        for row in rows:
            if findings.number(row["value"]) is not None:
                at = times.get(named.stage.digest) or ended(plan.root, named.stage)
                metrics.append(
                    (metric_key(f"train/{where}/{row['metric']}"), float(row["value"]), at, int(row["step"]))
                )
    total = findings.total_cost(plan.root, stages)
    end = max(times.values())
    metrics += [(f"cost/{k}", float(total[k]), end, 0) for k in ("sampled", "prompt", "trained", "oracle_calls")]
    section = {name: dump(getattr(plan.config, name)) for name in (*SECTIONS, recipe.recipe.id)}
    params = {k: str(v)[:6000] for k, v in flatten(section).items()} | {"arm": arm, "seed": str(seed)}
    tags = {
        "recipe": recipe.recipe.id,
        "arm": arm,
        "seed": str(seed),
        "arxiv": recipe.recipe.arxiv,
        "mlflow.runName": f"{arm}/seed{seed}",
        "mlflow.source.git.commit": commit(plan.root, stages),
        "command": f"snakemake {recipe.recipe.id}",
        **{f"stage.{place}": digest for place, digest in stage_names(recipe.named, arm, seed).items()},
        **data,
    }
    spec = digest_of([recipe.recipe.id, arm, seed, params, sorted({m["stage"] for m in own})])
    started = min(times[s.digest] - int(1000 * findings.cost(plan.root, s).get("seconds", 0)) for s in stages)
    spent = {"cost/seconds": total["seconds"], "cost/peak_memory_mb": total["peak_memory_mb"]}
    return Run(arm, seed, spec, params, sorted(metrics), spent, tags, started, end)


def ended(root: Path, stage: Stage) -> int:
    """Return when a stage ended, in ms since 1970."""
    said = findings.cost(root, stage).get("ended")
    if said is None:
        raise UserError(f"{stage.folder}: no cost.json, so this result is not whole; remove it and run snakemake again")
    return calendar.timegm(time.strptime(said, "%Y-%m-%dT%H:%M:%SZ")) * 1000


def metric_key(name: str) -> str:
    """Return a metric's name in MLflow, which allows no "@": pass@8 becomes pass_at_8."""
    return re.sub(r"[^\w.\-/ ]", "_", name.replace("@", "_at_"))


def dump(value: object) -> object:
    """Return a section of the configuration as plain data, only what was set or has a default."""
    return value.model_dump(mode="json", exclude_none=True) if hasattr(value, "model_dump") else value


def flatten(value: object, prefix: str = "") -> dict[str, object]:
    """Return nested mappings as {"a.b": value}."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        k: v
        for key, inner in value.items()
        for k, v in flatten(inner, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def stage_names(named: tuple[Named, ...], arm: str, seed: int) -> dict[str, str]:
    """Return {name or name-round<r>: digest} of an arm's own stages."""
    found = {}
    for n in named:
        if n.arm == arm and n.seed == seed:
            found[metric_key(n.name + (f"-round{n.round}" if n.round else ""))] = n.stage.digest
    return found


def commit(root: Path, stages: list[Stage]) -> str:
    """Return the git commit of the stage that ended last."""
    costs = [findings.cost(root, s) for s in stages]
    return max(costs, key=lambda c: c.get("ended", "")).get("commit", "unknown")


def data_versions(root: Path) -> dict[str, str]:
    """Return {"dvc.<path>": hash} of the versioned data that dvc.lock and data/*.dvc name."""
    found = {}
    if (root / "dvc.lock").is_file():
        for stage in (read_yaml(root / "dvc.lock").get("stages") or {}).values():
            for out in stage.get("outs", ()):
                found[f"dvc.{out['path']}"] = str(out.get("md5") or out.get("hash") or "")
    for path in sorted((root / "data").glob("**/*.dvc")):
        for out in read_yaml(path).get("outs", ()):
            found[f"dvc.{path.parent.relative_to(root) / out['path']}"] = str(out.get("md5", ""))
    return {metric_key(k): v for k, v in found.items()}
