"""Run one stage: inputs checked, outputs written aside, the manifest last, the folder moved in place at once.

A result is complete or absent. A killed stage leaves only `results/.work/<kind>/<digest>/`, which holds its checkpoints
and which the next run takes up. Two processes never run the same stage: the second waits for the first. Where a node has
scratch (`elenchus.scratch`) outputs are written there first, and copied aside once they are whole.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from elenchus import graph, scratch, stages
from elenchus.errors import UserError, to_make_writable
from elenchus.graph import kind_code
from elenchus.job import Job, Result, cost_dict, file_entries, read_manifest
from elenchus.training import launch

MANIFEST_VERSION = 1
AWAY = (errno.EIO, errno.ESTALE, errno.EREMOTEIO, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN, errno.ESHUTDOWN)


def run(spec: dict, results: Path = Path("results")) -> Path:
    """Run the stage that `spec` (graph.Stage.spec) describes and return its folder; nothing to do where it is complete.

    What else `Plan.job` adds to it changes no result and is no part of the manifest: "machine", "shard", "joins". A shard makes
    its parts, says so in its marker (`marker`), and leaves the rest to the job that joins.
    Raises UserError for anything that the user can mend: damaged inputs, a full disk, read-only results.
    """
    kind, digest, shard = spec["kind"], spec["digest"], spec.get("shard")
    folder, aside = results / kind / digest, results / ".work" / kind / digest
    own = "out" if shard is None else "out-{}-of-{}".format(*shard)
    with plain_disk_errors(results), only_one(aside, "" if shard is None else own):
        if (folder / "stage.json").exists():
            read_manifest(folder)
            mark(results, spec)
            return folder
        same_code(spec)
        clear_leftovers(folder, aside / own)
        (aside / "checkpoints").mkdir(parents=True, exist_ok=True)
        module = stages.load(kind)
        together = launch.wanted(spec)
        here = together is None or together.nodes == 1  # any node may be the one whose process writes
        with scratch.outputs(aside / own, here and getattr(module, "SCRATCH", True)) as out:
            job = job_of(spec, results, out)
            measured = Meter()
            if together is None and stages.trains(kind):
                see_one_gpu()
            if together is not None:
                launch.run(together, spec, results, job, aside)
            else:
                module.run(job)
            if shard is not None:
                shutil.rmtree(aside / own, ignore_errors=True)
                mark(results, spec)
                return folder
            write_manifests(job, spec, module.OUTPUTS, measured)
            scratch.bring(out, aside / "out")
        to_disk(aside / "out")
        folder.parent.mkdir(parents=True, exist_ok=True)
        os.replace(aside / "out", folder)
        shutil.rmtree(aside / "checkpoints", ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)
    return folder


def see_one_gpu() -> None:
    """Let a trainer that is one process see one GPU: given several, transformers' Trainer multiplies the batch by them."""
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]


def job_of(spec: dict, results: Path, out: Path) -> Job:
    """Return the job of a stage, whose folders are there; it writes to `out`."""
    kind, digest = spec["kind"], spec["digest"]
    return Job(
        kind=kind,
        params=stages.load(kind).Params.model_validate(spec["params"]),
        seed=spec["rng_seed"],
        inputs={name: open_inputs(given, results) for name, given in spec["inputs"].items()},
        out=out,
        work=results / ".work" / kind / digest / "checkpoints",
        machine=spec.get("machine", {}),
        logs=results / "log" / kind / digest,
        shard=spec.get("shard"),
        joins=spec.get("joins", False),
        markers=marker(results, spec).parent,
    )


def marker(results: Path, spec: dict) -> Path:
    """Return the file that says that a shard has made its parts. It stays: Snakemake remembers a result's inputs."""
    i, n = spec.get("shard") or (0, 1)
    return results / "shards" / spec["kind"] / spec["digest"] / f"{i}-of-{n}.json"


def mark(results: Path, spec: dict) -> None:
    """Write a shard's marker, at once; nothing where the job is no shard."""
    if spec.get("shard") is not None:
        path = marker(results, spec)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_suffix(f".{os.getpid()}")
        aside.write_text(json.dumps(surroundings(), indent=1, sort_keys=True) + "\n")
        os.replace(aside, path)


def same_code(spec: dict) -> None:
    """Raise UserError where the code is no longer the one that named the stage: its result would bear a wrong name."""
    if kind_code(spec["kind"], tuple(spec["families"]), graph.engine_of(spec["params"])) != spec["code"]:
        raise UserError(
            f"the code that a {spec['kind']!r} stage runs has changed since this workflow was planned. Run snakemake again:\n"
            "what the change does not reach is kept"
        )


def open_inputs(given: str | list[str], results: Path) -> Result | list[Result]:
    """Return the input result(s), each with a readable manifest."""

    def one(path: str) -> Result:
        folder = results / Path(path).relative_to(Path(path).parts[0])
        read_manifest(folder)
        return Result(folder)

    return [one(p) for p in given] if isinstance(given, list) else one(given)


def clear_leftovers(folder: Path, out: Path) -> None:
    """Remove what an interrupted run or copy left: a result folder without a manifest, outputs written aside."""
    if folder.exists():
        if any(folder.iterdir()):
            print(f"  {folder}: half-written (no stage.json), made anew", file=sys.stderr)
        shutil.rmtree(folder)
    shutil.rmtree(out, ignore_errors=True)


def write_manifests(job: Job, spec: dict, outputs: tuple[str, ...], measured: Meter) -> None:
    """Write cost.json (varies from run to run) and, last, stage.json (does not) into the job's outputs."""
    files = file_entries(job.out)
    for name in outputs:
        if not any(f in (name, f"{name}.parquet") or f.startswith(f"{name}/") for f in files):
            raise AssertionError(
                f"stage kind {job.kind!r} promises {name!r} and did not write it; it wrote {sorted(files)}"
            )
    together = launch.wanted(spec)
    processes = {"processes": together.world, "strategy": together.strategy} if together else {}
    cost = {**cost_dict(job.cost), **measured.read(job.elsewhere), **processes, **surroundings()}
    (job.out / "cost.json").write_text(json.dumps(cost, indent=1, sort_keys=True) + "\n")
    families, engine = tuple(spec.get("families", ())), graph.engine_of(spec["params"])
    code = graph.kind_definitions(spec["kind"], families, engine)  # names what differs from another result's code
    known = {k: v for k, v in spec.items() if k not in ("machine", "shard", "joins")}
    manifest = {"version": MANIFEST_VERSION, **known, "definitions": code, "files": files}
    (job.out / "stage.json").write_text(json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def to_disk(folder: Path) -> None:
    """Have the system write all files of a folder: a power cut must not leave a manifest without its files."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as f:
                os.fsync(f.fileno())


class Meter:
    """Wall time, processor time and peak memory since it was made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.monotonic(), self._cpu()

    @staticmethod
    def _cpu() -> float:
        """Return the processor time of this process and of those that it started and that have ended."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + ended.ru_utime + ended.ru_stime

    def read(self, elsewhere: dict[str, float]) -> dict:
        """Return the measurements, what other jobs took added: seconds, cpu_seconds, peak_memory_mb (the largest process's)."""
        peak_kb = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return {
            "seconds": round(time.monotonic() - self.wall + elsewhere["seconds"], 3),
            "cpu_seconds": round(self._cpu() - self.cpu + elsewhere["cpu_seconds"], 3),
            "peak_memory_mb": round(max(peak_kb / 1024, elsewhere["peak_memory_mb"]), 1),
        }


def surroundings() -> dict:
    """Return where and with what a stage ran: host's kind, Python, git commit, when it ended (UTC)."""
    git = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True, check=False
    )
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit": git.stdout.strip() or "unknown",
        "ended": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


@contextlib.contextmanager
def only_one(aside: Path, shard: str = "") -> Iterator[None]:
    """Hold the stage's lock, or its shard's (released by the system when the process dies); wait where another holds it."""
    aside.parent.mkdir(parents=True, exist_ok=True)
    with aside.with_suffix(f".{shard}.lock" if shard else ".lock").open("a+") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"  {aside}: another process runs this stage; waiting for it", file=sys.stderr, flush=True)
            fcntl.flock(f, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def plain_disk_errors(results: Path) -> Iterator[None]:
    """Turn a full disk, results that cannot be written and a file system that is away into one plain message."""
    try:
        yield
    except Exception as e:
        told = re.search(r"\(os error (\d+)\)", str(e))  # safetensors, written in Rust, has it in words only
        number = e.errno if isinstance(e, OSError) else told and int(told[1])
        where = getattr(e, "filename", None) or results
        if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise UserError(
                f"{where}: no space left{scratch.room(results)}. Nothing was half-written; free some space "
                "(results/.work may go) and run again"
            ) from e
        if number == errno.EROFS:
            raise UserError(
                f"{where}: its file system is read-only now. Nothing was half-written; run again once it can be written. Who "
                f"mounted it knows why, often an error of the disk:\n  findmnt --target {results.resolve()}"
            ) from e
        if number in AWAY:
            raise UserError(
                f"{where}: its file system does not answer ({os.strerror(number)}). Nothing was half-written; run again once it "
                f"is back:\n  stat {results.resolve()}"
            ) from e
        if number in (errno.EACCES, errno.EPERM):
            raise UserError(f"{where}: cannot write here ({os.strerror(number)}). {to_make_writable(results)}") from e
        raise


def main(spec: dict, log: str | None = None) -> int:
    """Run a stage as a job of its own: messages to the terminal and to `log`; return the exit code."""
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # unwinds, so that trainers can save; they may set their own
    with contextlib.ExitStack() as stack:
        if log:
            stack.enter_context(tee_stderr(Path(log)))
        try:
            run(spec)
        except UserError as e:
            print(f"\n{spec['kind']} {spec['digest']}: {e}\n", file=sys.stderr, flush=True)
            return 1
    return 0


@contextlib.contextmanager
def tee_stderr(log: Path) -> Iterator[None]:
    """Send what is written to stderr (by C libraries too) to the terminal and to `log`, where that can be written."""
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("wb", buffering=0)
    except OSError:  # the stage itself cannot write either, and says so on the terminal
        yield
        return
    read_end, write_end = os.pipe()
    terminal = os.dup(2)
    os.dup2(write_end, 2)
    os.close(write_end)

    def copy() -> None:
        with os.fdopen(read_end, "rb", buffering=0) as source, file:
            while data := source.read(65536):
                os.write(terminal, data)
                with contextlib.suppress(OSError):  # a full disk is said on the terminal, where there is room
                    file.write(data)

    thread = threading.Thread(target=copy, daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(terminal, 2)  # closes the pipe's last write end, so the thread ends
        thread.join(timeout=5)
