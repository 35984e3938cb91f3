"""A trainer stage on two nodes of a real Slurm: one agent on each, started by the stage inside its job."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

pytestmark = [pytest.mark.real_slurm, pytest.mark.timeout(900)]


def test_two_nodes_train_as_one_process(slurm, tmp_path):
    import cluster
    import test_stage
    import trainings

    from elenchus import run_stage

    stage = test_stage.prepared(tmp_path, trainings.make(tmp_path / "model"))(steps=6)
    results = tmp_path / "results"
    machine = {"training": {"processes": 1, "nodes": 2, "strategy": "ddp"}}
    (tmp_path / "spec.json").write_text(json.dumps({**stage.spec(), "machine": machine}))
    code = "import json; from elenchus.run_stage import main; raise SystemExit(main(json.load(open('spec.json')), 'log.txt'))"
    (tmp_path / "job.sh").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}"\n')
    asked = ["--nodes=2", "--ntasks=2", "--ntasks-per-node=1", "--mem=3000", f"--chdir={tmp_path}", "--output=job.out"]
    slurm.ask("sbatch", "--parsable", *asked, str(tmp_path / "job.sh"))
    cluster.wait_for(
        lambda: all(s not in ("RUNNING", "PENDING", "COMPLETING") for _, s, *_ in slurm.jobs()), 600, "the job"
    )
    assert [s for _, s, *_ in slurm.jobs()] == ["COMPLETED"], (tmp_path / "job.out").read_text()[-3000:]
    folder = results / "sft" / stage.digest
    two = test_stage.losses(folder)
    assert json.loads((folder / "cost.json").read_text())["processes"] == 2
    subprocess.run(["rm", "-r", str(folder)], check=True)
    assert two == pytest.approx(test_stage.losses(run_stage.run(stage.spec(), results)), rel=5e-6)
