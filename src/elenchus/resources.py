"""What a stage asks a cluster for: memory, time, GPUs. The one definition; the Slurm profile's `set-resources` overrules it.

What a stage needs follows from its kind and from what it starts from: it trains, it writes with a model, or it only
moves tables; and the model is the small one that the workflow makes itself, or a pretrained one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from elenchus import stages
from elenchus.graph import Stage
from elenchus.training.scale import Choice, Machine, spreads

SITE = ("slurm_partition", "slurm_account", "gpu_partition", "gpu_type")  # the first block of the Slurm profile
MOST_MINUTES = 7 * 24 * 60  # few partitions allow more than a week


@dataclass(frozen=True)
class Need:
    """Memory (MB), time (minutes) and GPUs of a first attempt; later ones get more memory and time."""

    mem_mb: int
    minutes: int
    gpu: int = 0


# Peaks at the laptop scale are 0.4 to 1.4 GB (cost.json), and each job adds two Snakemake processes of 0.3 GB.
# On a pretrained model of 3 to 14 billion parameters: weights pass through memory in float32, checkpoints with AdamW's.
NEEDS = {
    ("tables", "small"): Need(2500, 20),
    ("writes", "small"): Need(3000, 60),
    ("trains", "small"): Need(4000, 60),
    ("tables", "pretrained"): Need(16_000, 60),
    ("writes", "pretrained"): Need(64_000, 8 * 60, gpu=1),
    ("trains", "pretrained"): Need(128_000, 24 * 60, gpu=1),
}


def work(stage: Stage) -> str:
    """Return what a stage does: "trains", "writes" (computes with a model) or "tables"."""
    if stages.trains(stage.kind):
        return "trains"
    return "writes" if stages.writes(stage.kind, stage.inputs) else "tables"


def model(stage: Stage) -> str:
    """Return which model a stage goes back to: "pretrained", or "small" (also where there is none)."""
    return "pretrained" if stage.pretrained else "small"


def need(stage: Stage) -> Need:
    """Return what the first attempt of a stage asks for."""
    return NEEDS[work(stage), model(stage)]


def processes(stage: Stage, training: Choice) -> tuple[int, int]:
    """Return (processes on a node, nodes) of a stage; training: the section of params.yaml."""
    own = training.of_model(stage.pretrained) if spreads(stage.kind) else Machine()
    return own.processes, own.nodes


def threads(stage: Stage, training: Choice) -> int:
    """Return the cores of a node that a stage keeps busy: its threads, in each of its processes there."""
    return stages.load(stage.kind).THREADS * processes(stage, training)[0]


def asked(
    stage: Stage, what: str, attempt: int, site: Mapping[str, str], training: Choice | None = None, joins: bool = False
) -> int | str | None:
    """Return one of Snakemake's resources of a stage: mem_mb, runtime, gpu, gpu_model, slurm_partition; None: not asked.

    Of a trainer on several nodes also nodes, tasks, mpi, gres, tasks_per_gpu: one task on each node, GPUs counted by node,
    and no `srun` around the job, which starts its own (`training/launch.py`). Memory is a node's.
    site: the first block of the Slurm profile; training: the section of params.yaml.
    A job that failed may have lacked memory or time: attempt by attempt it asks for twice the memory and for as many times
    the minutes. joins: shards have done the stage's work but for joining.
    """
    does = "tables" if joins else work(stage)
    n = NEEDS[does, model(stage)]
    each, nodes = processes(stage, training or Choice())
    kind_of_gpu = site.get("gpu_type") if n.gpu and site.get("gpu_type") not in (None, "none") else None
    several = nodes > 1
    return {
        "mem_mb": n.mem_mb * 2 ** (attempt - 1) * (1 if n.gpu else each),
        "runtime": min(n.minutes * attempt, MOST_MINUTES),
        "gpu": n.gpu * each or None if not several else None,
        "gpu_model": kind_of_gpu if not several else None,
        "gres": f"gpu:{kind_of_gpu + ':' if kind_of_gpu else ''}{each}" if several and n.gpu else None,
        "tasks_per_gpu": 0 if several and n.gpu else None,  # the plugin would ask for as many as `tasks`
        "nodes": nodes if several else None,
        "tasks": nodes if several else None,
        "mpi": "srun" if several else None,
        "slurm_partition": site.get("gpu_partition") if n.gpu else site.get("slurm_partition"),
        "light": int(does == "tables"),
    }[what]
