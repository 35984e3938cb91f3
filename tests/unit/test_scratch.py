"""Stages on a node's scratch: the same bytes, and nothing half-written wherever it fails."""

from __future__ import annotations

import os
import shutil

import pytest
from test_run_stage import failing, full_by_the_system, problems

from elenchus import run_stage, scratch, stages
from elenchus.errors import UserError


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Return the scratch folder of this node, named as on a cluster."""
    (tmp_path / "job7").mkdir()
    monkeypatch.setenv("SLURM_TMPDIR", str(tmp_path / "job7"))
    monkeypatch.setenv(scratch.VARIABLE, "$SLURM_TMPDIR")
    return tmp_path / "job7"


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "cost.json"}


def test_outputs_are_written_on_scratch_and_have_the_same_bytes(node, tmp_path, monkeypatch):
    module, seen = stages.load("problems"), []
    real = module.run
    monkeypatch.setattr(module, "run", lambda job: (seen.append((job.out, job.work)), real(job)))
    made = run_stage.run(problems().spec(), tmp_path / "results")
    out, work = seen[0]
    assert out.is_relative_to(node) and work.is_relative_to(tmp_path / "results"), "checkpoints survive the node"
    assert not list(node.iterdir()) and not (tmp_path / "results/.work/problems" / made.name).exists()
    monkeypatch.delenv(scratch.VARIABLE)
    assert contents(made) == contents(run_stage.run(problems().spec(), tmp_path / "plain"))


def test_a_stage_that_fails_leaves_its_checkpoints_and_nothing_on_scratch(node, tmp_path, monkeypatch):
    mend, stage = failing(monkeypatch, full_by_the_system()), problems()
    with pytest.raises(UserError, match=rf"no space left \([\d.]+ GB free in {scratch.VARIABLE}={node}, "):
        run_stage.run(stage.spec(), tmp_path / "results")
    assert not list(node.iterdir()) and not (tmp_path / "results/problems" / stage.digest).exists()
    assert (tmp_path / "results/.work/problems" / stage.digest / "checkpoints/checkpoint").exists()
    mend()
    assert (run_stage.run(stage.spec(), tmp_path / "results") / "stage.json").exists()


def test_a_copy_that_arrives_otherwise_is_refused(node, tmp_path, monkeypatch):
    """A shared file system that loses the end of a file without an error."""
    copy = shutil.copyfile

    def short(source, target):
        copy(source, target)
        os.truncate(target, 10)

    monkeypatch.setattr(scratch.shutil, "copyfile", short)
    stage = problems()
    with pytest.raises(UserError, match="10 bytes where the manifest says"):
        run_stage.run(stage.spec(), tmp_path / "results")
    assert not (tmp_path / "results/problems" / stage.digest).exists() and not list(node.iterdir())
    monkeypatch.setattr(scratch.shutil, "copyfile", copy)
    assert (run_stage.run(stage.spec(), tmp_path / "results") / "stage.json").exists()


def test_what_a_killed_stage_left_goes_and_that_of_other_projects_stays(node, tmp_path):
    stage = problems()
    with scratch.outputs(tmp_path / "results/.work/problems" / stage.digest / "out") as out:
        left = shutil.copytree(out, out.with_name(out.name + "0"))
    with scratch.outputs(tmp_path / "elsewhere/.work/problems" / stage.digest / "out") as out:
        other = shutil.copytree(out, out.with_name(out.name + "0"))
    run_stage.run(stage.spec(), tmp_path / "results")
    assert not left.exists() and other.exists()


def test_scratch_that_vanishes_is_one_plain_message(node, tmp_path, monkeypatch):
    module = stages.load("problems")
    real = module.run
    monkeypatch.setattr(module, "run", lambda job: (shutil.rmtree(node), real(job)))
    with pytest.raises(UserError, match="was removed while the stage ran"):
        run_stage.run(problems().spec(), tmp_path / "results")


@pytest.mark.parametrize(
    ("named", "says"),
    [("$NO_SUCH_VARIABLE/x", "a variable in it is not set"), ("relative", "not an absolute"), ("/no/such", "no such")],
)
def test_scratch_that_is_not_there_is_said_with_the_line_that_mends_it(tmp_path, monkeypatch, named, says):
    monkeypatch.setenv(scratch.VARIABLE, named)
    with pytest.raises(UserError, match=says) as told:
        run_stage.run(problems().spec(), tmp_path / "results")
    assert "export ELENCHUS_SCRATCH='$SLURM_TMPDIR'" in str(told.value)
    assert not (tmp_path / "results" / "problems").exists()


def test_pretrained_weights_are_linked_beside_the_results(node, tmp_path):
    from test_pretrained import model_folder

    from elenchus.graph import make

    source = model_folder(tmp_path / "mine")
    made = run_stage.run(make("pretrained", {"name": str(source)}, seed=None).spec(), tmp_path / "results")
    assert (made / "model" / "model.safetensors").samefile(source / "model.safetensors")


def test_shards_of_a_stage_on_one_node_leave_each_others_outputs(tmp_path, monkeypatch):
    node = tmp_path / "node"
    node.mkdir()
    monkeypatch.setenv(scratch.VARIABLE, str(node))
    work = tmp_path / "results" / ".work" / "sample" / "0123456789abcdef"
    with scratch.outputs(work / "out-0-of-2") as first:
        with scratch.outputs(work / "out-1-of-2") as second, scratch.outputs(work / "out") as whole:
            assert first.is_dir() and second.is_dir() and whole.is_dir()
        assert first.is_dir() and not second.exists()
    assert not list(node.iterdir())
