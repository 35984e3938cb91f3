"""A real Slurm on this machine, as one's own: munged, slurmctld and several slurmd in a folder of their own, on ports of
their own, without an accounting database. It stops only what it started.

    python tests/scale/cluster.py <folder>       # starts one, prints the variables to set, stops it at Ctrl-C
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "sinfo", "scancel")
SBIN = ":/usr/sbin:/usr/local/sbin"

# ReturnToService=2: a node that was down is used again once its slurmd is back. SlurmdTimeout: how long a silent node is
# waited for; sites have 300 s. MinJobAge: how long a job that ended can still be asked for; sites have 300 s.
CONF = """
ClusterName=elenchus
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType={proctrack}
TaskPlugin={task}
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
ReturnToService=2
MpiDefault=none
GresTypes=gpu
SlurmdTimeout=10
SlurmctldTimeout=10
KillWait=5
MinJobAge=3600
SchedulerParameters=batch_sched_delay=0,sched_interval=2
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=cancelled Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=CANCEL
"""


@dataclass
class Cluster:
    """A running Slurm. `daemons`: what was started, by name; nothing else is ever stopped."""

    folder: Path
    nodes: tuple[str, ...]
    limits_memory: bool
    daemons: dict[str, subprocess.Popen] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Return what a user's shell has to set."""
        # bin/srun: Snakemake's plugin takes every SLURM_ variable from the environment in which it calls srun
        path = f"{self.folder}/bin:{os.environ['PATH']}{SBIN}"
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": path}

    def ask(self, *command: str) -> str:
        """Return what a Slurm command prints; CalledProcessError where it fails."""
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.strip()

    def start(self, name: str) -> None:
        """Start one daemon: "munged", "slurmctld" or a node's name. Nodes get a session of their own, jobs and all."""
        f = self.folder
        keys = f / "munge"
        command = {
            "munged": [
                *("munged", "--foreground", "--force", f"--socket={keys}/socket", f"--key-file={keys}/key"),
                *(f"--pid-file={keys}/pid", f"--log-file={keys}/log", f"--seed-file={keys}/seed"),
            ],
            "slurmctld": ["slurmctld", "-D", "-f", f"{f}/slurm.conf"],
        }.get(name, ["slurmd", "-D", "-N", name, "-f", f"{f}/slurm.conf"])
        with (f / f"{name}.out").open("ab") as out:
            self.daemons[name] = subprocess.Popen(
                command,
                env={**os.environ, **self.environment},
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Kill one daemon, as a crash does; of a node everything that runs on it too, as a power cut does."""
        daemon = self.daemons.pop(name)
        doomed = [daemon.pid, *(descendants_of(name, self.folder) if name in self.nodes else [])]
        for pid in doomed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(timeout=20)

    def stop(self) -> None:
        """Stop all that was started: jobs, nodes, controller, munged."""
        with contextlib.suppress(subprocess.SubprocessError):
            self.ask("scancel", "--user", getpass.getuser())
            wait_for(lambda: not self.ask("squeue", "-h"), 20, "jobs to end")
        for name in [*self.nodes, "slurmctld", "munged"]:
            if name in self.daemons:
                self.kill(name, signal.SIGTERM if name == "munged" else signal.SIGKILL)

    def ready(self) -> None:
        """Wait until every node is idle or at work."""
        wait_for(
            lambda: all(
                state in ("idle", "mixed", "allocated")
                for state in self.ask("sinfo", "-h", "-N", "-p", "main", "-o", "%T").split()
            ),
            60,
            f"nodes; see {self.folder}/*.log",
        )

    def jobs(self, states: str = "all") -> list[tuple[str, str, str, str]]:
        """Return (id, state, node, comment) of the jobs, the newest first."""
        told = self.ask("squeue", "-h", f"--states={states}", "-o", "%i|%T|%N|%k")
        rows = [tuple(line.split("|", 3)) for line in told.splitlines()]
        return sorted(rows, key=lambda row: -int(row[0].split("_")[0]))

    def hurry(self) -> None:
        """Let requeued jobs start at once: Slurm has them wait two minutes."""
        for job, *_ in self.jobs("pending"):
            with contextlib.suppress(subprocess.CalledProcessError):  # it has started meanwhile
                self.ask("scontrol", "update", f"jobid={job}", "starttime=now")


def missing() -> list[str]:
    """Return the commands of Slurm and munge that this machine lacks."""
    path = os.environ["PATH"] + SBIN
    return [name for name in NEEDED if shutil.which(name, path=path) is None]


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def descendants_of(node: str, folder: Path) -> list[int]:
    """Return the processes of a node: all that have its name in their environment, and their slurmstepd."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment = (entry / "environ").read_bytes().split(b"\0")
            here = f"SLURM_CONF={folder}/slurm.conf".encode() in environment
            if here and f"SLURMD_NODENAME={node}".encode() in environment:
                found.append(int(entry.name))
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if "slurmstepd" in (Path("/proc") / str(parent) / "comm").read_text():
                    found.append(parent)
    return sorted(set(found) - {os.getpid()})


def wait_for(condition: Callable[[], object], seconds: float, what: str, every: float = 0.3) -> object:
    """Return condition()'s first true value; TimeoutError that says what was waited for."""
    limit = time.monotonic() + seconds
    while True:
        with contextlib.suppress(subprocess.CalledProcessError):
            if found := condition():
                return found
        if time.monotonic() > limit:
            raise TimeoutError(f"waited {seconds:.0f} s for {what}")
        time.sleep(every)


def memory_can_be_limited() -> bool:
    """Return whether Slurm may confine jobs here: root, and a memory controller that can be written."""
    return (
        os.geteuid() == 0
        and os.access("/sys/fs/cgroup/memory", os.W_OK)
        and Path("/sys/fs/cgroup/memory/tasks").exists()
    )


@contextlib.contextmanager
def running(folder: Path, nodes: int = 3, cpus: int = 2, memory: int = 300_000, gpus: int = 2):
    """Yield a Cluster of so many nodes in `folder`, and stop it at the end.

    memory, MB of a node, and gpus are what Slurm counts, not what is there: jobs on a pretrained model ask for them. The
    device of a GPU is an empty file: Slurm gives it to jobs and counts it, and torch finds no GPU behind it.
    """
    if lacking := missing():
        raise FileNotFoundError(f"no {', '.join(lacking)} here: apt-get install -y slurm-wlm munge")
    limits = memory_can_be_limited()
    (folder / "munge").mkdir(parents=True)
    (folder / "munge").chmod(0o700)
    (folder / "state").mkdir()
    (folder / "munge/key").write_bytes(os.urandom(1024))
    (folder / "munge/key").chmod(0o400)
    (folder / "bin").mkdir()
    srun = shutil.which("srun", path=os.environ["PATH"] + SBIN)
    (folder / "bin/srun").write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {srun} "$@"\n')
    (folder / "bin/srun").chmod(0o755)
    # names of this process's own: Slurm confines a job by node and number, and two clusters here would share both
    names = tuple(f"e{os.getpid()}n{i}" for i in range(1, nodes + 1))
    host = socket.gethostname()
    lines = [
        f"NodeName={n} NodeHostname={host} NodeAddr=127.0.0.1 Port={free_port()} CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus}"
        for n in names
    ]
    devices = [folder / f"gpu{i}" for i in range(gpus)]
    for device in devices:
        device.touch()
    (folder / "gres.conf").write_text("".join(f"Name=gpu File={device}\n" for device in devices))
    (folder / "slurm.conf").write_text(
        CONF.format(
            host=host,
            port=free_port(),
            user=getpass.getuser(),
            folder=folder,
            nodes="\n".join(lines),
            proctrack="proctrack/cgroup" if limits else "proctrack/linuxproc",
            task="task/cgroup" if limits else "task/none",
        ).lstrip()
    )
    if limits:
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nConstrainRAMSpace=yes\nAllowedRAMSpace=100\n")
    cluster = Cluster(folder, names, limits)
    try:
        cluster.start("munged")
        wait_for((folder / "munge/socket").exists, 20, "munged")
        for name in ("slurmctld", *names):
            cluster.start(name)
        cluster.ready()
        yield cluster
    finally:
        cluster.stop()


if __name__ == "__main__":
    with running(Path(sys.argv[1]).resolve()) as mine:
        for key, value in mine.environment.items():
            print(f"export {key}={value}")
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
