"""What would stop a run, found before it starts: each finding one line that says what, where, what was found, the mend."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from elenchus import resources, scratch
from elenchus.errors import UserError
from elenchus.graph import RESULTS, Stage
from elenchus.plan import Plan

LEAST_FREE_GB = 5  # a recipe at the laptop scale leaves 1 to 3 GB
PROFILE = Path("workflow") / "profiles" / "slurm" / "profile.yaml"


@dataclass(frozen=True)
class Finding:
    """One thing looked at. level: "fine", "note" (worth knowing) or "wrong" (would stop a run)."""

    level: str
    what: str
    where: str = ""  # file and key
    found: str = ""
    mend: str = ""  # the line to paste

    def __str__(self) -> str:
        """Return the finding as one line."""
        parts = [self.what, self.where and f"[{self.where}]", self.found and f"found: {self.found}"]
        return f"{self.level:5}  " + " ".join(p for p in parts if p) + (f"; mend: {self.mend}" if self.mend else "")


def examine(plan: Plan, names: list[str], *, job: bool = False, gpu: bool = False) -> list[Finding]:
    """Return the findings about this machine, its cluster, and what the recipes `names` need.

    job: send a tiny job to the cluster to see what a compute node sees. gpu: a GPU is wanted, whatever the recipes need.
    """
    from elenchus import doctor_services as services
    from elenchus import doctor_slurm as slurm

    chosen = [s for name in names for s in plan.recipe(name).stages]
    wanted = gpu or any(resources.need(s).gpu for s in chosen)
    here = [*models(chosen, plan.config.scale), *data_sets(chosen)]
    found = [*packages(), *results_folder(plan.root), *here, *services.examine(plan.root)]
    profile = slurm.read_profile(plan.root)
    cluster = slurm.present()
    found += scratch_folder(cluster)
    found += slurm.examine(profile, chosen, wanted) if cluster else [no_cluster(job)]
    if job and cluster and not any(f.level == "wrong" and "Slurm" in f.what for f in found):
        found += from_a_node(plan.root, profile, wanted)
    elif not (cluster and wanted and not gpu):
        found += gpu_here(wanted)
    else:
        found.append(Finding("note", "GPUs of compute nodes were not looked at", mend="elenchus doctor --job"))
    return found


def packages() -> Iterator[Finding]:
    """Yield what is installed otherwise than pyproject.toml asks, and a line for the rest."""
    from packaging.requirements import Requirement

    wrong, right = 0, 0
    for line in metadata.requires("elenchus") or []:
        asked = Requirement(line)
        if asked.marker is not None and not asked.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(asked.name)
        except metadata.PackageNotFoundError:
            version = "nothing"
        if version == "nothing" or not asked.specifier.contains(version.split("+")[0], prereleases=True):
            wrong += 1
            yield Finding(
                "wrong",
                f"{asked.name} is not the version that the workflow was made for",
                "pyproject.toml: dependencies",
                f"{version}, allowed: {asked.specifier or 'any'}",
                "pip install --no-deps --require-hashes -r requirements/laptop.txt",
            )
        else:
            right += 1
    if not wrong:
        yield Finding("fine", f"Python {platform.python_version()}, {right} packages as pyproject.toml asks")
    try:
        yield Finding("fine", f"vLLM {metadata.version('vllm')}")
    except metadata.PackageNotFoundError:
        yield Finding("note", "vLLM is not installed: stages write through transformers")


def results_folder(root: Path) -> Iterator[Finding]:
    """Yield whether results can be written, locked, and have room."""
    import fcntl

    folder = root / RESULTS
    probe = folder / f".doctor-{uuid.uuid4().hex}"
    try:
        folder.mkdir(exist_ok=True)
        with probe.open("w") as f:
            f.write("x")
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            f.flush()
            os.fsync(f.fileno())
    except OSError as e:
        mend = f"chmod -R u+w {folder}, or link it to a file system with room: ln -s /scratch/$USER/results {folder}"
        yield Finding("wrong", "results cannot be written or locked", str(folder), e.strerror or str(e), mend)
        return
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    free = shutil.disk_usage(folder).free / 1e9
    if free < LEAST_FREE_GB:
        mend = f"rm -rf {folder / '.work'}, or link {folder} to a larger file system"
        yield Finding("wrong", f"less than {LEAST_FREE_GB} GB left for results", str(folder), f"{free:.1f} GB", mend)
    else:
        yield Finding("fine", f"results can be written and locked, {free:.0f} GB free", str(folder))


def scratch_folder(cluster: bool) -> Iterator[Finding]:
    """Yield whether the scratch folder that ELENCHUS_SCRATCH names can be used here; a cluster's is its nodes' own."""
    named = os.environ.get(scratch.VARIABLE)
    if not named:
        yield Finding("fine", "no scratch: stages write beside their results")
    elif cluster:
        what = f"scratch {named} is each node's own, and was not looked at"
        yield Finding("note", what, scratch.VARIABLE, mend="elenchus doctor --job")
    else:
        yield scratch_finding(scratch_here(), "this machine")


def scratch_here() -> dict:
    """Return what this machine's scratch is: {"folder", "free"}, {"wrong"}, or {} where none is named."""
    try:
        folder = scratch.folder()
    except UserError as e:
        return {"wrong": str(e).partition(". ")[0]}
    return {} if folder is None else {"folder": str(folder), "free": shutil.disk_usage(folder).free / 1e9}


def scratch_finding(seen: dict, where: str) -> Finding:
    """Return the finding about what `scratch_here` returned on the machine `where`."""
    if "wrong" in seen:
        return Finding("wrong", f"no scratch on {where}", scratch.VARIABLE, seen["wrong"], "unset ELENCHUS_SCRATCH")
    level = "wrong" if seen["free"] < LEAST_FREE_GB else "fine"
    return Finding(level, f"scratch on {where}, {seen['free']:.0f} GB free", seen["folder"])


def models(chosen: list[Stage], scale: str) -> Iterator[Finding]:
    """Yield, for each pretrained model that the stages start from, whether it is here and pinned; jobs never download.

    A revision that can move is wrong at the scale `cluster`, where jobs refuse it.
    """
    from elenchus import hub
    from elenchus.stages import pretrained

    asked = {(s.params["name"], s.params["revision"]) for s in chosen if s.kind == "pretrained"}
    for name, revision in sorted(asked):
        if not hub.pinned(revision) and not pretrained.is_folder(name):
            what = f"the revision {revision!r} of {name} can come to mean another model"
            level, mend = "wrong" if scale == "cluster" else "note", pretrained.pin_command(name)
            yield Finding(level, what, "params.yaml: base_model.revision", f"{revision!r}, not a commit", mend)
        try:
            folder, _ = pretrained.locate(name, revision)
        except UserError:
            home = os.environ.get("HF_HOME", "~/.cache/huggingface")
            what = f"the model {name} at {revision} is not on this machine, or not whole"
            mend = pretrained.repository(name).command(revision)
            yield Finding("wrong", what, "params.yaml: base_model.name", f"no snapshot below {home}", mend)
            continue
        wrong = pretrained.unusable(folder)
        if wrong:
            yield Finding(
                "wrong", f"the model {name} cannot be used: {wrong}", "params.yaml: base_model.name", str(folder)
            )
        else:
            yield Finding("fine", f"model {name}", found=str(folder))
    if not asked:
        yield Finding("fine", "no pretrained model needed: the workflow trains its seed model")


def data_sets(chosen: list[Stage]) -> Iterator[Finding]:
    """Yield which published data sets the stages read; they are here, or the stages could not have been planned."""
    read = sorted({s.params["family"] for s in chosen if s.kind == "benchmark"})
    what = f"data sets are here: {', '.join(read)}" if read else "no data set to fetch: problems are generated"
    yield Finding("fine", what)


def no_cluster(job: bool) -> Finding:
    """Return the finding where there is no Slurm: wrong only if a job was to be sent."""
    if job:
        mend = "run it on the cluster's login node, or load its module: module load slurm"
        return Finding("wrong", "Slurm is not here, and --job needs it", "PATH", "no sbatch", mend)
    return Finding("note", "Slurm: none here; a laptop needs none, `snakemake` runs everything on it")


def gpu_here(wanted: bool) -> Iterator[Finding]:
    """Yield whether torch sees a GPU on this machine; wrong only where one is wanted."""
    yield gpu_finding(torch_sees(), wanted, "this machine")


def torch_sees() -> dict:
    """Return what torch says of this machine's GPUs: its version, the CUDA it was built for, the GPUs' names."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = [torch.cuda.get_device_name(i) for i in range(count)]
    return {"torch": torch.__version__, "cuda": torch.version.cuda, "gpus": names}


def gpu_finding(seen: dict, wanted: bool, where: str) -> Finding:
    """Return the finding about what `torch_sees` returned on the machine `where`."""
    if seen["gpus"]:
        return Finding("fine", f"torch {seen['torch']} sees {len(seen['gpus'])} GPU on {where}", found=seen["gpus"][0])
    if not wanted:
        return Finding("fine", f"torch {seen['torch']}, no GPU on {where}; none is needed")
    if seen["cuda"] is None:
        mend = "install torch's CUDA build of the same version: pip install --no-deps torch==2.13.0"
        return Finding("wrong", f"no GPU for torch on {where}", "torch", f"{seen['torch']}, a build without CUDA", mend)
    found = (
        f"torch {seen['torch']} for CUDA {seen['cuda']}, CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES')}"
    )
    return Finding(
        "wrong", f"no GPU for torch on {where}", "nvidia-smi", found, "ask for a node with a GPU and its driver"
    )


def from_a_node(root: Path, profile: dict, wanted: bool) -> Iterator[Finding]:
    """Yield what a compute node sees: this folder, this Python, a GPU. Sends one tiny job and waits for it."""
    token = root / RESULTS / f".doctor-{uuid.uuid4().hex}"
    token.write_text(socket.gethostname())
    partition = profile["gpu_partition"] if wanted else profile["slurm_partition"]
    command = ["srun", "--quiet", "-n1", "-p", partition, "-A", profile["slurm_account"], "-t", "5", "--mem=4000"]
    command += ["--gpus=1"] if wanted else []
    probe = f"from elenchus.doctor import answer; answer({str(token)!r})"
    try:
        done = subprocess.run(
            [*command, sys.executable, "-c", probe], cwd=root, capture_output=True, text=True, timeout=600, check=False
        )
    except subprocess.TimeoutExpired:
        yield Finding(
            "wrong", "a tiny Slurm job did not end in ten minutes", partition, "queue full?", f"sinfo -p {partition}"
        )
        return
    finally:
        token.unlink(missing_ok=True)
    try:
        told = json.loads(done.stdout.strip().rpartition("\n")[2])
    except ValueError:
        told = None
    if done.returncode or told is None:
        said = " ".join((done.stderr or done.stdout).split())[-300:] or f"exit code {done.returncode}"
        mend = f"put the project and its .venv on a file system that nodes share; try: {' '.join(command)} ls {root}"
        yield Finding("wrong", "a tiny Slurm job did not answer", f"partition {partition}", said, mend)
    elif told["read"] != socket.gethostname():
        mend = f"move the project to a shared file system; {root} is another folder there"
        yield Finding(
            "wrong", "a compute node does not see the results folder", str(root), f"node {told['host']}", mend
        )
    else:
        yield Finding("fine", f"node {told['host']} runs this Python and sees the results folder")
        if told["scratch"]:
            yield scratch_finding(told["scratch"], f"node {told['host']}")
        yield gpu_finding(told["seen"], wanted, f"node {told['host']}")


def answer(token: str) -> None:
    """Print, as JSON, what this (compute) node sees: its name, the token file's text, scratch, torch's GPUs."""
    try:
        read = Path(token).read_text()
    except OSError:
        read = ""
    told = {"host": socket.gethostname(), "read": read, "scratch": scratch_here(), "seen": torch_sees()}
    print(json.dumps(told))


def as_data(found: list[Finding]) -> list[dict]:
    """Return findings as plain data."""
    return [asdict(f) for f in found]
