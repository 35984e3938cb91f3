"""The whole main job on a real Slurm of three nodes, at microscopic sizes: checked by the doctor, run, the local run's bytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.real_slurm, pytest.mark.timeout(5400)]


def test_the_doctor_finds_a_cluster_sound_through_a_job_on_it(slurm, tmp_path):
    import small

    folder = small.project(tmp_path / "project")
    done = subprocess.run(
        ["elenchus", "doctor", "--job"],
        cwd=folder,
        env={**small.workflow.environment(), **slurm.environment, "PATH": path(slurm)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "wrong" not in done.stdout and "node" in done.stdout


def test_the_main_job_through_slurm_makes_the_bytes_of_a_local_run(slurm, tmp_path):
    import small

    local = small.workflow.new_project(tmp_path / "local")
    done = small.workflow.run(local, "snakemake", timeout=2400)
    assert done.returncode == 0, done.stdout[-5000:]
    folder = small.workflow.new_project(tmp_path / "project")
    with small.snakemake(folder, slurm) as run:
        assert run.ends(3600) == 0, run.said[-5000:]
    made, whole = small.workflow.result_bytes(folder), small.workflow.result_bytes(local)
    assert len(made) > 50 and made == whole
    assert (folder / "results/by-recipe/elenchus/report.html").exists()
    states = [state for _, state, _, _ in slurm.jobs()]
    print(f"{len(made)} stages in {len(states)} jobs")
    assert set(states) == {"COMPLETED"} and len(states) < len(made), "small stages share jobs"


def path(slurm) -> str:
    """Return PATH with this Python's commands first."""
    return f"{Path(sys.executable).parent}:{slurm.environment['PATH']}"
