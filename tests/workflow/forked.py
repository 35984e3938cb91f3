"""Runs a project's stages in forks of one process that has imported everything once: the same results as through
Snakemake, without seven seconds of imports for each of hundreds of microscopic stages.

    python tests/workflow/forked.py <recipe> ...     # in a project's folder; the stages of the recipes' evidence
"""

from __future__ import annotations

import os
import sys
import time
import traceback
from pathlib import Path

from elenchus import plan as planning
from elenchus import stages
from elenchus.environment import quiet


def preload() -> None:
    """Import what stages import, before any thread starts."""
    quiet()
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer  # noqa: F401
    from trl import DPOTrainer, GRPOTrainer, SFTTrainer  # noqa: F401

    assert torch.get_num_threads() >= 1


def child(spec: dict, log: Path) -> None:
    """Run one stage in this fork and end it."""
    from elenchus.run_stage import run

    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as f:
        os.dup2(f.fileno(), 1)
        os.dup2(f.fileno(), 2)
    code = 0
    try:
        run(spec)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def run_all(root: Path, recipes: list[str], cores: int = 2, seeds: list[int] | None = None) -> list[str]:
    """Run every stage of the recipes' evidence in `root`; return the logs of those that failed."""
    whole = planning.load(root)
    wanted = {s.digest: s for name in recipes for s in whole.evidence(name).stages}
    if seeds is not None:
        wanted = {d: s for d, s in wanted.items() if s.seed is None or s.seed in seeds}
        wanted = {d: s for d, s in wanted.items() if all(p.digest in wanted for p in s.parents)}
    done = {d for d, s in wanted.items() if (root / s.manifest).exists()}
    running: dict[int, tuple[str, int]] = {}
    failed: list[str] = []
    os.chdir(root)
    while len(done) < len(wanted):
        ready = [
            s
            for d, s in wanted.items()
            if d not in done
            and d not in failed
            and d not in {r for r, _ in running.values()}
            and {p.digest for p in s.parents} <= done
        ]
        free = cores - sum(n for _, n in running.values())
        for s in ready:
            need = min(stages.load(s.kind).THREADS, cores)
            if need > free:
                continue
            pid = os.fork()
            if pid == 0:
                child(s.spec(), Path(f"results/log/{s.kind}/{s.digest}.log"))
            running[pid] = (s.digest, need)
            free -= need
        if not running:
            break
        pid, status = os.wait()
        digest, _ = running.pop(pid)
        s = wanted[digest]
        print(
            f"{time.strftime('%H:%M:%S')} {len(done) + 1}/{len(wanted)} {s.kind} {digest} {whole.label(digest)} -> {status}",
            flush=True,
        )
        if status == 0:
            done.add(digest)
        else:
            failed.append(digest)
    return [f"results/log/{wanted[d].kind}/{d}.log" for d in failed]


if __name__ == "__main__":
    preload()
    chosen = [a for a in sys.argv[1:] if not a.startswith("--")]
    only = [int(a.partition("=")[2]) for a in sys.argv[1:] if a.startswith("--seed=")]
    logs = run_all(Path.cwd(), chosen, seeds=only or None)
    for path in logs:
        print(f"== {path}\n{Path(path).read_text()[-3000:]}")
    sys.exit(1 if logs else 0)
