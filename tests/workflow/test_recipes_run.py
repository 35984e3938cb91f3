"""Every paper's recipe at microscopic sizes, to its evidence and its page.

Stages run in forks of one process (`elenchus run`), then Snakemake finds them done and makes the records.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, TINY, new_project, run

PAPERS = sorted(p.stem for p in (ROOT / "workflow/recipes").glob("[!_]*.py") if p.stem != "elenchus")


def tiny_params() -> str:
    """Return TINY with every paper's own small sizes laid over what it shares; one seed."""
    own = {name: yaml.safe_load((ROOT / f"tests/workflow/tiny/{name}.yaml").read_text()) for name in PAPERS}
    for name, section in own.items():
        assert list(section) == [name], f"tests/workflow/tiny/{name}.yaml holds the section {name!r} and nothing else"
    return TINY + "\nevidence: {seeds: [0]}\n" + "".join(yaml.safe_dump(section) for section in own.values())


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory) -> Path:
    """Return a project in which every paper's stages are done, and `snakemake evidence` has run."""
    folder = new_project(tmp_path_factory.mktemp("papers") / "project", tiny_params())
    shutil.copy(ROOT / "README.md", folder / "README.md")
    stages = run(folder, sys.executable, "-m", "elenchus", "run", *PAPERS, "--evidence", timeout=1200)
    assert stages.returncode == 0, stages.stdout[-6000:]
    planned = run(folder, "snakemake", "-n", "evidence")
    jobs = {line.split()[0] for line in planned.stdout.splitlines() if line.endswith(" 1") or line.endswith("0")}
    assert "seed_model" not in jobs and "sample" not in jobs, "what is done is done for Snakemake too"
    done = run(folder, "snakemake", "evidence", timeout=600)
    assert done.returncode == 0, done.stdout[-6000:]
    return folder


@pytest.mark.timeout(1800)  # the fixture's time counts here
def test_every_paper_runs_to_its_evidence_and_page(laboratory):
    for name in PAPERS:
        found = json.loads((laboratory / f"evidence/{name}.json").read_text())
        assert found["claims"] and found["metrics"] and found["seeds"] == [0]
        assert {c["verdict"] for c in found["claims"]} <= {"inconclusive", "not comparable"}, "one seed decides nothing"
        page = (laboratory / f"docs/recipes/{name}.md").read_text()
        assert (
            found["claims"][0]["statement"][1:].rstrip(".") in page
            and (laboratory / f"docs/recipes/{name}-stages.svg").is_file()
        )


def test_evidence_that_is_made_is_not_made_again(laboratory):
    again = run(laboratory, "snakemake", "evidence")
    assert again.returncode == 0 and "Nothing to be done" in again.stdout


def test_a_papers_report_shows_its_claims(laboratory):
    done = run(laboratory, "snakemake", "multicritique")
    assert done.returncode == 0, done.stdout[-3000:]
    page = (laboratory / "results/by-recipe/multicritique/report.html").read_text()
    assert "inconclusive" in page and "1 of at least 3 seeds" in page and "the paper: " in page
