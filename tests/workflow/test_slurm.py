"""The Slurm profile end to end over fake commands (`fake_slurm.py`): what it submits, and what it does when jobs fail.

The same over a real Slurm, with real faults, is tests/scale: `make test-slurm`.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import fake_slurm
import pytest
from conftest import environment, new_project, result_bytes

from elenchus import plan, resources


def over_slurm(project: Path, variables: dict[str, str], *targets: str) -> subprocess.CompletedProcess:
    """Run `snakemake --profile slurm` in `project`, with the waiting that a cluster needs cut short."""
    quick = ["--slurm-init-seconds-before-status-checks=1", "--max-status-checks-per-second=5", "--latency-wait=10"]
    return subprocess.run(
        ["snakemake", "--profile", "slurm", *quick, "--", *targets],
        cwd=project,
        env={**environment(), **variables, "ELENCHUS_REQUEUE_EVERY": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=560,
        check=False,
    )


def test_the_profile_runs_stages_and_their_bytes_are_the_local_runs(finished, tmp_path):
    """Four jobs with three faults: status queries that fail, a job that lacks memory, a job preempted for good.

    Each job has scratch of its own, named by a variable that Slurm sets in it.
    """
    project = new_project(tmp_path / "project")
    for recipe in (project / "workflow/recipes").glob("[!_]*.py"):
        if recipe.stem != "elenchus":
            recipe.unlink()
    whole = plan.load(project).recipe("elenchus")
    target = next(s for s in whole.stages if s.kind == "disjoint")
    variables = fake_slurm.install(tmp_path, loses=101, breaks=102, deaf=8)
    scratch = [tmp_path / f"scratch{job}" for job in (101, 102, 103)]
    for folder in scratch:
        folder.mkdir()
    variables["ELENCHUS_SCRATCH"] = f"{tmp_path}/scratch$SLURM_JOB_ID"
    done = over_slurm(project, variables, str(target.manifest))
    assert done.returncode == 0, done.stdout[-5000:]
    assert not any(list(folder.iterdir()) for folder in scratch)

    made, local = result_bytes(project), result_bytes(finished[0])
    assert len(made) == 4 and made == {stage: local[stage] for stage in made}
    jobs = [" ".join(arguments) for arguments in fake_slurm.submitted(tmp_path)]
    assert len(jobs) == 3, "three problem sets in one job; their proof, which lacks memory; the proof again"
    assert "group_problems" in jobs[0] and "rule_disjoint" in jobs[1] and "rule_disjoint" in jobs[2]
    for job in jobs:
        assert "-p main" in job and "-A none" in job and "--requeue" in job and "--signal=TERM@120" in job
        assert "--gpus" not in job, "a GPU for no stage that does not use one"
    n = resources.NEEDS["tables", "small"]
    assert f"--mem {n.mem_mb}" in jobs[1] and f"-t {n.minutes}" in jobs[1]
    assert f"--mem {2 * n.mem_mb}" in jobs[2] and f"-t {2 * n.minutes}" in jobs[2]
    assert "Slurm job 101 was lost (PREEMPTED): requeued" in done.stdout
    assert "OUT_OF_MEMORY" in done.stdout, "the user is told what happened"


@pytest.fixture(scope="module")
def everything():
    """Every stage of every recipe at the cluster's scale."""
    root = Path(__file__).parents[2]
    whole = plan.load(root, {"scale": "cluster"})
    return [s for name in whole.recipes for s in whole.recipe(name).stages]


def test_stages_on_a_pretrained_model_ask_for_its_gpu_and_others_for_none(everything):
    site = {"slurm_partition": "cpu", "gpu_partition": "gpu", "gpu_type": "a100"}
    for stage in everything:
        asked = {what: resources.asked(stage, what, 1, site) for what in ("gpu", "gpu_model", "slurm_partition")}
        if resources.work(stage) != "tables" and resources.model(stage) == "pretrained":
            assert asked == {"gpu": 1, "gpu_model": "a100", "slurm_partition": "gpu"}
        else:
            assert asked == {"gpu": None, "gpu_model": None, "slurm_partition": "cpu"}
    kinds = {s.kind for s in everything if resources.asked(s, "gpu", 1, site)}
    assert {"sample", "sft", "grpo", "critique"} <= kinds and not {"evaluate", "problems", "examples"} & kinds


def test_joining_what_shards_have_made_asks_for_no_gpu(everything):
    stage = next(s for s in everything if resources.asked(s, "gpu", 1, {}) and s.kind == "sample")
    assert resources.asked(stage, "gpu", 1, {}, joins=True) is None
    assert resources.asked(stage, "mem_mb", 1, {}, joins=True) == resources.NEEDS["tables", "pretrained"].mem_mb


def test_later_attempts_ask_for_more_and_never_for_more_than_a_week(everything):
    for stage in everything[:200]:
        for what in ("mem_mb", "runtime"):
            first, second = (resources.asked(stage, what, attempt, {}) for attempt in (1, 2))
            assert second == 2 * first
        assert resources.asked(stage, "runtime", 99, {}) <= resources.MOST_MINUTES


def test_no_stage_of_a_grouped_kind_needs_another_of_its_kind(everything):
    """A group waits for all that its stages need: one that needed another of the group would wait for ever."""
    import yaml

    profile = yaml.safe_load((Path(__file__).parents[2] / "workflow/profiles/slurm/profile.yaml").read_text())
    kinds = {entry.split("=")[0] for entry in profile["groups"]}
    assert "evaluate" in kinds and len(set(e.split("=")[1] for e in profile["groups"])) == len(kinds)
    needed: dict[str, set[str]] = {}
    for stage in everything:
        above = set().union(*({p.kind} | needed[p.digest] for p in stage.parents))
        needed[stage.digest] = above
        assert stage.kind not in kinds or stage.kind not in above, f"{stage.kind} stages need each other"
