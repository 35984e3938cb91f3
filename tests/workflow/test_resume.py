"""A training that is killed, at any moment, goes on from its last checkpoint and ends with the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import tiny

from elenchus import environment
from elenchus.job import file_entries

WORKER = "import json, sys; from elenchus.run_stage import main; sys.exit(main(json.load(open(sys.argv[1]))))"
SPENT = ("oracle_calls", "prompt", "sampled", "trained")


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> tuple[Path, dict[str, str]]:
    """All inputs, finished; the critic is warmed up until some of its critiques can be read: RL needs a signal."""
    environment.torch_setup(1)
    from elenchus import run_stage

    results = tmp_path_factory.mktemp("given") / "results"
    found = tiny.make(results)
    warm = tiny.spec("sft", found, steps=60, batch=16, learning_rate=1.0e-2, save_steps=1000)
    return results, {**found, "critic": f"results/{run_stage.run(warm, results).relative_to(results)}"}


def start(spec: dict, at: Path) -> subprocess.Popen:
    """Start a job of its own on `spec`, in the folder that holds `results`."""
    (at / "spec.json").write_text(json.dumps(spec))
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, "spec.json"], cwd=at, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(job: subprocess.Popen, condition) -> None:
    """Wait until condition() holds while `job` runs."""
    limit = time.monotonic() + 300
    while not condition():
        assert job.poll() is None, f"the job ended too early: {job.communicate()[1]}"
        assert time.monotonic() < limit, "nothing happened in five minutes"
        time.sleep(0.005)


def outcome(folder: Path) -> tuple[dict, dict]:
    """Return (digests of all outputs, what was spent)."""
    cost = json.loads((folder / "cost.json").read_text())
    files = {k: v for k, v in file_entries(folder).items() if k != "cost.json"}
    return files, {name: cost[name] for name in SPENT}


@pytest.mark.parametrize("kind", list(tiny.STAGES))
def test_killed_and_resumed(kind, given, tmp_path):
    from elenchus import run_stage

    results, found = given
    spec = tiny.spec(kind, {**found, "model": found["critic"]} if kind == "grpo" else found)
    shutil.copytree(results, tmp_path / "undisturbed")
    undisturbed = run_stage.run(spec, tmp_path / "undisturbed")
    history = pd.read_parquet(undisturbed / "history.parquet")
    moved = history.query("metric == 'grad_norm'")["value"] > 0
    assert moved.mean() > 0.5, "a training that changes nothing tests nothing"

    shutil.copytree(results, tmp_path / "results")
    work = tmp_path / "results" / ".work" / kind / spec["digest"] / "checkpoints"

    def checkpoints() -> list[Path]:
        return sorted(work.glob("checkpoint-*[0-9]"))

    job = start(spec, tmp_path)
    wait_for(job, checkpoints)
    os.killpg(job.pid, signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL
    saved = checkpoints()[-1]
    step = json.loads((saved / "state.json").read_text())["step"]
    assert 0 < step < spec["params"]["steps"], "killed in the middle"
    assert not (tmp_path / "results" / kind / spec["digest"]).exists(), "no half result"
    # A kill while a checkpoint is written leaves the folder aside: here, with half a file of weights.
    half = work / f"checkpoint-{step + 1:08d}.part"
    half.mkdir()
    (half / "model.safetensors").write_bytes((saved / "model.safetensors").read_bytes()[:500])

    job = start(spec, tmp_path)
    errors = job.communicate(timeout=300)[1]
    assert job.returncode == 0, errors
    assert f"resumes after step {step} of" in errors
    assert outcome(tmp_path / "results" / kind / spec["digest"]) == outcome(undisturbed)
    assert not work.exists(), "checkpoints go once the result is there"


def test_terminated_saves_fails_and_resumes(given, tmp_path):
    """SIGTERM: the step is finished and saved, and the exit code is not 0, so that the job is tried again."""
    from elenchus import run_stage

    results, found = given
    spec = tiny.spec("process_head", found, steps=500, save_steps=100000)
    shutil.copytree(results, tmp_path / "undisturbed")
    undisturbed = run_stage.run(spec, tmp_path / "undisturbed")
    shutil.copytree(results, tmp_path / "results")
    work = tmp_path / "results" / ".work" / "process_head" / spec["digest"] / "checkpoints"
    job = start(spec, tmp_path)
    assert any("process_head: 1/500" in line for line in iter(job.stderr.readline, ""))
    job.send_signal(signal.SIGTERM)
    errors = job.communicate(timeout=300)[1]
    assert job.returncode == 143
    assert "stopped after step" in errors and "Traceback" not in errors
    (saved,) = work.glob("checkpoint-*")
    assert 0 < json.loads((saved / "state.json").read_text())["step"] < 500
    job = start(spec, tmp_path)
    errors = job.communicate(timeout=300)[1]
    assert job.returncode == 0 and "resumes after step" in errors
    assert outcome(tmp_path / "results" / "process_head" / spec["digest"]) == outcome(undisturbed)
