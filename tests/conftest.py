"""What all tests share; among it a small project whose stages are all done."""

import sys
from pathlib import Path

import pytest
from hypothesis import settings

# Machines are shared and slow at times: no deadline per example. The same examples every time: a red test is a change.
settings.register_profile("elenchus", deadline=None, derandomize=True)
settings.load_profile("elenchus")

sys.path.insert(0, str(Path(__file__).parent / "workflow"))


@pytest.fixture(scope="session")
def done(tmp_path_factory):
    """The plan of a project with one recipe, all its stages made by stand-in models; tests leave its results as they are."""
    import fake_models

    with pytest.MonkeyPatch.context() as patch:
        whole = fake_models.project(tmp_path_factory.mktemp("small"))
        fake_models.run_all(whole, "small", patch)
    return whole


@pytest.fixture
def copied(done, tmp_path, monkeypatch):
    """A copy of that project for a test to change; the working directory is in it."""
    import shutil

    from elenchus import plan

    shutil.copytree(done.root, tmp_path / "project", symlinks=True)
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return plan.load(tmp_path / "project")
