"""A stage shared by several jobs: the same bytes, and nothing to do once it is done, however many share it."""

from __future__ import annotations

import shutil

from conftest import TINY, new_project, result_bytes, run

from elenchus import plan

PARAMS = (
    TINY[: TINY.index("seed_model:")]
    + """
engine: {batch_size: 8}
seed_model: {width: 32, layers: 1, heads: 2, drill_steps: 10, drill_gate: 1.1, solve_steps: 10, solve_gate: 1.1,
             mixture_steps: 10, check_problems: 8, card_problems: 8, check_every: 10}
"""
    + TINY[TINY.index("elenchus:\n") :].replace("test_samples: 8", "test_samples: 64")
)


def test_shards_are_jobs_of_their_own_and_change_no_byte(tmp_path):
    whole = new_project(tmp_path / "whole", PARAMS)
    named = {n.name: n.stage for n in plan.load(whole).recipe("elenchus").named if n.arm == "shared"}
    stage = named["test-solutions"]
    target = str(stage.manifest)
    done = run(whole, "snakemake", target)
    assert done.returncode == 0, done.stdout[-4000:]

    shared = shutil.copytree(whole, tmp_path / "shared", symlinks=True)
    shutil.rmtree(shared / "results" / "sample")
    done = run(shared, "snakemake", target, "--config", "shards=3")
    assert done.returncode == 0, done.stdout[-4000:]
    assert done.stdout.count("(shard ") == 3
    assert result_bytes(shared) == result_bytes(whole) and str(stage.digest) in str(result_bytes(shared))
    for shards in (1, 3):
        again = run(shared, "snakemake", "-n", target, "--config", f"shards={shards}")
        assert "Nothing to be done" in again.stdout, again.stdout[-3000:]
