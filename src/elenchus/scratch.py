"""Node-local scratch: a stage writes on the node's own disk, and only what is finished goes to the shared results.

ELENCHUS_SCRATCH names a folder of the node that runs the stage; variables in it, such as $SLURM_TMPDIR, are the job's. It
changes where outputs are written, never what they are. Checkpoints stay with the results: they must survive the node.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from elenchus.errors import UserError
from elenchus.job import check_file, file_entries

VARIABLE = "ELENCHUS_SCRATCH"
MEND = f"Name a folder that every node has, or none:\n  export {VARIABLE}='$SLURM_TMPDIR'\n  unset {VARIABLE}"


def folder() -> Path | None:
    """Return the scratch folder of this node, None where none is named; UserError where it cannot be used."""
    named = os.environ.get(VARIABLE, "")
    if not named:
        return None
    found = Path(os.path.expandvars(named)).expanduser()
    if "$" in str(found):
        wrong = f"a variable in it is not set on node {socket.gethostname()}"
    elif not found.is_absolute():
        wrong = "not an absolute path"
    elif not found.is_dir():
        wrong = f"no such folder on node {socket.gethostname()}"
    elif not os.access(found, os.W_OK | os.X_OK):
        wrong = f"not writable on node {socket.gethostname()}"
    else:
        return found
    raise UserError(f"{VARIABLE}={named}: {wrong}. {MEND}")


@contextlib.contextmanager
def outputs(aside: Path, wanted: bool = True) -> Iterator[Path]:
    """Yield an empty folder for a stage's outputs: on scratch where there is one and it is `wanted`, else `aside`.

    What is on scratch goes when the stage ends, however it ends; what a killed one left there goes when the stage runs on
    that node again. Its name holds the results' path, so that two projects on one node never meet.
    """
    base = folder() if wanted else None
    if base is None:
        aside.mkdir(parents=True)
        yield aside
        return
    project = hashlib.sha256(str(aside.resolve().parent).encode()).hexdigest()[:16]
    prefix = f"elenchus-{project}-{aside.parent.name}.{aside.name}."  # a shard leaves the others' alone
    for left in base.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    out = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
    try:
        yield out
    except FileNotFoundError as e:
        if not out.is_dir():
            raise UserError(f"{out}: the scratch folder was removed while the stage ran. {MEND}") from e
        raise
    finally:
        shutil.rmtree(out, ignore_errors=True)


def bring(out: Path, aside: Path) -> None:
    """Copy a stage's finished outputs from scratch to `aside` on the results' file system, every byte checked there."""
    if out == aside:
        return
    for name, entry in file_entries(out).items():
        (aside / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(out / name, aside / name)
        check_file(aside / name, entry)


def room(results: Path) -> str:
    """Return, for a message about a full disk, how much is free on scratch and beside the results; "" without scratch."""
    try:
        base = folder()
        if base is None:
            return ""
        free = {p: shutil.disk_usage(p).free / 1e9 for p in (base, results)}
    except (OSError, UserError):
        return ""
    return f" ({free[base]:.1f} GB free in {VARIABLE}={base}, {free[results]:.1f} GB in {results})"
