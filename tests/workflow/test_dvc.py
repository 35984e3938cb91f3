"""DVC for real: `dvc repro` versions what the main job publishes, `dvc exp run -S` ablates."""

from __future__ import annotations

import shutil

import pytest
from conftest import ROOT, run


@pytest.fixture
def repository(project):
    """The finished project as a Git and DVC repository with everything committed."""
    (project / "src").mkdir()
    (project / "src/elenchus").symlink_to(ROOT / "src/elenchus")
    shutil.copy(ROOT / ".gitignore", project / ".gitignore")
    shutil.rmtree(project / "data", ignore_errors=True)  # as in a clone: data comes from a run or from a remote
    for stamp in (project / "results/view/elenchus").iterdir():
        stamp.unlink()
    for command in (
        "git init -q",
        "git config user.email test@example.org",
        "git config user.name test",
        "dvc init -q",
        "git add -A",
        "git commit -qm start",
    ):
        done = run(project, *command.split())
        assert done.returncode == 0, done.stdout
    return project


def test_repro_versions_what_was_published_and_then_does_nothing(repository):
    done = run(repository, "dvc", "repro")
    assert done.returncode == 0, done.stdout[-3000:]
    lock = (repository / "dvc.lock").read_text()
    assert all(f"path: data/{name}" in lock for name in ("critiques", "pairs", "revisions", "trees"))
    shown = run(repository, "dvc", "metrics", "show").stdout
    assert "b_star" in shown and "pass@1" in shown
    assert run(repository, "dvc", "plots", "show").returncode == 0
    again = run(repository, "dvc", "repro")
    assert "didn't change" in again.stdout and "snakemake" not in again.stdout.replace("'snakemake", "")


def test_an_experiment_changes_one_value_and_keeps_the_rest(repository):
    assert run(repository, "dvc", "repro").returncode == 0
    run(repository, "git", "add", "-A")
    run(repository, "git", "commit", "-qm", "first run")
    models = {p.name for p in (repository / "results/seed_model").iterdir()}
    done = run(repository, "dvc", "exp", "run", "-S", "elenchus.rounds.steps=4")
    assert done.returncode == 0, done.stdout[-4000:]
    assert {p.name for p in (repository / "results/seed_model").iterdir()} == models, (
        "nothing before the rounds ran again"
    )
    shown = run(repository, "dvc", "exp", "show", "--csv").stdout
    assert "elenchus.rounds.steps" in shown and "pass@1" in shown
