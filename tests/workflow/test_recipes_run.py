"""Every paper's recipe through real Snakemake, at microscopic sizes, to its evidence and its page."""

from __future__ import annotations

import json
import shutil
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
    """Return a project in which `snakemake evidence` has run."""
    folder = new_project(tmp_path_factory.mktemp("papers") / "project", tiny_params())
    shutil.copy(ROOT / "README.md", folder / "README.md")
    done = run(folder, "snakemake", "evidence", timeout=1200)
    assert done.returncode == 0, done.stdout[-6000:]
    return folder


@pytest.mark.skipif(not PAPERS, reason="no paper has a recipe yet")
def test_every_paper_runs_to_its_evidence_and_page(laboratory):
    for name in PAPERS:
        found = json.loads((laboratory / f"evidence/{name}.json").read_text())
        assert found["claims"] and found["metrics"] and found["seeds"] == [0]
        assert all(c["verdict"] in ("inconclusive", "not comparable") for c in found["claims"]), (
            "one seed decides nothing"
        )
        page = (laboratory / f"docs/recipes/{name}.md").read_text()
        assert found["claims"][0]["statement"] in page and (laboratory / f"docs/recipes/{name}-stages.svg").is_file()
    again = run(laboratory, "snakemake", "evidence")
    assert again.returncode == 0 and "Nothing to be done" in again.stdout
