"""Slurm's commands as small scripts that run jobs on this machine: the real profile end to end, without a cluster.

Each call appends its arguments to `calls`; a job's state is the file `<id>.state`, which tests may write. `lose` jobs end
as PREEMPTED until they are requeued; `break_` of them fail; `deaf` status queries fail before one is answered, and until then
the controller does not say its configuration either.
"""

from __future__ import annotations

import os
from pathlib import Path

SCRIPTS = {
    "sbatch": r"""
id=$(( $(cat $D/next 2>/dev/null || echo 100) + 1 )); echo $id > $D/next; out=/dev/null
echo "$@" | sed 's/--wrap=.*//' > $D/$id.arguments
while [ $# -gt 0 ]; do case "$1" in --output) out=${2//%j/$id}; shift;; --wrap=*) wrap="${1#--wrap=}";; esac; shift; done
printf '%s' "$wrap" > $D/$id.wrap; echo "$out" > $D/$id.out; pwd > $D/$id.folder; date +%Y-%m-%dT%H:%M:%S > $D/$id.submitted
if [ "$id" = "$FAKE_SLURM_LOSES" ]; then echo PREEMPTED > $D/$id.state
elif [ "$id" = "$FAKE_SLURM_BREAKS" ]; then echo OUT_OF_MEMORY > $D/$id.state
else start_job $id; fi
echo $id""",
    "squeue": r"""
n=$(( $(cat $D/asked 2>/dev/null || echo 0) + 1 )); echo $n > $D/asked
[ "$n" -gt "${FAKE_SLURM_DEAF:-0}" ] || { echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit 1; }
for f in $D/*.state; do [ -e "$f" ] || continue; i=$(basename $f .state)
case "$*" in *%V*) echo "$i|$(cat $f)|$(cat $D/$i.submitted)|$(cat $D/$i.folder)";; *) echo "$i|$(cat $f)";; esac; done""",
    "scontrol": r"""
case "$1" in requeue) start_job $2;; *)
[ "$(cat $D/asked 2>/dev/null || echo 0)" -ge "${FAKE_SLURM_DEAF:-0}" ] || exit 1
echo "MinJobAge               = 300 sec"; echo "MaxArraySize            = 1001";; esac""",
    "srun": 'while [[ "$1" == -* ]]; do shift; done; exec "$@"',
    "sacct": 'echo "Slurm accounting storage is disabled" >&2; exit 1',
    "sacctmgr": 'echo "You are not running a supported accounting_storage plugin" >&2; exit 1',
    "sshare": "exit 0",
    "sinfo": "echo main",
    "scancel": "exit 0",
}

HEAD = r"""#!/bin/bash
D="{state}"
echo "$(basename $0) $*" >> $D/calls
start_job() {{
  echo RUNNING > $D/$1.state
  ( cd $(cat $D/$1.folder); SLURM_JOB_ID=$1 bash -c "$(cat $D/$1.wrap)" >"$(cat $D/$1.out)" 2>&1 </dev/null \
    && echo COMPLETED >$D/$1.state || echo FAILED >$D/$1.state ) >/dev/null 2>&1 &
}}
"""


def install(folder: Path, **faults: int) -> dict[str, str]:
    """Write the commands below `folder`; return the variables that a shell sets to use them.

    faults: `loses`, `breaks`: the id (the first is 101) of a job that ends as PREEMPTED or OUT_OF_MEMORY without having
    run; `deaf`: how many status queries fail first.
    """
    state, commands = folder / "slurm", folder / "slurm-bin"
    state.mkdir(parents=True)
    commands.mkdir()
    for name, body in SCRIPTS.items():
        (commands / name).write_text(HEAD.format(state=state) + body + "\n")
        (commands / name).chmod(0o755)
    given = {f"FAKE_SLURM_{name.upper()}": str(value) for name, value in faults.items()}
    return {"PATH": f"{commands}:{os.environ['PATH']}", **given}


def submitted(folder: Path) -> list[list[str]]:
    """Return the arguments of each job that was submitted, in order."""
    return [p.read_text().split() for p in sorted((folder / "slurm").glob("*.arguments"))]
