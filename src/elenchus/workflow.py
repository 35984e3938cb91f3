"""What the Snakefile needs from the library: the checked plan, and one workflow at a time."""

from __future__ import annotations

import fcntl
import gc
import os
import sys
from pathlib import Path
from typing import NoReturn

from elenchus import plan as planning
from elenchus.errors import UserError

_held = []  # lock files kept open for the life of the process


def checked_plan(root: Path, overrides: dict) -> planning.Plan:
    """Return the plan with every recipe wired and validated, or end with one plain message, before any job starts."""
    # The plan and Snakemake's graph are millions of objects that live to the end: looking through them for garbage
    # again and again took a tenth of planning 20,000 stages.
    gc.freeze()
    gc.set_threshold(500_000, 50, 50)
    try:
        plan = planning.load(root, overrides)
        _ = plan.by_digest
    except UserError as e:
        refuse(str(e))
    return plan


def refuse(message: str) -> NoReturn:
    """End Snakemake with one plain message. An exception's text would stand inside of Snakemake's own."""
    print(f"elenchus: {message}", file=sys.stderr)
    sys.exit(1)


def exclusive(root: Path) -> None:
    """Hold this folder's workflow lock, or end saying who holds it. The system frees it when the process dies, however
    it dies, so that there is never a stale lock to remove."""
    folder = root / "results"
    try:
        folder.mkdir(exist_ok=True)
        f = (folder / ".lock").open("a+")
    except OSError as e:
        refuse(f"{folder}: cannot write here ({e.strerror}). Make it writable, for example\n  chmod -R u+w {folder}")
    try:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        f.seek(0)
        holder = f.read().strip() or "unknown"
        refuse(
            f"another snakemake (process {holder}) runs in {root}. Wait until it ends, or stop it with\n  kill {holder}"
        )
    f.truncate(0)
    f.write(str(os.getpid()))
    f.flush()
    _held.append(f)
