"""One stage's job: complete or absent, whatever happens."""

from __future__ import annotations

import errno
import json
import os

import pandas as pd
import pytest
from safetensors import SafetensorError

from elenchus import run_stage, stages
from elenchus.errors import CorruptResult, UserError
from elenchus.graph import make

OPTIONS = {"modulus": 5, "min_length": 1, "max_length": 2}


def problems(split="train"):
    return make("problems", {"options": OPTIONS, "split": split, "n": 5}, seed=0)


@pytest.fixture
def results(tmp_path):
    return tmp_path / "results"


def test_a_stage_is_run_once_and_its_manifest_names_every_byte(results):
    stage = problems()
    folder = run_stage.run(stage.spec(), results)
    manifest = json.loads((folder / "stage.json").read_text())
    assert manifest["digest"] == stage.digest and manifest["params"]["n"] == 5
    assert set(manifest["files"]) == {p.name for p in folder.iterdir()} - {"stage.json", "cost.json"}
    made = (folder / "stage.json").stat().st_mtime_ns
    run_stage.run(stage.spec(), results)
    assert (folder / "stage.json").stat().st_mtime_ns == made
    assert not (results / ".work" / "problems" / stage.digest).exists()


def test_the_same_stage_gives_the_same_bytes(tmp_path):
    a, b = (run_stage.run(problems().spec(), tmp_path / name) for name in ("a", "b"))
    assert (a / "stage.json").read_bytes() == (b / "stage.json").read_bytes()
    assert (a / "problems.parquet").read_bytes() == (b / "problems.parquet").read_bytes()


def test_a_half_written_folder_is_made_anew(results):
    stage = problems()
    folder = results / "problems" / stage.digest
    folder.mkdir(parents=True)
    (folder / "problems.parquet").write_bytes(b"PAR1")
    run_stage.run(stage.spec(), results)
    assert len(pd.read_parquet(folder / "problems.parquet")) == 5


@pytest.mark.parametrize("damage", ["truncate", "change", "remove"])
def test_a_damaged_input_is_named_with_the_line_that_mends_it(results, damage):
    splits = [problems(s) for s in ("train", "test")]
    folders = [run_stage.run(s.spec(), results) for s in splits]
    path = folders[0] / "problems.parquet"
    data = path.read_bytes()
    {
        "truncate": lambda: path.write_bytes(data[:50]),
        "change": lambda: path.write_bytes(b"X" + data[1:]),
        "remove": path.unlink,
    }[damage]()
    proof = make("disjoint", {}, seed=0, problems=splits)
    with pytest.raises(CorruptResult, match=f"rm -r {folders[0]}"):
        run_stage.run(proof.spec(), results)
    assert not (results / "disjoint" / proof.digest).exists()


def test_splits_that_share_a_problem_are_refused(results):
    train, other = problems(), problems("test")
    run_stage.run(train.spec(), results)
    folder = run_stage.run(other.spec(), results)
    leaked = pd.read_parquet(results / "problems" / train.digest / "problems.parquet").assign(split="test")
    leaked.to_parquet(folder / "problems.parquet")
    manifest = json.loads((folder / "stage.json").read_text())
    manifest["files"] = run_stage.file_entries(folder) | {}
    (folder / "stage.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="'test' and 'train' share 5 problem ids"):
        run_stage.run(make("disjoint", {}, seed=0, problems=[train, other]).spec(), results)


def failing(monkeypatch, error):
    module = stages.load("problems")
    real = module.run

    def run(job):
        (job.out / "half.bin").write_bytes(b"half")
        (job.work / "checkpoint").write_bytes(b"kept")
        raise error

    monkeypatch.setattr(module, "run", run)
    return lambda: monkeypatch.setattr(module, "run", real)


def full_by_the_system():
    """Return the system's own error for a full disk, which /dev/full gives."""
    with pytest.raises(OSError, match="No space left") as caught, open("/dev/full", "w") as f:
        f.write("x")
        f.flush()
    return caught.value


def full_by_safetensors():
    """Return what safetensors raises where weights meet a full disk: no OSError, its number in words."""
    return SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize("error", [full_by_the_system, full_by_safetensors])
def test_a_full_disk_is_said_and_leaves_nothing_half_written(results, monkeypatch, error):
    full = error()
    mend, stage = failing(monkeypatch, full), problems()
    with pytest.raises(UserError, match="no space left"):
        run_stage.run(stage.spec(), results)
    assert not (results / "problems" / stage.digest).exists()
    assert (results / ".work/problems" / stage.digest / "checkpoints/checkpoint").exists(), (
        "checkpoints outlive a failure"
    )
    mend()
    assert (run_stage.run(stage.spec(), results) / "stage.json").exists()


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EACCES, "cannot write here .* chmod -R u\\+w"),
        (errno.EROFS, "its file system is read-only now.* findmnt --target"),
        (errno.ESTALE, "its file system does not answer .* stat "),
    ],
)
def test_results_that_cannot_be_written_are_said(results, monkeypatch, number, says):
    def refuse(*_):
        raise OSError(number, os.strerror(number), str(results))

    monkeypatch.setattr(run_stage.os, "replace", refuse)
    with pytest.raises(UserError, match=f"(?s){says}"):
        run_stage.run(problems().spec(), results)


def test_a_kind_that_does_not_write_what_it_promises_is_refused(results, monkeypatch):
    monkeypatch.setattr(stages.load("problems"), "run", lambda job: None)
    with pytest.raises(AssertionError, match="promises 'problems'"):
        run_stage.run(problems().spec(), results)


def test_code_that_changed_since_planning_is_refused(results):
    spec = {**problems().spec(), "code": "0" * 16}
    with pytest.raises(UserError, match="has changed since this workflow was planned"):
        run_stage.run(spec, results)
    assert not (results / "problems" / spec["digest"]).exists()


@pytest.mark.parametrize(("given", "seen"), [(None, "0"), ("2,3", "2"), ("", ""), ("GPU-ab", "GPU-ab")])
def test_a_trainer_of_one_process_sees_one_gpu(monkeypatch, given, seen):
    """With several, transformers would train on batches several times as large."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given or "")  # noted, to be put back
    if given is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    run_stage.see_one_gpu()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == seen
