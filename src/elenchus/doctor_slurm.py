"""What the doctor asks Slurm: is it there, and does it have what the profile and the stages ask for?"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from elenchus import resources
from elenchus.config import read_yaml
from elenchus.doctor import PROFILE, Finding
from elenchus.errors import UserError, did_you_mean
from elenchus.graph import Stage

USUAL = ("/etc/slurm/slurm.conf", "/etc/slurm-llnl/slurm.conf", "/run/slurm/conf/slurm.conf")
PATIENCE = 60  # seconds for one command


def present() -> bool:
    """Return whether this machine has Slurm's commands."""
    return shutil.which("sbatch") is not None


def read_profile(root: Path) -> dict:
    """Return the four values of the Slurm profile's first block; UserError where one is missing."""
    profile = read_yaml(root / PROFILE)
    block = profile.get("default-resources") or {}
    missing = [name for name in resources.SITE if not block.get(name)]
    if missing:
        raise UserError(
            f'{PROFILE}: default-resources lacks {", ".join(missing)}; put there, for example\n  {missing[0]}: "none"'
        )
    checks = {"first_check": int(profile.get("slurm-init-seconds-before-status-checks", 40))}
    return {**{name: str(block[name]) for name in resources.SITE}, **checks}


def ask(*command: str) -> str:
    """Return what a command prints; UserError with what it said where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except FileNotFoundError:
        raise UserError(f"{command[0]}: no such command") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{command[0]} did not answer in {PATIENCE} s") from None
    if done.returncode:
        raise UserError(" ".join((done.stderr or done.stdout).split()) or f"{command[0]}: exit code {done.returncode}")
    return done.stdout


def examine(profile: dict, chosen: list[Stage], gpu: bool) -> list[Finding]:
    """Return the findings about the cluster that this machine belongs to."""
    try:
        rows = [line.split("|") for line in ask("sinfo", "--noheader", "--format=%R|%l|%m|%G|%a").splitlines()]
    except UserError as e:
        mend = "scontrol ping; where it says DOWN, wait or ask the cluster's administrators"
        return [Finding("wrong", "Slurm's controller does not answer", "sinfo", str(e), mend)]
    found = [Finding("fine", "Slurm's controller answers")]
    for key, needed in (("slurm_partition", True), ("gpu_partition", gpu)):
        found += partition(profile, key, rows, chosen if needed else [], needed)
    return [*found, *account(profile), *settings(profile)]


def partition(profile: dict, key: str, rows: list[list[str]], chosen: list[Stage], needed: bool) -> Iterator[Finding]:
    """Yield whether a partition of the profile exists, is up, and is large enough for the stages that go there."""
    name, where = profile[key], f"{PROFILE}: default-resources.{key}"
    known = list(dict.fromkeys(row[0] for row in rows))
    mine = [row for row in rows if row[0] == name]
    if not mine:
        what = f"Slurm has no partition {name!r}{did_you_mean(name, known)}"
        mend = f'{key}: "{known[0] if known else "?"}"'
        yield Finding("wrong" if needed else "note", what, where, ", ".join(known) or "none", mend)
        return
    if not needed:
        return
    if all(row[4] != "up" for row in mine):
        yield Finding("wrong", f"Slurm's partition {name!r} is {mine[0][4]}", where, mend=f"sinfo -p {name} -R")
    gpu = key == "gpu_partition"
    if gpu:
        yield from gpus(profile, mine, where)
    here = [s for s in chosen if bool(resources.need(s).gpu) == gpu]
    memory = max(int(re.sub(r"\D", "", row[2]) or 0) for row in mine)
    minutes = max(limit_minutes(row[1]) for row in mine)
    for asked, most, resource, unit in (
        (lambda n: n.mem_mb, memory, "mem_mb", "MB"),
        (lambda n: n.minutes, minutes, "runtime", "minutes"),
    ):
        over = {s.kind: asked(resources.need(s)) for s in here if asked(resources.need(s)) > most}
        if over:
            kind, value = max(over.items(), key=lambda item: item[1])
            mend = f"snakemake --profile slurm --set-resources {kind}:{resource}={most:.0f}"
            what = f"{kind} asks for {value} {unit}, more than a job in Slurm's partition {name!r} can have"
            yield Finding("wrong", what, f"src/elenchus/resources.py, {where}", f"{most:.0f} {unit}", mend)
    yield Finding("fine", f"Slurm's partition {name!r}: {memory} MB a node, {mine[0][1]} at most")


def gpus(profile: dict, mine: list[list[str]], where: str) -> Iterator[Finding]:
    """Yield whether the partition has GPUs, and those of the type that the profile names."""
    offered = sorted({row[3] for row in mine} - {"(null)"})
    wanted = profile["gpu_type"]
    if not any(g.startswith("gpu") for g in offered):
        mend = "gpu_partition: \"<one of: sinfo -o '%R %G' | grep gpu>\""
        yield Finding("wrong", "Slurm's GPU partition has no GPU", where, ", ".join(offered) or "no gres", mend)
    elif wanted != "none" and not any(f":{wanted}:" in g or g.endswith(f":{wanted}") for g in offered):
        types = sorted({m for g in offered for m in re.findall(r"gpu:([A-Za-z_][\w.]*)", g)})
        at = f"{PROFILE}: default-resources.gpu_type"
        mend = f'gpu_type: "{types[0] if types else "none"}"'
        yield Finding("wrong", f"Slurm's partition has no GPU of type {wanted!r}", at, ", ".join(offered), mend)


def account(profile: dict) -> Iterator[Finding]:
    """Yield whether the account is one of the user's; a cluster without accounts takes any word."""
    name, where = profile["slurm_account"], f"{PROFILE}: default-resources.slurm_account"
    try:
        told = ask(
            "sacctmgr",
            "--noheader",
            "--parsable2",
            "show",
            "associations",
            f"user={getpass.getuser()}",
            "format=account",
        )
    except UserError:
        told = ""
    accounts = sorted(set(told.split()))
    if accounts and name.lower() not in [a.lower() for a in accounts]:
        what = f"Slurm's account {name!r} is not one of yours{did_you_mean(name, accounts)}"
        yield Finding("wrong", what, where, ", ".join(accounts), f'slurm_account: "{accounts[0]}"')
    elif accounts:
        yield Finding("fine", f"Slurm's account {name!r} is yours")
    else:
        yield Finding("fine", f"Slurm keeps no accounts: any word does, {name!r} too")


def settings(profile: dict) -> Iterator[Finding]:
    """Yield what of the cluster's own settings a user should know."""
    try:
        told = dict(re.findall(r"^(\w+)\s*=\s*(.*)$", ask("scontrol", "show", "config"), flags=re.M))
    except UserError:
        return
    age = int(re.sub(r"\D", "", told.get("MinJobAge", "")) or 300)
    if age < 3 * profile["first_check"]:
        where = f"{PROFILE}: slurm-init-seconds-before-status-checks"
        what = f"Slurm forgets a job {age} s after its end, and Snakemake would not see it end"
        yield Finding("wrong", what, where, str(profile["first_check"]), f"{max(1, age // 3)}")
    conf = os.environ.get("SLURM_CONF")
    if conf and not any(Path(p).exists() for p in USUAL):
        what = "Slurm's configuration is named by SLURM_CONF, which Snakemake's plugin takes from a job's srun"
        srun = f"printf '#!/bin/sh\\nSLURM_CONF={conf} exec {shutil.which('srun')} \"$@\"\\n' > ~/bin/srun; chmod +x ~/bin/srun"
        yield Finding("note", what, "SLURM_CONF", conf, f"where srun fails in jobs, put it first on PATH: {srun}")
    if "CANCEL" in told.get("PreemptMode", ""):
        yield Finding("note", "Slurm cancels preempted jobs here: the workflow requeues them itself while it runs")


def limit_minutes(text: str) -> float:
    """Return Slurm's time limit ("infinite", "2-00:00:00", "30:00", "n/a") in minutes."""
    if not re.search(r"\d", text):
        return float("inf")
    days, _, clock = text.rpartition("-")
    parts = [int(p) for p in clock.split(":")]
    hours, minutes = (parts[0], parts[1]) if len(parts) == 3 else (0, parts[0])
    if days and len(parts) < 3:  # "2-12", "2-12:30"
        hours, minutes = parts[0], parts[1] if len(parts) > 1 else 0
    return int(days or 0) * 1440 + hours * 60 + minutes
