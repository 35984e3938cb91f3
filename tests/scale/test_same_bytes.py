"""`snakemake --profile slurm` on a real Slurm of three nodes makes the bytes of a local run."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.real_slurm, pytest.mark.timeout(1800)]


def test_slurm_makes_the_bytes_of_a_local_run(finished, slurm, tmp_path):
    import small

    folder = small.project(tmp_path / "project")
    targets = [str(s.manifest) for s in small.stages(folder).values()]
    with small.snakemake(folder, slurm, *targets, "--config", "shards=2") as run:
        assert run.ends(1500) == 0, run.said[-5000:]
    local = small.workflow.result_bytes(finished)
    assert len(local) >= 4 and small.workflow.result_bytes(folder) == local
    comments = [comment for _, state, _, comment in slurm.jobs() if state == "COMPLETED"]
    assert len(comments) == 6, "problem sets (one job), training, two shards of sampling, their joining, evaluation"
    assert any("problems" in c for c in comments) and any("seed_model" in c for c in comments)
