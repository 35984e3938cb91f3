"""Projects in temporary folders that run the real Snakefile, rules and main recipe on problems small enough for a test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOCKETS = Path(tempfile.mkdtemp(prefix="elenchus-sockets-")) / "outside"  # what tried to leave this machine (offline/)

TINY = """
recipes: [elenchus]
problems: {options: {modulus: 3, min_length: 1, max_length: 2}, train: 12, validation: 8, test: 8}
seed_model: {width: 64, layers: 2, heads: 2, drill_steps: 150, solve_steps: 100, mixture_steps: 100,
             check_problems: 32, card_problems: 32, check_every: 50, save_steps: 20}
elenchus:
  test_samples: 8
  search: {problems: 6, settings: {simulations: 4}, head: {steps: 5}}
  critics:
    drafts: 4
    test_drafts: 4
    teachers:
      careful: {miss_rate: 0.2, false_alarm_rate: 0.05, blind: [carry]}
      nervous: {miss_rate: 0.2, false_alarm_rate: 0.2, blind: [operator]}
    warmup: {steps: 4, save_steps: 2}
    pairs: {samples: 2}
    dpo: {steps: 3, use_filtered: false}
    stage_one: {steps: 4, batch: 8, save_steps: 2, terms: {verdict: 1.0, first_error: 1.0}}
    stage_two: {steps: 2, batch: 8, terms: {refinement: 1.0, verdict: 0.2}, beta: 0.01}
  rounds:
    process_reward: critic
    rounds: 2
    samples: 4
    steps: 3
    dev: 6
    dev_samples: 4
    balance: {temperatures: [0.6, 1.0], thresholds: [-0.5, 0.0, 0.5], target: 6, unique: false}
"""


def environment() -> dict[str, str]:
    """Return the environment of a user's shell with the project's environment activated, and without a network."""
    bin_folder = str(Path(sys.executable).parent)
    path = [str(Path(__file__).parent / "offline"), *filter(None, [os.environ.get("PYTHONPATH")])]
    offline = {"PYTHONPATH": os.pathsep.join(path), "ELENCHUS_TEST_SOCKETS": str(SOCKETS)}
    mine = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1", "COLUMNS": "200"}
    return {**os.environ, **mine, **offline}


def run(folder: Path, *command: str, timeout: float = 900) -> subprocess.CompletedProcess:
    """Run a command in `folder` and return it, stdout and stderr together."""
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        timeout=timeout,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )


def new_project(folder: Path, params: str = TINY) -> Path:
    """Return `folder` as a project: this repository's workflow, with other parameters."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "workflow", folder / "workflow", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "dvc.yaml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "profiles").symlink_to("workflow/profiles")
    (folder / "slurm").symlink_to("workflow/profiles/slurm")
    (folder / "params.yaml").write_text(params)
    return folder


def result_bytes(folder: Path) -> dict[str, str]:
    """Return {stage: stage.json} of every result in a project: each holds the digests of all bytes of its stage."""
    return {str(p.parent.relative_to(folder)): p.read_text() for p in sorted(folder.glob("results/*/*/stage.json"))}


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> tuple[Path, str]:
    """Return (project, output) of one undisturbed run of the main job. Tests must leave its results as they are."""
    folder = new_project(tmp_path_factory.mktemp("main") / "project")
    done = run(folder, "snakemake")
    assert done.returncode == 0, done.stdout[-6000:]
    return folder, done.stdout


@pytest.fixture
def project(finished, tmp_path) -> Path:
    """Return a copy of the finished project, for a test to disturb."""
    folder = tmp_path / "project"
    shutil.copytree(finished[0], folder, symlinks=True)
    return folder
