"""One of the processes of a stage: `python -m elenchus.training.worker <folder>`, started by `agent.py`.

All run the stage's kind; what is trained makes them meet (`loop.fit`), and all but the first end with the training. What the
stage's process has to know is left in the folder: costs, or the error in words.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from elenchus import stages
from elenchus.environment import torch_setup
from elenchus.errors import UserError
from elenchus.training.agent import die_with_parent

TERMINATED = 128 + signal.SIGTERM


class Marked:
    """A stream whose lines begin with the rank that writes them."""

    def __init__(self, stream: TextIO, mark: str):
        self.stream, self.mark, self.fresh = stream, mark, True

    def write(self, text: str) -> int:
        """Write `text`, the mark before each line."""
        for line in text.splitlines(keepends=True):
            self.stream.write(f"{self.mark}{line}" if self.fresh else line)
            self.fresh = line.endswith("\n")
        return len(text)

    def __getattr__(self, name: str):
        return getattr(self.stream, name)


def main(folder: str) -> int:
    """Run this process's part and return its exit code."""
    die_with_parent(signal.SIGTERM)
    exchange, rank = Path(folder), int(os.environ["RANK"])
    given = json.loads((exchange / "job.json").read_text())
    spec, results = given["spec"], Path(given["results"])
    if rank:
        sys.stderr = Marked(sys.stderr, f"  rank {rank}: ")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))

    def tell(**what) -> None:
        aside = exchange / f"rank-{rank:05d}.part"
        aside.write_text(json.dumps({"rank": rank, "time": time.time(), **what}))
        os.replace(aside, aside.with_suffix(".json"))

    try:
        module = stages.load(spec["kind"])
        torch_setup(module.THREADS)
        check_gpus(given["machine"])
        from elenchus.run_stage import job_of, plain_disk_errors
        from elenchus.training import parallel

        parallel.start(given["machine"]["strategy"])
        with plain_disk_errors(results):
            job = job_of(spec, results, Path(given["out"]))
            module.run(job)
        tell(cost=asdict(job.cost))
    except UserError as e:
        tell(error=str(e), plain=True)
        return 1
    except SystemExit as e:
        if e.code == TERMINATED:
            tell(stopped=True)
        return e.code or 0
    except BaseException as e:
        traceback.print_exc()
        tell(error=f"{type(e).__name__}: {e}".splitlines()[0], plain=False)
        return 1
    return 0


def check_gpus(machine: dict) -> None:
    """Raise UserError where this node has GPUs, but fewer than processes."""
    import torch

    found = torch.cuda.device_count()
    if 0 < found < machine["processes"]:
        raise UserError(
            f"training.processes: {machine['processes']} processes on a node with {found} GPUs; each takes one. In "
            f"params.yaml:\n  training: {{processes: {found}}}"
        )


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # threads of torch and of the process group can take seconds to wind down
