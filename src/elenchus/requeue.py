"""Jobs that Slurm took away for good, put back into its queue while Snakemake runs.

A job preempted where the partition's PreemptMode is CANCEL, or whose node failed where jobs are not requeued, stays in a
final state that Snakemake's Slurm plugin takes for "will go on": Snakemake would wait for ever. Requeued, the job keeps
its id, so that Snakemake simply goes on waiting, now for something that comes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

LOST = ("PREEMPTED", "NODE_FAIL")
EVERY = 30.0  # seconds; Slurm remembers a job that ended for MinJobAge, 300 s where the site has not changed it
PATIENCE = 60.0  # seconds for one command: a busy controller is slow


def watch(root: Path, every: float = EVERY) -> threading.Thread:
    """Start and return the thread that requeues lost jobs of the workflow at `root`, submitted from now on."""
    every = float(os.environ.get("ELENCHUS_REQUEUE_EVERY", every))  # tests have no half minute
    thread = threading.Thread(target=_run, args=(root.resolve(), time.time(), every), daemon=True, name="requeue")
    thread.start()
    return thread


def lost(root: Path, since: float) -> list[tuple[str, str]]:
    """Return (job id, state) of the jobs submitted from `root` after `since` that Slurm took away; none where it cannot say."""
    command = ["squeue", "--noheader", f"--states={','.join(LOST)}", "--format=%i|%T|%V|%Z"]
    found = []
    for line in _ask(command).splitlines():
        job, state, submitted, folder = line.split("|", 3)
        if state in LOST and folder == str(root) and _seconds(submitted) >= since - 1:
            found.append((job, state))
    return found


def requeue_lost(root: Path, since: float) -> list[str]:
    """Requeue what `lost` finds, say so on stderr, and return the ids."""
    done = []
    for job, state in lost(root, since):
        if _ask(["scontrol", "requeue", job], wanted=True) is not None:
            print(f"Slurm job {job} was lost ({state}): requeued, it goes on from its checkpoint", file=sys.stderr)
            done.append(job)
    return done


def _run(root: Path, since: float, every: float) -> None:
    while True:
        time.sleep(every)
        requeue_lost(root, since)


def _ask(command: list[str], wanted: bool = False) -> str | None:
    """Return what a command prints; where it fails "", or None and a word on stderr if it was `wanted`."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True)
    except (OSError, subprocess.SubprocessError) as e:
        if not wanted:
            return ""
        told = getattr(e, "stderr", None) or str(e)
        print(f"{' '.join(command)} failed: {told.strip()}", file=sys.stderr)
        return None
    return done.stdout


def _seconds(stamp: str) -> float:
    """Return Slurm's local time "2026-01-31T12:00:00" as seconds since 1970; 0 where it is none ("N/A")."""
    try:
        return time.mktime(time.strptime(stamp, "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return 0.0
