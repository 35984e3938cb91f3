"""Starts and watches the processes of one node: `python -m elenchus.training.agent <folder> [<host>:<port>]`.

torch's elastic launcher does the work: where one process fails it ends the others; SIGTERM goes on to all.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

GRACE = 3600  # seconds that trainers may take to save after SIGTERM; a cluster's own limit comes first


def main(folder: str, endpoint: str = "") -> int:
    """Run the workers of this node on the job in `folder` and return the exit code; a failure is written there too."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    die_with_parent(signal.SIGTERM)
    exchange = Path(folder)
    machine = json.loads((exchange / "job.json").read_text())["machine"]
    config = LaunchConfig(
        min_nodes=machine["nodes"],
        max_nodes=machine["nodes"],
        nproc_per_node=machine["processes"],
        run_id=os.environ.get("SLURM_JOB_ID", "elenchus"),
        rdzv_backend="c10d",
        rdzv_endpoint=endpoint or "localhost:0",
        rdzv_configs={"join_timeout": 300},
        max_restarts=0,
        monitor_interval=0.2,
        shutdown_timeout=GRACE,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "elenchus.training.worker", folder)
    except ChildFailedError as e:
        # what a signal killed is the cause; the others' broken connections follow from it, in the same second
        alive = {r: f.exitcode >= 0 or f.exitcode == -signal.SIGTERM for r, f in e.failures.items()}
        rank, failed = min(e.failures.items(), key=lambda item: (alive[item[0]], item[1].timestamp, item[0]))
        name = signal.Signals(-failed.exitcode).name if failed.exitcode < 0 else ""
        found = {"rank": rank, "code": failed.exitcode, "signal": name, "time": failed.timestamp}
        (exchange / f"agent-{os.environ.get('SLURM_NODEID', '0')}.json").write_text(json.dumps(found))
        return 1
    except SignalException:
        return 128 + signal.SIGTERM
    except Exception as e:  # the launcher's own: the processes of several nodes did not find each other, for one
        print(f"  the launcher failed at {time.strftime('%H:%M:%S')}: {e}", file=sys.stderr, flush=True)
        return 1
    return 0


def die_with_parent(number: int) -> None:
    """Let the kernel send this process a signal when its parent is gone (Linux): nothing goes on training unseen."""
    import ctypes

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, int(number))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
