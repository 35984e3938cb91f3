"""What the tests over a real Slurm share: one Slurm a session, and one small project finished without it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Return a project in which training, sampling and evaluation ran undisturbed, by plain `snakemake`."""
    import small

    folder = small.project(tmp_path_factory.mktemp("local") / "project")
    done = small.workflow.run(folder, "snakemake", *(str(s.manifest) for s in small.stages(folder).values()))
    assert done.returncode == 0, done.stdout[-5000:]
    return folder


@pytest.fixture
def slurm(tmp_path):
    """Return a Slurm of three nodes of the test's own."""
    import cluster

    with cluster.running(tmp_path / "slurm") as started:
        yield started
