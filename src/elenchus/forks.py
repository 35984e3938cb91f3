"""Stages in forks of one process that has imported everything once: for plans of hundreds of small stages on one machine.

A job of Snakemake's is a process of its own, which imports torch and its company for seconds before it works for one.
Here the same stages of the same plan run through the same `run_stage`, so that their results are the same and Snakemake
finds them done; it makes the records. Peak memory in costs includes what the parent imported.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from elenchus import stages
from elenchus.environment import quiet
from elenchus.errors import UserError
from elenchus.graph import RESULTS, Stage

Say = Callable[[str], None]


def preload() -> None:
    """Import what stages import; no thread may start here, since forks do not inherit them."""
    quiet()
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import torch  # noqa: F401
    from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer  # noqa: F401
    from trl import DPOTrainer, GRPOTrainer, SFTTrainer  # noqa: F401


def of_seeds(wanted: Iterable[Stage], seeds: Iterable[int]) -> list[Stage]:
    """Return the stages, given parents first, that need no other seed than these."""
    chosen, kept = set(seeds), {}
    for s in wanted:
        if (s.seed is None or s.seed in chosen) and all(p.digest in kept for p in s.parents):
            kept[s.digest] = s
    return list(kept.values())


def run(
    root: Path,
    wanted: Iterable[Stage],
    cores: int,
    label: Callable[[str], str],
    say: Say = print,
    machine: Callable[[Stage], dict] = lambda stage: {},
) -> None:
    """Run what is to do of `wanted`, closed under parents, on so many cores; each stage's output goes to its log.

    machine: what the job of a stage is told beside its parameters (`Config.machine`).
    A failed stage stops those that need it and no others. UserError at the end names the logs of all that failed.
    SIGTERM and Ctrl-C end the forks by SIGTERM, at which trainers save; the same call goes on.
    """
    todo = {s.digest: s for s in wanted if not (root / s.manifest).exists()}
    total, ended, running, free = len(todo), 0, {}, cores
    failed: list[Stage] = []
    lost: set[str] = set()  # failed, or in need of one that failed
    say(f"{total} stages to run on {cores} cores")
    os.chdir(root)
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        while todo or running:
            awaited = todo.keys() | {s.digest for s, *_ in running.values()}
            for s in list(todo.values()):  # parents first, so that a loss reaches all that it concerns in one pass
                parents = {p.digest for p in s.parents}
                need = min(stages.load(s.kind).THREADS, cores)
                if parents & lost:
                    lost.add(s.digest)
                    del todo[s.digest]
                elif need <= free and not parents & awaited:
                    running[fork(s, machine(s))] = (s, need, time.monotonic())
                    free -= need
                    del todo[s.digest]
            if running:
                pid, status = os.wait()
                s, need, since = running.pop(pid)
                free, ended = free + need, ended + 1
                if status:
                    failed.append(s)
                    lost.add(s.digest)
                how = f"failed: see {log_of(s)}" if status else f"{time.monotonic() - since:.1f} s"
                say(f"{time.strftime('%H:%M:%S')}  {ended} of {total}  {s.kind}  {label(s.digest)}  {how}")
    finally:
        signal.signal(signal.SIGTERM, before)
        stop(running)
    if failed:
        without = len(lost) - len(failed)
        raise UserError(
            f"{len(failed)} stages failed, {without} that need them did not run; the reasons are in\n  "
            + "\n  ".join(str(log_of(s)) for s in failed)
        )


def fork(stage: Stage, machine: dict) -> int:
    """Start a stage in a fork of this process and return its process id."""
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        from elenchus.run_stage import main

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C, and ends its forks by SIGTERM
        log = log_of(stage)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as f:
            os.dup2(f.fileno(), 1)
            os.dup2(f.fileno(), 2)
        code = main({**stage.spec(), "machine": machine})
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def log_of(stage: Stage) -> Path:
    """Return where a stage's output goes, as in the rules."""
    return RESULTS / "log" / stage.kind / f"{stage.digest}.log"


def stop(running: dict[int, tuple]) -> None:
    """End the forks that still run, and wait for them."""
    for pid in running:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    for pid in running:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
