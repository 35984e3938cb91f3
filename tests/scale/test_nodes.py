"""A trainer stage on two nodes of a real Slurm: one agent on each, started by the stage inside its job.

Through `snakemake --profile slurm` it is a stage on a pretrained model, which asks for a GPU on each node. Slurm counts GPUs
that are not there; the processes find none and train on CPUs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

SAVE_STEPS = 10
TWO_NODES = "training: {nodes: 2, processes: 1, strategy: ddp}\n"

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


@pytest.fixture(scope="module")
def on_pretrained(tmp_path_factory):
    """Return (project, stage): the warm-up of the critic, trained on a pretrained model by one process, without Slurm."""
    import small

    root, tiny = tmp_path_factory.mktemp("pretrained"), small.workflow.TINY
    maker = small.project(root / "maker", tiny)
    base = small.named(maker, "seed-model")
    long = tiny.replace(
        "warmup: {steps: 4, save_steps: 2}", f"warmup: {{steps: 60, save_steps: {SAVE_STEPS}, batch: 8}}"
    )
    assert long != tiny
    params = f"{long}base_model: {{name: {maker}/results/seed_model/{base.digest}/model, lessons: 0}}\n"
    folder = small.project(root / "project", params)
    stage = small.named(folder, "warm-up")
    for project, wanted in ((maker, base), (folder, stage)):
        done = small.workflow.run(project, "snakemake", str(wanted.manifest))
        assert done.returncode == 0, done.stdout[-5000:]
    return folder, stage


@pytest.fixture
def to_train(on_pretrained, tmp_path):
    """Return (project, stage) of which all but the training is done; params.yaml says two nodes."""
    import small

    finished, stage = on_pretrained
    folder = small.copy_without(finished, tmp_path / "project", "sft")
    with (folder / "params.yaml").open("a") as f:
        f.write(TWO_NODES)
    assert small.named(folder, "warm-up").digest == stage.digest, "nodes are in no digest"
    return folder, stage


def as_one_process(folder: Path, on_pretrained) -> None:
    """Assert that the stage in `folder` was trained by two processes, and came to what one came to."""
    import test_stage
    from safetensors.numpy import load_file

    finished, stage = on_pretrained
    two, one = (at / "results/sft" / stage.digest for at in (folder, finished))
    assert json.loads((two / "cost.json").read_text())["processes"] == 2
    # sixty steps, at whose end a loss is a difference of almost equal numbers
    assert test_stage.losses(two) == pytest.approx(test_stage.losses(one), rel=1e-4)
    made, whole = (load_file(at / "model/model.safetensors") for at in (two, one))
    apart = {name: float(abs(made[name] - whole[name]).max()) for name in whole}
    print(f"weights apart by {max(apart.values()):.1e} at most")
    assert max(apart.values()) < 2e-4


def asked_of_slurm(slurm) -> dict[str, str]:
    """Return what Slurm knows of the newest job."""
    told = slurm.ask("scontrol", "show", "job", "-o", slurm.jobs()[0][0])
    return dict(entry.split("=", 1) for entry in told.split() if "=" in entry)


def test_snakemake_trains_on_two_nodes_as_one_process(to_train, on_pretrained, slurm):
    import small

    folder, stage = to_train
    with small.snakemake(folder, slurm, str(stage.manifest)) as run:
        assert run.ends() == 0, run.said[-5000:] + small.told(folder, "sft")
    job = asked_of_slurm(slurm)
    assert job["NumNodes"] == job["NumTasks"] == "2" and job["TresPerNode"] == "gres:gpu:1"
    assert [state for _, state, *_ in slurm.jobs()] == ["COMPLETED"]
    as_one_process(folder, on_pretrained)


def trainers(slurm) -> dict[int, tuple[str, int]]:
    """Return {rank: (node, process)} of the processes that train on the cluster."""
    import cluster

    found = {}
    for node in slurm.nodes:
        for pid in cluster.descendants_of(node, slurm.folder):
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                if "elenchus.training.worker" in process.cmdline():
                    found[int(process.environ()["RANK"])] = node, pid
    return found


def slurmstepd_above(pid: int) -> int:
    """Return Slurm's own process that looks after a task."""
    return next(p.pid for p in psutil.Process(pid).parents() if p.name().startswith("slurmstepd"))


@pytest.mark.parametrize("what", ["signal", "rank", "slurmstepd", "node"])
def test_what_befalls_the_second_node_costs_the_steps_since_the_checkpoint(what, to_train, on_pretrained, slurm):
    """The early signal of a time limit, which goes to a job's steps, so to both nodes; a rank that is killed; its node's
    slurmstepd, of whose end srun hears nothing; all of the node, as in a power cut.
    """
    import small

    folder, stage = to_train
    work = folder / "results/.work/sft" / stage.digest / "checkpoints"
    with small.snakemake(folder, slurm, str(stage.manifest)) as run:
        run.until(lambda: list(work.glob("checkpoint-*[0-9]/state.json")), "a checkpoint")
        batch = slurm.ask("squeue", "-h", "-o", "%B")
        node, pid = next(found for found in trainers(slurm).values() if found[0] != batch)
        if what == "signal":
            slurm.ask("scancel", "--signal=TERM", slurm.jobs("running")[0][0])
        elif what == "node":
            slurm.kill(node)
        else:
            os.kill(pid if what == "rank" else slurmstepd_above(pid), signal.SIGKILL)
        begin, limit = time.monotonic(), time.monotonic() + 400
        while run.process.poll() is None and time.monotonic() < limit:
            slurm.hurry()
            time.sleep(1)
        assert run.process.poll() == 0, run.said[-5000:] + small.told(folder, "sft")
    print(f"{what}: done {time.monotonic() - begin:.0f} s after the loss")
    first = int(re.search(r"resumes after step (\d+) of 60", small.told(folder, "sft"))[1])
    assert first >= SAVE_STEPS
    as_one_process(folder, on_pretrained)
