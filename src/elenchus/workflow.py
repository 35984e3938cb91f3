"""What the Snakefile needs from the library: the checked plan, and one workflow at a time."""

from __future__ import annotations

import fcntl
import gc
import getpass
import json
import os
import socket
import sys
from pathlib import Path
from typing import NoReturn

from elenchus import plan as planning
from elenchus.errors import UserError, to_make_writable

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
        refuse(f"{folder}: cannot write here ({e.strerror}). {to_make_writable(folder)}")
    try:
        fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        f.seek(0)
        refuse(running(f.read(), root))
    f.truncate(0)
    f.write(json.dumps({"process": os.getpid(), "user": user(), "host": socket.gethostname()}))
    f.flush()
    _held.append(f)


def running(said: str, root: Path) -> str:
    """Return the words about the snakemake that holds the lock of `root`; said: what it wrote there.

    It may be on another login node, where the number of its process means something, and another user's.
    """
    try:
        holder = json.loads(said)
        process, of, host = (holder[key] for key in ("process", "user", "host"))
    except (ValueError, KeyError, TypeError):  # it has not written yet
        return f"another snakemake runs in {root}. Wait until it ends"
    kill = f"kill {process}" if host == socket.gethostname() else f"ssh {host} kill {process}"
    stop = f"stop it with\n  {kill}" if of == user() else f"ask {of} to stop it"
    return f"another snakemake (process {process} of {of} on {host}) runs in {root}. Wait until it ends, or {stop}"


def user() -> str:
    """Return the user's name, or number where it has no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
