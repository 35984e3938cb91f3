"""A stage's work in parts: fixed slices of its input, each made and kept for itself, joined in order at the end.

Which parts there are, and every byte of each, depends on parameters and inputs only. So a killed stage goes on behind its
last part, and several jobs (shards) can make the parts of one stage side by side. Memory is that of a part.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elenchus import tables
from elenchus.errors import UserError

if TYPE_CHECKING:
    from elenchus.engines import Engine
    from elenchus.job import Job

Rows = dict[str, list[dict]]  # table -> rows
Make = Callable[[Any], Rows]  # a task -> the rows of its part


def make(
    job: Job, outputs: Sequence[str], tasks: Sequence, begin: Callable[[], tuple[Make, Sequence[Engine]]], what: str
) -> None:
    """Make a part of each task, and write the tables `outputs`: the parts in the order of the tasks.

    begin: opens the engines and returns (make, engines); called only where there is a part to make. what: the tasks'
    items in words, for progress. A job that is a shard makes its share of the parts and writes nothing.
    """
    first, shards = job.shard or (0, 1)
    mine = range(first, len(tasks), shards)
    todo = [] if job.joins else [k for k in mine if not (folder(job, k) / "part.json").exists()]
    write, engines = begin() if todo else (None, ())
    for k in todo:
        before = spent(job, engines)
        rows = write(tasks[k])
        keep(job, k, rows, {key: n - before[key] for key, n in spent(job, engines).items()})
        job.progress(sum(i <= k for i in mine), len(mine), f"parts of {what}")
    if job.shard is None:
        join(job, outputs, len(tasks), set(todo))


def spent(job: Job, engines: Sequence[Engine]) -> dict[str, float]:
    """Return what this process has spent so far: the job's costs, the engines' tokens, seconds."""
    cost = {**asdict(job.cost), "seconds": time.monotonic(), "cpu_seconds": time.process_time()}
    cost["sampled"] += sum(e.sampled_tokens for e in engines)
    cost["prompt"] += sum(e.prompt_tokens for e in engines)
    return cost


def folder(job: Job, part: int) -> Path:
    """Return where a part is kept until its stage is complete."""
    return job.work / "parts" / f"{part:06d}"


def keep(job: Job, part: int, rows: Rows, cost: dict[str, float]) -> None:
    """Keep a part: complete, or not there."""
    goal = folder(job, part)
    aside = goal.with_name(f".{goal.name}.{os.getpid()}")
    aside.mkdir(parents=True)
    for name, own in rows.items():
        tables.write(name, own, aside / f"{name}.parquet")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (aside / "part.json").write_text(json.dumps({**cost, "peak_memory_mb": round(peak, 1)}))
    shutil.rmtree(goal, ignore_errors=True)
    os.replace(aside, goal)


def join(job: Job, outputs: Sequence[str], parts: int, here: set[int]) -> None:
    """Write the tables `outputs` from its parts, and add up what they took; `here`: the parts that this process made."""
    lost = [k for k in range(parts) if not (folder(job, k) / "part.json").exists()]
    if lost:
        raise UserError(
            f"part {lost[0]} of {parts} is not there, which a shard had made. Remove what is left of them and run again:\n"
            f"  rm -r {job.markers}"
        )
    total = dict.fromkeys(asdict(job.cost), 0)
    for k in range(parts):
        cost = json.loads((folder(job, k) / "part.json").read_text())
        for key in total:
            total[key] += int(cost[key])
        if k not in here:
            job.elsewhere["seconds"] += cost["seconds"]
            job.elsewhere["cpu_seconds"] += cost["cpu_seconds"]
            job.elsewhere["peak_memory_mb"] = max(job.elsewhere["peak_memory_mb"], cost["peak_memory_mb"])
    job.cost = type(job.cost)(**total)
    for name in outputs:
        tables.join(name, [folder(job, k) / f"{name}.parquet" for k in range(parts)], job.out / f"{name}.parquet")
