"""A whole stage in two processes: complete or absent, gone on with after a kill, failures in plain words."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import trainings

from elenchus import run_stage, tables
from elenchus.errors import UserError
from elenchus.graph import Stage, make
from elenchus.job import Result, file_entries

TWO = {"training": {"processes": 2, "nodes": 1, "strategy": "ddp"}}


def put(stage: Stage, results: Path, fill) -> Stage:
    """Write a result by hand."""
    folder = results / stage.kind / stage.digest
    folder.mkdir(parents=True)
    fill(folder)
    (folder / "stage.json").write_text(json.dumps({"files": file_entries(folder)}))
    return stage


def prepared(tmp_path: Path, made: Path):
    """Return a function that makes an sft stage over inputs that are there, the model a copy of `made`."""
    results = tmp_path / "results"
    model = put(make("seed_model", {}, seed=0), results, lambda at: shutil.copytree(made, at / "model"))
    problems = make("problems", {}, seed=0)
    given = make("examples", {}, seed=0, problems=problems, solutions=make("inject", {}, seed=0, problems=problems))
    rows = [{"example_id": str(i), "problem_id": str(i), **e} for i, e in enumerate(trainings.examples())]
    examples = put(given, results, lambda at: tables.write("examples", rows, at / "examples.parquet"))

    def stage(**params) -> Stage:
        return make("sft", {"batch": 8, "learning_rate": 1.0e-3, **params}, seed=0, model=model, examples=[examples])

    stage.results = results
    return stage


@pytest.fixture
def sft(tmp_path, made):
    return prepared(tmp_path, made)


def losses(folder: Path) -> list[float]:
    frame = Result(folder).table("history")
    return frame[frame["metric"] == "loss"]["value"].tolist()


def workers() -> dict[int, psutil.Process]:
    """Return the processes that train below this one, by rank."""
    found = {}
    for p in psutil.Process().children(recursive=True):
        try:
            if "elenchus.training.worker" in p.cmdline():
                found[int(p.environ()["RANK"])] = p
        except (psutil.Error, KeyError):
            continue
    return found


def when_checkpointed(work: Path, do) -> threading.Thread:
    def wait():
        end = time.monotonic() + 120
        while time.monotonic() < end and not list(work.glob("checkpoint-*[0-9]/state.json")):
            time.sleep(0.05)
        do()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def test_a_killed_rank_ends_the_stage_and_one_process_goes_on(sft, capfd):
    stage = sft(steps=120, save_steps=10)
    folder = sft.results / "sft" / stage.digest
    work = sft.results / ".work" / "sft" / stage.digest / "checkpoints"
    thread = when_checkpointed(work, lambda: workers()[1].kill())
    with pytest.raises(UserError, match=r"rank 1 of 2 was ended by SIGKILL[\s\S]*goes on from its last checkpoint"):
        run_stage.run({**stage.spec(), "machine": TWO}, sft.results)
    thread.join()
    assert not folder.exists() and not workers() and list(work.glob("checkpoint-*"))
    run_stage.run(stage.spec(), sft.results)
    assert "resumes after step" in capfd.readouterr().err
    assert len(losses(folder)) == 120 and not work.exists()
    assert (folder / "model" / "model.safetensors").exists() and (folder / "optimizer.safetensors").exists()


@pytest.mark.several_processes
def test_two_processes_make_what_one_makes(sft, tmp_path):
    stage = sft(steps=6)
    two = run_stage.run({**stage.spec(), "machine": TWO}, sft.results)
    os.rename(two, tmp_path / "two")
    one = run_stage.run(stage.spec(), sft.results)
    assert losses(tmp_path / "two") == pytest.approx(losses(one), rel=5e-6)
    manifests = [json.loads((at / "stage.json").read_text()) for at in (one, tmp_path / "two")]
    assert manifests[0]["files"].keys() == manifests[1]["files"].keys() and "machine" not in manifests[1]
    costs = [json.loads((at / "cost.json").read_text()) for at in (one, tmp_path / "two")]
    assert costs[0]["trained"] == costs[1]["trained"] > 0
    assert "processes" not in costs[0] and (costs[1]["processes"], costs[1]["strategy"]) == (2, "ddp")


@pytest.mark.several_processes
def test_an_error_of_all_ranks_is_said_once(sft):
    stage = sft(steps=6, max_length=2)
    with pytest.raises(UserError, match="training examples have at most 2 tokens; raise max_length") as e:
        run_stage.run({**stage.spec(), "machine": TWO}, sft.results)
    assert str(e.value).count("raise max_length") == 1
    assert not (sft.results / "sft" / stage.digest).exists()


@pytest.mark.several_processes
def test_sigterm_saves_and_the_next_run_goes_on(sft, tmp_path):
    stage = sft(steps=120, save_steps=10)
    (tmp_path / "spec.json").write_text(json.dumps({**stage.spec(), "machine": TWO}))
    code = (
        "import json, sys; from elenchus.run_stage import main; sys.exit(main(json.load(open('spec.json')), 'log.txt'))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path)
    work = sft.results / ".work" / "sft" / stage.digest / "checkpoints"
    when_checkpointed(work, lambda: process.send_signal(signal.SIGTERM)).join()
    assert process.wait(120) == 143 and not workers()
    log = (tmp_path / "log.txt").read_text()
    assert log.count("stopped after step") == 1 and "sft: " in log
    run_stage.run({**stage.spec(), "machine": TWO}, sft.results)
    assert len(losses(sft.results / "sft" / stage.digest)) == 120
