"""Faults of a cluster, real ones: in each the workflow ends with the bytes of an undisturbed run, and says what happened."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time

import mounts
import pytest
import small
from cluster import wait_for

pytestmark = [pytest.mark.real_slurm, pytest.mark.timeout(1200)]
bytes_of = small.workflow.result_bytes


@pytest.fixture
def training(finished, tmp_path):
    """Return (project, target): all done but the training, and what needs it."""
    folder = small.copy_without(finished, tmp_path / "project", "seed_model", "sample", "evaluate")
    return folder, str(small.stages(folder)["train"].manifest)


@pytest.fixture
def sampling(finished, tmp_path):
    """Return (project, target): all done but the sampling."""
    folder = small.copy_without(finished, tmp_path / "project", "sample", "evaluate")
    return folder, str(small.stages(folder)["sample"].manifest)


def steps(folder, kind: str = "seed_model") -> list[int]:
    """Return the steps, or solutions, that the log of the one stage of `kind` tells."""
    return [int(n) for n in re.findall(rf"{kind}: (\d+)/", small.told(folder, kind))]


def saved(folder) -> int:
    """Return the step of the training's checkpoint; 0 where there is none."""
    return max((int(p.name.split("-")[1]) for p in small.checkpoint(folder)), default=0)


def ends_well(run, slurm, finished, folder) -> None:
    """Wait for the workflow's end, and assert the undisturbed run's bytes."""
    limit = time.monotonic() + 900
    while run.process.poll() is None and time.monotonic() < limit:
        slurm.hurry()
        time.sleep(2)
    assert run.process.poll() == 0, run.said[-5000:]
    made, whole = bytes_of(folder), bytes_of(finished)
    assert made and made == {stage: whole[stage] for stage in made}


def running_node(slurm) -> str:
    """Return the node of the one running job."""
    return slurm.jobs("running")[0][2]


def in_the_middle_of_training(run, folder) -> int:
    """Wait for a checkpoint that is not the last, and return its step."""
    run.until(lambda: saved(folder), "a checkpoint")
    return saved(folder)


def test_a_node_dies_while_it_trains(training, finished, slurm):
    folder, target = training
    with small.snakemake(folder, slurm, target) as run:
        in_the_middle_of_training(run, folder)
        slurm.kill(running_node(slurm))
        kept = saved(folder)
        ends_well(run, slurm, finished, folder)
    # Whatever was reached beyond the checkpoint is lost: fewer steps than lie between two.
    assert kept % small.SAVE_STEPS == 0 and kept > 0
    assert steps(folder)[0] == kept + 1, "it went on from the checkpoint, on another node"


def test_a_node_dies_while_it_samples(sampling, finished, slurm):
    folder, target = sampling
    with small.snakemake(folder, slurm, target) as run:
        run.until(lambda: steps(folder, "sample"), "the first solutions")
        slurm.kill(running_node(slurm))
        ends_well(run, slurm, finished, folder)


def test_a_job_that_is_requeued_and_one_that_a_better_partition_preempts(training, finished, slurm):
    folder, target = training
    with small.snakemake(folder, slurm, target) as run:
        in_the_middle_of_training(run, folder)
        job = slurm.jobs("running")[0][0]
        slurm.ask("scontrol", "requeue", job)
        run.until(lambda: slurm.hurry() or slurm.jobs("running"), "the job's second start")
        first = saved(folder)
        run.until(lambda: saved(folder) > first, "another checkpoint")
        urgent = [
            slurm.ask(
                "sbatch", "--parsable", "-p", "urgent", "-N3", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 3"
            )
        ]
        wait_for(lambda: job not in [j[0] for j in slurm.jobs("running")], 60, "the preemption")
        ends_well(run, slurm, finished, folder)
    assert urgent[0] in [j[0] for j in slurm.jobs("completed")]


def test_a_job_that_a_partition_cancels_for_another_is_put_back(training, finished, slurm):
    folder, target = training
    with small.snakemake(folder, slurm, target, "--set-resources", "seed_model:slurm_partition=cancelled") as run:
        in_the_middle_of_training(run, folder)
        slurm.ask("sbatch", "-p", "urgent", "-N3", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 3")
        run.until(lambda: "was lost (PREEMPTED): requeued" in run.said, "the workflow's own requeueing", 120)
        ends_well(run, slurm, finished, folder)


def test_a_job_over_its_memory_gets_more(sampling, finished, slurm):
    if not slurm.limits_memory:
        pytest.skip("jobs cannot be confined here: needs root and the cgroup v1 memory controller")
    folder, target = sampling
    with small.snakemake(
        folder, slurm, target, "--set-resources", "sample:mem_mb=300 if attempt == 1 else 3000"
    ) as run:
        ends_well(run, slurm, finished, folder)
    states = [state for _, state, _, _ in slurm.jobs()]
    assert states == ["COMPLETED", "OUT_OF_MEMORY"] and "SLURM status is: 'OUT_OF_MEMORY'" in run.said


def test_a_job_over_its_time_goes_on_with_more(training, finished, slurm):
    """Its limit is a minute at first. The trainer, stopped, hears no early signal: Slurm ends it at the limit."""
    folder, target = training
    limit = "seed_model:runtime=1 if attempt == 1 else 30"
    with small.snakemake(folder, slurm, target, "--set-resources", limit) as run:
        in_the_middle_of_training(run, folder)
        pause(folder)
        kept = saved(folder)
        ends_well(run, slurm, finished, folder)
    assert [state for _, state, _, _ in slurm.jobs()] == ["COMPLETED", "TIMEOUT"]
    assert "SLURM status is: 'TIMEOUT'" in run.said and steps(folder)[0] == kept + 1


def pause(folder) -> None:
    """Stop the processes of the project's stages."""
    stages = subprocess.run(["pgrep", "-f", r"scripts/\S*stage\.py"], capture_output=True, text=True).stdout.split()
    here = [int(pid) for pid in stages if os.path.realpath(f"/proc/{pid}/cwd") == os.path.realpath(folder)]
    assert here, "no stage runs"
    for pid in here:
        os.kill(pid, signal.SIGSTOP)


def test_the_controller_restarts_and_status_queries_fail_for_a_while(training, finished, slurm, tmp_path):
    folder, target = training
    fake = tmp_path / "first"
    fake.mkdir()
    (fake / "squeue").write_text(
        f"#!/bin/sh\nn=$(cat {fake}/n 2>/dev/null || echo 0); echo $((n + 1)) > {fake}/n\n"
        '[ "$n" -ge 8 ] || { echo "slurm_load_jobs error: Socket timed out" >&2; exit 1; }\nexec /usr/bin/squeue "$@"\n'
    )
    (fake / "squeue").chmod(0o755)
    with small.snakemake(folder, slurm, target, first=str(fake)) as run:
        in_the_middle_of_training(run, folder)
        slurm.kill("slurmctld")
        time.sleep(25)
        slurm.start("slurmctld")
        ends_well(run, slurm, finished, folder)
    assert int((fake / "n").read_text()) > 8, "the queries that failed were asked again"


def test_snakemake_is_killed_and_started_again(training, finished, slurm):
    folder, target = training
    with small.snakemake(folder, slurm, target) as run:
        in_the_middle_of_training(run, folder)
        os.killpg(run.process.pid, signal.SIGKILL)
    with small.snakemake(folder, slurm, target) as run:
        ends_well(run, slurm, finished, folder)
    assert sum(state == "COMPLETED" for _, state, _, _ in slurm.jobs()) >= 1


def test_a_full_disk_is_named_and_room_is_all_that_it_takes(training, finished, slurm):
    folder, target = training
    results, kept = folder / "results", folder / "kept"
    results.rename(kept)
    results.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(results)], check=False)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here: needs root")
    try:
        subprocess.run(["cp", "-r", f"{kept}/.", str(results)], check=True)
        others = results / ".somebody-elses"
        others.write_bytes(bytes(shutil.disk_usage(results).free - 16 * 1024))
        with small.snakemake(folder, slurm, target, "--retries=0") as run:
            assert run.ends() == 1
            told = jobs_said(folder)
            assert "no space left" in told, told[-3000:]
        others.unlink()
        with small.snakemake(folder, slurm, target) as run:
            ends_well(run, slurm, finished, folder)
    finally:
        subprocess.run(["umount", "-l", str(results)], check=True)


@pytest.mark.parametrize(
    ("how", "words"),
    [(mounts.read_only, "its file system is read-only now"), (mounts.away, "its file system does not answer")],
)
def test_a_file_system_that_fails_for_a_while(how, words, training, finished, slurm):
    folder, target = training
    with small.snakemake(folder, slurm, target) as run:
        in_the_middle_of_training(run, folder)
        try:
            with how(folder / "results"):
                wait_for(lambda: words in jobs_said(folder), 60, "a plain word on what is wrong")
                time.sleep(3)
        except PermissionError as e:
            pytest.skip(f"no file system can be mounted here: {e}")
        ends_well(run, slurm, finished, folder)
    assert "src/elenchus" not in jobs_said(folder), (
        "a traceback of ours"
    )  # Snakemake, which cannot mark its log, has one


def jobs_said(folder) -> str:
    """Return the logs of all Slurm jobs of the project, which are not on the results' file system."""
    return "".join(p.read_text() for p in sorted((folder / ".snakemake/slurm_logs").rglob("*.log")))
