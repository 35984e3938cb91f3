"""The plan of the papers' own scale, and schedules simulated with it and with the evidence's measured times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from elenchus import cluster_cost, plan, resources, schedule, stage_times
from elenchus.cluster_cost import LENGTHS, Assumptions, Need
from elenchus.plan import Plan
from elenchus.schedule import Task, exact
from elenchus.stages import Lengths

GPUS = (1, 8, 64, 512)
GROWTH = (10, 100)


@dataclass(frozen=True)
class Total:
    """What a set of stages takes together."""

    stages: int
    planned: int  # by Snakemake: stages, and the shards of those that several jobs share
    jobs: int  # of Slurm: groups of small stages count once
    files: float
    sampled: int
    prompt: int
    trained: int
    training: float  # GPU-hours
    gpu_hours: float
    models: float  # bytes
    tables: float  # bytes
    longest: Need
    path: float  # seconds of the critical path, queue included
    widest: int  # GPUs of the widest stage
    heaviest: tuple[str, float]  # the kind with the most GPU-hours, and its share

    def plain(self) -> dict:
        """Return the same as plain data."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        return own | {
            "longest": {"kind": self.longest.stage.kind, "model": self.longest.model, "seconds": self.longest.seconds}
        }


@dataclass(frozen=True)
class Slurm:
    """What the Slurm profile says that a schedule depends on."""

    at_once: int
    groups: dict[str, int]
    side_by_side: int


def slurm_profile(root: Path) -> Slurm:
    """Return the limits of workflow/profiles/slurm/profile.yaml."""
    from elenchus.config import read_yaml

    said = read_yaml(root / "workflow" / "profiles" / "slurm" / "profile.yaml")
    groups = dict(g.split("=") for g in said["group-components"])
    (light,) = (r.partition("=")[2] for r in said["resources"] if r.startswith("light="))
    return Slurm(said["jobs"], {kind: int(n) for kind, n in groups.items()}, int(light))


@cache
def at_cluster(root: Path) -> Plan:
    """Return the plan of the project at `root` at cluster scale, whatever scale params.yaml names."""
    return plan.load(root, {"scale": "cluster"})


def recipe_needs(whole: Plan, name: str, a: Assumptions, lengths: Lengths = LENGTHS) -> list[Need]:
    """Return what each stage of a recipe's evidence takes, parents first."""
    return cluster_cost.needs(whole.evidence(name).stages, a, lengths, whole.config.shards, whole.config.training)


def together(parts: Sequence[Sequence[Need]]) -> list[Need]:
    """Return the stages of several recipes, those that they share once, parents first."""
    return list({n.stage.digest: n for found in parts for n in found}.values())


def total(found: Sequence[Need], a: Assumptions, slurm: Slurm) -> Total:
    """Return what stages take together."""
    by_kind: dict[str, float] = {}
    for n in found:
        by_kind[n.stage.kind] = by_kind.get(n.stage.kind, 0.0) + n.gpu_hours
    hours = sum(by_kind.values())
    kind = max(by_kind, key=by_kind.__getitem__)
    alone = cluster_cost.tasks(found, a)
    return Total(
        stages=len(found),
        planned=len(alone),
        jobs=len(alone) - saved(Counter(n.stage.kind for n in found), slurm),
        files=len(found) * a.stage_files,
        sampled=sum(n.sampled for n in found),
        prompt=sum(n.prompt for n in found),
        trained=sum(n.trained for n in found),
        training=sum(n.gpu_hours for n in found if n.work == "trains"),
        gpu_hours=hours,
        models=sum(n.models for n in found),
        tables=sum(n.tables for n in found),
        longest=max(found, key=lambda n: n.seconds),
        path=schedule.critical_path(alone, a.queue),
        widest=max(n.gpus for n in found),
        heaviest=(kind, by_kind[kind] / hours if hours else 0.0),
    )


def saved(kinds: Mapping[str, int], slurm: Slurm) -> int:
    """Return by how many the Slurm jobs are fewer, since several small stages of a kind go into one."""
    return sum(kinds.get(kind, 0) - -(-kinds.get(kind, 0) // n) for kind, n in slurm.groups.items())


def grown(found: Sequence[Need], a: Assumptions, slurm: Slurm, *, work: int = 1, seeds: int = 1) -> Total:
    """Return what is taken by `work` times the work in each stage, or by `seeds` times the seeds (the same graph, repeated)."""
    base = total([n.times(work) for n in found], a, slurm)

    def more(amount: float, own: float) -> float:
        """Return an amount of which the part `own` is there for each seed."""
        return amount + (seeds - 1) * own

    per_seed = [n.times(work) for n in found if n.seeded]
    kinds, own = (Counter(n.stage.kind for n in some) for some in (found, per_seed))
    kinds.update({kind: (seeds - 1) * n for kind, n in own.items()})
    planned = round(more(base.planned, sum(n.jobs + (n.jobs > 1) for n in per_seed)))
    sums = {
        k: int(more(getattr(base, k), sum(getattr(n, k) for n in per_seed))) for k in ("sampled", "prompt", "trained")
    }
    return Total(
        stages=round(more(base.stages, len(per_seed))),
        planned=planned,
        jobs=planned - saved(kinds, slurm),
        files=more(base.files, len(per_seed) * a.stage_files),
        **sums,
        training=more(base.training, sum(n.gpu_hours for n in per_seed if n.work == "trains")),
        gpu_hours=more(base.gpu_hours, sum(n.gpu_hours for n in per_seed)),
        models=more(base.models, sum(n.models for n in per_seed)),
        tables=more(base.tables, sum(n.tables for n in per_seed)),
        longest=base.longest,
        path=base.path,
        widest=base.widest,
        heaviest=base.heaviest,
    )


def growth(found: Sequence[Need], a: Assumptions, slurm: Slurm) -> dict[tuple[int, int], Total]:
    """Return {(times the work, times the seeds): what that takes}."""
    cases = [(1, 1), *((k, 1) for k in GROWTH), *((1, k) for k in GROWTH)]
    return {(w, s): grown(found, a, slurm, work=w, seeds=s) for w, s in cases}


# -- schedules ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scenario:
    """A graph of jobs and how it is submitted."""

    name: str
    tasks: list[Task]
    queue: float = 0.0
    at_once: int = 0
    longest_first: bool = False

    def makespan(self, gpus_: int) -> float | None:
        """Return the seconds on so many GPUs, None where a stage needs more."""
        if any(t.gpus > gpus_ for t in self.tasks):
            return None
        rank = schedule.longest_first(self.tasks, self.queue) if self.longest_first else None
        return schedule.run(self.tasks, gpus_, queue=self.queue, at_once=self.at_once, rank=rank).makespan


def laptop_scenarios(root: Path, a: Assumptions, slurm: Slurm) -> tuple[list[Scenario], stage_times.Times, int]:
    """Return (the evidence's graph with measured times: as it ran, and as Slurm jobs; the times; stages that have one)."""
    times = stage_times.read(root / stage_times.FILE)
    chosen = stage_times.stages_of_evidence(plan.load(root))
    place = {s.digest: i for i, s in enumerate(chosen)}
    parents = [tuple(sorted({place[p.digest] for p in s.parents})) for s in chosen]
    bare = [Task(exact(times.seconds(s)), 1, p) for s, p in zip(chosen, parents)]
    begun = [Task(t.seconds + exact(times.starts[resources.work(s)]), 1, t.parents) for t, s in zip(bare, chosen)]
    groups = cluster_cost.chunks([s.kind for s in chosen], slurm.groups)
    job = exact(times.starts["job"])
    jobs = [Task(t.seconds + job, 1, t.parents) for t in schedule.grouped(begun, groups, slurm.side_by_side)]
    return scenarios(bare, jobs, a, slurm), times, sum(s.identity in times.of for s in chosen)


def cluster_scenarios(found: Sequence[Need], a: Assumptions, slurm: Slurm) -> list[Scenario]:
    """Return the cluster's graph with estimated times: without the queue, and as Slurm jobs."""
    jobs = cluster_cost.tasks(found, a, slurm.groups, slurm.side_by_side)
    return scenarios(cluster_cost.tasks(found, a), jobs, a, slurm)


def scenarios(bare: list[Task], jobs: list[Task], a: Assumptions, slurm: Slurm) -> list[Scenario]:
    """Return the ways to submit a graph: its stages alone, in either order, and as Slurm jobs."""
    return [
        Scenario("stages alone", bare),
        Scenario("the same, longest chain first", bare, longest_first=True),
        Scenario("Slurm jobs, no limit", jobs, a.queue),
        Scenario(f"Slurm jobs, {slurm.at_once} at once", jobs, a.queue, slurm.at_once),
    ]
