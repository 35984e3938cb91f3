"""DVC remotes and results on an S3 store: from one clone to another, and what is said where the store disappoints."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from elenchus import doctor_services
from elenchus.cli import main

pytestmark = pytest.mark.services
ROOT = Path(__file__).parents[2]
DATA = ("critiques", "pairs", "revisions", "trees")


def run(folder: Path, *command: str) -> subprocess.CompletedProcess:
    """Run a command (dvc: this Python's) in `folder`; no service may keep it longer than a minute."""
    source = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "DVC_NO_ANALYTICS": "1", "PYTHONPATH": source}
    if command[0] == "dvc":
        command = (sys.executable, "-m", *command)
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False)


def good(folder: Path, *command: str) -> str:
    """Run a command that has to end well; return what it said."""
    done = run(folder, *command)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def clone(source: Path, target: Path) -> Path:
    """Return a Git clone."""
    good(source.parent, "git", "clone", "-q", str(source), str(target))
    return target


@pytest.fixture
def first(s3, tmp_path):
    """A clone of this project with published data of its own, committed, and a checked remote on the store."""
    project = tmp_path / "first"
    project.mkdir()
    for name in ("dvc.yaml", "params.yaml", "Snakefile", ".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, project / name)
    for name in ("workflow", "src/elenchus"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in DATA:
        (project / "data" / name).mkdir(parents=True)
        (project / "data" / name / f"{name}.jsonl").write_text(f'{{"what": "{name}"}}\n' * 500)
        (project / "data" / name / "README.md").write_text(f"# {name}\n")
    (project / "results" / "metrics").mkdir(parents=True)
    for ending in ("csv", "json"):
        (project / "results" / "metrics" / f"elenchus.{ending}").write_text("{}\n")
    good(project, "git", "init", "-q")
    good(project, "git", "config", "user.email", "test@example.org")
    good(project, "git", "config", "user.name", "test")
    good(project, "dvc", "init", "-q")
    good(project, "dvc", "remote", "add", "-d", "store", "s3://lab/dvc")
    good(project, "dvc", "remote", "modify", "store", "verify", "true")
    good(project, "dvc", "commit", "-q", "--force")
    good(project, "git", "add", "-A")
    good(project, "git", "commit", "-qm", "published")
    return project


def contents(project: Path) -> dict[str, bytes]:
    """Return {path: bytes} of a project's published data and metrics."""
    files = [p for name in ("data", "results/metrics") for p in (project / name).rglob("*") if p.is_file()]
    return {str(p.relative_to(project)): p.read_bytes() for p in files if p.name != ".gitignore"}


def of_remote(project: Path):
    """Return the doctor's finding about the remote, which has to come within half a minute."""
    begin = time.monotonic()
    (found,) = list(doctor_services.dvc_remotes(project))
    assert time.monotonic() - begin < 30
    return found


def test_data_pushed_from_one_clone_is_pulled_in_another_where_repro_does_nothing(s3, first, tmp_path):
    before = of_remote(first)
    assert before.level == "note" and "lacks" in before.what and "dvc push -r store" in before.mend
    good(first, "dvc", "push")
    assert of_remote(first).level == "fine"
    second = clone(first, tmp_path / "second")
    assert not (second / "data" / "critiques").exists()
    good(second, "dvc", "pull")
    assert contents(second) == contents(first) and len(contents(second)) == 2 * len(DATA) + 2
    said = good(second, "dvc", "repro")
    assert "didn't change" in said and "Running stage" not in said


@pytest.mark.parametrize("how", ["cut short", "changed"])
def test_a_damaged_object_is_named_by_the_doctor_and_refused_by_a_pull(s3, first, tmp_path, how):
    good(first, "dvc", "push")
    import hashlib

    oid = hashlib.md5((first / "data/pairs/pairs.jsonl").read_bytes()).hexdigest()
    name = f"dvc/files/md5/{oid[:2]}/{oid[2:]}"
    s3.change(name, {"cut short": lambda data: data[:100], "changed": lambda data: b"X" + data[1:]}[how])
    second = clone(first, tmp_path / "second")
    found = of_remote(second)
    assert found.level == "wrong" and "data/pairs/pairs.jsonl" in found.found and "holds damaged files" in found.what
    done = run(second, "dvc", "pull")
    assert done.returncode != 0 and "data/pairs" in done.stderr and "Traceback" not in done.stderr
    assert not (second / "data" / "pairs" / "pairs.jsonl").exists(), "nothing damaged, nothing half"


def test_a_revoked_key_and_a_store_that_is_gone_are_said_within_seconds(s3, first):
    good(first, "dvc", "push")
    s3.revoke()
    found = of_remote(first)
    assert found.level == "wrong" and "renew the key" in found.mend, found
    shutil.rmtree(first / ".dvc" / "cache")
    shutil.rmtree(first / "data" / "pairs")
    done = run(first, "dvc", "pull")
    assert done.returncode != 0 and "Forbidden" in done.stderr and "Traceback" not in done.stderr
    s3.stop()
    found = of_remote(first)
    assert found.level == "wrong" and "look at the network" in found.mend, found
    done = run(first, "dvc", "pull")
    assert done.returncode != 0 and "Could not connect" in done.stderr and "Traceback" not in done.stderr


def test_a_bucket_that_is_not_there_is_said(s3, first):
    good(first, "dvc", "remote", "modify", "store", "url", "s3://nowhere/dvc")
    found = of_remote(first)
    assert found.level == "wrong" and "dvc remote modify store url" in found.mend, found


# -- results -----------------------------------------------------------------------------------------------------------


def elenchus(*command: str):
    """Run `elenchus results`."""
    done = CliRunner().invoke(main, ["results", *command])
    assert done.exit_code in (0, 1), done.output + repr(done.exception)
    return done


def test_results_go_to_the_store_and_come_back_checked(s3, copied):
    held = lambda: {p: p.read_bytes() for p in Path("results").glob("[!.]*/*/**/*") if p.is_file()}  # noqa: E731
    before, n = held(), len(copied.recipe("small").stages)
    begin = time.monotonic()
    assert f"{n} results sent to s3://lab/r" in elenchus("push", "small", "--to", "s3://lab/r").output
    print(f"{n} results sent in {time.monotonic() - begin:.1f} s")
    assert "0 results sent" in elenchus("push", "small", "--to", "s3://lab/r").output
    spoiled = next(name for name in s3.names("r/sample/") if name.endswith(".parquet"))
    whole = s3.objects.get_object(Bucket="lab", Key=spoiled)["Body"].read()
    s3.change(spoiled, lambda data: data[:50])
    shutil.rmtree("results")
    begin = time.monotonic()
    done = elenchus("pull", "small", "--from", "s3://lab/r")
    print(f"{n} results taken in {time.monotonic() - begin:.1f} s")
    assert done.exit_code == 1 and f"s3://lab/{spoiled}: 50 bytes where the manifest says" in done.output
    s3.change(spoiled, lambda _: whole)
    assert "1 results taken" in elenchus("pull", "small", "--from", "s3://lab/r").output
    assert {p: d for p, d in held().items() if "log" not in p.parts} == {p: d for p, d in before.items() if p in held()}
    assert sum(p.name == "stage.json" for p in held()) == n


def test_a_key_that_is_refused_and_a_store_that_is_gone_are_one_plain_message(s3, copied):
    assert elenchus("push", "small", "--to", "s3://lab/r").exit_code == 0
    s3.revoke()
    shutil.rmtree("results")
    for wrong in (lambda: None, s3.stop):
        wrong()
        begin = time.monotonic()
        done = elenchus("pull", "small", "--from", "s3://lab/r")
        assert done.exit_code == 1 and "AWS_ACCESS_KEY_ID" in done.output and time.monotonic() - begin < 60
        assert len(done.output.strip().splitlines()) == 2, done.output
        assert not list(Path().glob("results/*/*/stage.json"))
