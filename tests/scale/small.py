"""Small projects for a real Slurm: three kinds of stages of the main job, finished once without Slurm, then disturbed."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from cluster import Cluster, wait_for

from elenchus import plan

_spec = importlib.util.spec_from_file_location(
    "workflow_conftest", Path(__file__).parents[1] / "workflow" / "conftest.py"
)
workflow = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(workflow)

SAVE_STEPS = 10
PARAMS = (
    workflow.TINY[: workflow.TINY.index("seed_model:")]
    + f"""
engine: {{batch_size: 8}}
seed_model: {{width: 32, layers: 1, heads: 2, drill_steps: 120, drill_gate: 1.1, solve_steps: 40, solve_gate: 1.1,
             mixture_steps: 40, check_problems: 16, card_problems: 16, check_every: 40, save_steps: {SAVE_STEPS}}}
"""
    + workflow.TINY[workflow.TINY.index("elenchus:\n") :].replace("test_samples: 8", "test_samples: 64")
)
# Waiting that a real cluster needs, cut short.
QUICK = ("--slurm-init-seconds-before-status-checks=2", "--latency-wait=15")


def project(folder: Path, params: str = PARAMS) -> Path:
    """Return `folder` as a project with the main recipe alone."""
    workflow.new_project(folder, params)
    for recipe in (folder / "workflow/recipes").glob("[!_]*.py"):
        if recipe.stem != "elenchus":
            recipe.unlink()
    return folder


def named(folder: Path, name: str):
    """Return the stage of the main job that people know as `name`."""
    return next(n.stage for n in plan.load(folder).recipe("elenchus").named if n.name == name)


def stages(folder: Path) -> dict:
    """Return {name: stage}: "train" (the seed model), "sample" (test solutions), "evaluate" (of these)."""
    named = {n.name: n.stage for n in plan.load(folder).recipe("elenchus").named if n.arm == "shared"}
    found = {"train": named["seed-model"], "sample": named["test-solutions"]}
    measured = [s for s in plan.load(folder).recipe("elenchus").stages if s.kind == "evaluate"]
    wanted = found["sample"].digest
    found["evaluate"] = next(s for s in measured if len(s.parents) == 2 and wanted in [p.digest for p in s.parents])
    return found


def copy_without(finished: Path, folder: Path, *kinds: str) -> Path:
    """Return a copy of the finished project in which the results of `kinds` are still to be made."""
    shutil.copytree(finished, folder, symlinks=True, ignore=shutil.ignore_patterns(".snakemake", ".lock"))
    for kind in kinds:
        shutil.rmtree(folder / "results" / kind)
        shutil.rmtree(folder / "results/log" / kind, ignore_errors=True)
    return folder


@contextlib.contextmanager
def snakemake(folder: Path, cluster: Cluster, *arguments: str, first: str = "") -> Iterator[Run]:
    """Yield a running `snakemake --profile slurm`; at the end nothing of it is left. first: a folder before all on PATH."""
    path = f"{first}:{Path(sys.executable).parent}:{cluster.environment['PATH']}".lstrip(":")
    log = folder / f"snakemake-{time.monotonic_ns()}.log"
    with log.open("w") as f:
        process = subprocess.Popen(
            ["snakemake", "--profile", "slurm", *QUICK, *arguments],
            cwd=folder,
            env={**workflow.environment(), **cluster.environment, "ELENCHUS_REQUEUE_EVERY": "3", "PATH": path},
            stdout=f,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Run(folder, process, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class Run:
    """A running workflow: its process, and what it has said."""

    def __init__(self, folder: Path, process: subprocess.Popen, log: Path) -> None:
        self.folder, self.process, self.log = folder, process, log

    @property
    def said(self) -> str:
        """Return all output so far."""
        return self.log.read_text()

    def until(self, condition, what: str, seconds: float = 400) -> object:
        """Return condition()'s first true value while the workflow runs."""

        def looked():
            assert self.process.poll() is None, f"ended before {what}:\n{self.said[-4000:]}"
            return condition()

        return wait_for(looked, seconds, f"{what}; so far:\n{self.said[-3000:]}")

    def ends(self, seconds: float = 500) -> int:
        """Return the exit code; TimeoutExpired where it does not end."""
        return self.process.wait(timeout=seconds)


def told(folder: Path, kind: str) -> str:
    """Return the log of the one stage of `kind`, "" before it says anything."""
    return "".join(p.read_text() for p in sorted((folder / "results/log" / kind).glob("*.log")))


def checkpoint(folder: Path) -> list[Path]:
    """Return the training's checkpoint, if there is one."""
    return sorted((folder / "results/.work/seed_model").glob("*/checkpoints/checkpoint-*[0-9]"))
