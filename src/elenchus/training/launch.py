"""A trainer stage in several processes: the stage's own process starts them and waits; the first of them writes.

On one node `agent.py` starts the processes through torch's elastic launcher (torchrun's library). On several nodes `srun`
starts one agent on each, inside the stage's Slurm job; they meet at the first node's address.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from elenchus import stages
from elenchus.errors import UserError
from elenchus.job import Job
from elenchus.training.scale import Machine, spreads

TERMINATED = 128 + signal.SIGTERM
LOST = 60  # seconds that are left to all processes once one agent has failed; Slurm's own limit, KillWait, is mostly 30


def wanted(spec: dict) -> Machine | None:
    """Return how many processes a stage's specification asks for; None where one is enough."""
    if not spreads(spec["kind"]):
        return None
    machine = Machine.model_validate(spec.get("machine", {}).get("training", {}))
    return machine if machine.world > 1 else None


def run(machine: Machine, spec: dict, results: Path, job: Job, aside: Path) -> None:
    """Run the stage `spec` in `machine.world` processes; outputs are in `job.out`, costs in `job.cost`.

    UserError says in one sentence what a process failed of; SystemExit(143) where they stopped at SIGTERM.
    """
    machine.check_batch(spec["kind"], spec["params"])
    exchange = aside / "processes"
    shutil.rmtree(exchange, ignore_errors=True)
    exchange.mkdir(parents=True)
    given = {
        "spec": spec,
        "results": str(results.resolve()),
        "machine": machine.model_dump(),
        "out": str(job.out.resolve()),
    }
    (exchange / "job.json").write_text(json.dumps(given))
    process = subprocess.Popen(command(machine, exchange), env=environment_of(spec["kind"]), start_new_session=True)
    stopped = []

    def stop(signum, frame):
        stopped.append(signum)
        process.send_signal(signal.SIGTERM)  # the agent hands it on, and trainers save

    before = {s: signal.signal(s, stop) for s in (signal.SIGTERM, signal.SIGINT)} if in_main_thread() else {}
    try:
        code = end_of(process, exchange)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if process.poll() is None:
            process.kill()
    told = [json.loads(p.read_text()) for p in sorted(exchange.glob("rank-*.json"))]
    if code:
        if stopped or any(t.get("stopped") for t in told):
            raise SystemExit(TERMINATED)
        raise UserError(failure(machine, told, exchange))
    done = next((t for t in told if t["rank"] == 0), None)
    if done is None or "cost" not in done:
        raise UserError(f"the {machine.world} processes ended without a result; the stage's log says more")
    for name, value in done["cost"].items():
        setattr(job.cost, name, value)


def end_of(process: subprocess.Popen, exchange: Path) -> int:
    """Return the exit code of what started the processes; where it waits for a process that is gone, it is killed.

    srun ends the others when one fails, and then waits for word from each node. A node whose slurmstepd was killed sends
    none, and the job would stay until its time limit.
    """
    failed = None
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=0.5)
        if failed is None and any(exchange.glob("agent-*.json")):
            failed = time.monotonic()
        if failed is not None and time.monotonic() - failed > LOST:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            print(
                f"  a node has not said for {LOST} seconds how its processes ended: given up",
                file=sys.stderr,
                flush=True,
            )
            return process.wait()


def in_main_thread() -> bool:
    """Return whether signals can be had."""
    import threading

    return threading.current_thread() is threading.main_thread()


def failure(machine: Machine, told: list[dict], exchange: Path) -> str:
    """Return in plain words what ended the processes: the first one's own message, or how it died."""
    said = sorted((t for t in told if "error" in t), key=lambda t: (not t["plain"], t["time"]))
    if said and said[0]["plain"]:
        return said[0]["error"]
    deaths = [json.loads(p.read_text()) for p in sorted(exchange.glob("agent-*.json"))]
    dead = min((d for d in deaths if "rank" in d), key=lambda d: d["time"], default=None)
    if dead is not None and dead["signal"]:
        hint = "; most often too little memory" if dead["signal"] == "SIGKILL" else ""
        what = f"rank {dead['rank']} of {machine.world} was ended by {dead['signal']}{hint}"
    elif said:
        what = f"rank {said[0]['rank']} of {machine.world} failed: {said[0]['error']}"
    elif dead is not None:
        what = f"rank {dead['rank']} of {machine.world} ended with exit code {dead['code']}"
    else:
        what = f"the {machine.world} processes could not be started"
    return f"{what}. The other ranks were stopped; the stage goes on from its last checkpoint when it is run again"


def command(machine: Machine, exchange: Path) -> list[str]:
    """Return the command that starts the processes: an agent here, or one on each node of the Slurm job."""
    agent = [sys.executable, "-m", "elenchus.training.agent", str(exchange.resolve())]
    if machine.nodes == 1:
        return agent
    if "SLURM_JOB_ID" not in os.environ:
        raise UserError(
            f"training.nodes: {machine.nodes} nodes are had through Slurm only, and this is no Slurm job. Run\n"
            "  snakemake --profile slurm\nor train on this machine alone, in params.yaml:\n  training: {nodes: 1}"
        )
    if shutil.which("srun") is None:
        raise UserError("training.nodes: srun is not on this node's PATH, and starts the processes of the others")
    return [*srun(machine), *agent, f"{socket.gethostname()}:{free_port()}"]


def srun(machine: Machine) -> list[str]:
    """Return srun with what starts one agent on each node and ends all when one fails."""
    n = str(machine.nodes)
    return ["srun", f"--nodes={n}", f"--ntasks={n}", "--ntasks-per-node=1", "--kill-on-bad-exit=1", "--cpu-bind=none"]


def free_port() -> int:
    """Return a port that is free on this node now."""
    with socket.socket() as s:
        s.bind(("", 0))
        return s.getsockname()[1]


def environment_of(kind: str) -> dict[str, str]:
    """Return the environment of the processes: threads as the kind has them, the launcher quiet, this code found."""
    source = str(Path(__file__).parents[2])
    path = os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])])
    threads = str(stages.load(kind).THREADS)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": threads, "LOGLEVEL": "CRITICAL"}
